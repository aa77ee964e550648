//! What the kernel may refuse on the way to a socket that can send, and the mend of each.

use nix::errno::Errno;

use crate::FramesError;

/// Which step the kernel refused, and how.
pub(super) struct Refusal {
    pub(super) step: Step,
    pub(super) errno: Errno,
}

/// The steps towards a socket that can send.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Socket,
    Memory,
    Rings,
    /// The kernel's rings are of before Linux 5.4.
    Age,
    Bind(u32),
    Program,
    Wakeup,
}

impl Step {
    /// For `map_err`.
    pub(super) fn refused(self) -> impl FnOnce(Errno) -> Refusal {
        move |errno| Refusal { step: self, errno }
    }
}

impl Refusal {
    /// Whether sockets held their queues when this came.
    pub(super) fn was_bound(&self) -> bool {
        match self.step {
            Step::Program | Step::Wakeup => true,
            Step::Bind(queue) => queue > 0,
            Step::Socket | Step::Memory | Step::Rings | Step::Age => false,
        }
    }

    /// For the user, with the mend.
    pub(super) fn explain(self, interface: &str) -> FramesError {
        let reason = match (self.step, self.errno) {
            (Step::Socket | Step::Memory, Errno::EPERM | Errno::EACCES) => {
                return FramesError::not_permitted("xdp", "an AF_XDP socket");
            }
            (Step::Bind(_), Errno::ENETDOWN) => {
                return FramesError::InterfaceDown {
                    name: interface.to_owned(),
                };
            }
            (Step::Bind(_), Errno::ENODEV | Errno::ENXIO) => {
                return FramesError::NoInterface {
                    name: interface.to_owned(),
                };
            }
            (Step::Socket, Errno::EAFNOSUPPORT) => {
                "this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS);".to_owned()
            }
            (Step::Age, _) => "it needs Linux 5.4 or later;".to_owned(),
            (Step::Memory, Errno::ENOBUFS | Errno::ENOMEM) => {
                "too little memory may be locked; raise it by `ulimit -l unlimited`, or".to_owned()
            }
            (Step::Bind(queue), Errno::EBUSY) => {
                format!("another program holds queue {queue} of {interface}; end it, or")
            }
            (step, errno) => {
                let what = match step {
                    Step::Socket => "socket",
                    Step::Memory => "memory",
                    Step::Rings | Step::Age => "rings",
                    Step::Bind(_) => "bind",
                    Step::Program => "program",
                    Step::Wakeup => "wakeup",
                };
                format!("{interface}: {what}: {};", errno.desc())
            }
        };
        FramesError::Unsuited {
            engine: "xdp",
            reason: format!("{reason} use --engine packet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_mend() {
        let check = |step, errno, expected: &str| {
            let error = Refusal { step, errno }.explain("eth7");
            assert_eq!(error.to_string(), expected);
        };
        check(
            Step::Socket,
            Errno::EAFNOSUPPORT,
            "xdp engine: this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS); use --engine packet",
        );
        check(
            Step::Age,
            Errno::ENOPROTOOPT,
            "xdp engine: it needs Linux 5.4 or later; use --engine packet",
        );
        check(
            Step::Memory,
            Errno::ENOBUFS,
            "xdp engine: too little memory may be locked; raise it by `ulimit -l unlimited`, or use \
             --engine packet",
        );
        check(
            Step::Bind(3),
            Errno::EBUSY,
            "xdp engine: another program holds queue 3 of eth7; end it, or use --engine packet",
        );
        check(
            Step::Bind(0),
            Errno::ENODEV,
            "no interface \"eth7\"; `ip link` lists them",
        );
        check(
            Step::Rings,
            Errno::EINVAL,
            "xdp engine: eth7: rings: Invalid argument; use --engine packet",
        );
    }
}
