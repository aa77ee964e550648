//! Why frames cannot be sent from here, each with its mend.

use thiserror::Error;

/// Our own system refuses. Prints as one line that ends with the mend.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FramesError {
    /// Not enough privileges.
    #[error(
        "{engine} engine: {what}: not permitted; run as root, or once `sudo setcap \
         cap_net_raw,cap_net_admin,cap_bpf,cap_perfmon+ep {program}`, or use --engine socket"
    )]
    NotPermitted {
        /// The engine's name.
        engine: &'static str,
        /// What was refused.
        what: &'static str,
        /// The program's path.
        program: String,
    },
    /// Not enough privileges to capture.
    #[error(
        "-o pcapng: capturing frames: not permitted; run as root, or once `sudo setcap \
         cap_net_raw+ep {program}`"
    )]
    CaptureNotPermitted {
        /// The program's path.
        program: String,
    },
    /// The interface is not there.
    #[error("no interface {name:?}; `ip link` lists them")]
    NoInterface {
        /// As typed.
        name: String,
    },
    /// The interface is down.
    #[error("interface {name} is down; `ip link set {name} up`")]
    InterfaceDown {
        /// Its name.
        name: String,
    },
    /// The engine cannot work here; the reason and the mend in words.
    #[error("{engine} engine: {reason}")]
    Unsuited {
        /// The engine's name.
        engine: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// A system call failed.
    #[error("{what}: {reason}")]
    System {
        /// What was being done.
        what: &'static str,
        /// The system's words.
        reason: String,
    },
}

/// The path of this program, for the line that says how to give it privileges.
pub(crate) fn program() -> String {
    let path = std::env::current_exe();
    path.map_or_else(|_| "memsweep".to_owned(), |path| path.display().to_string())
}

impl FramesError {
    /// For `map_err`: a system call that failed.
    pub(crate) fn system(what: &'static str) -> impl FnOnce(nix::errno::Errno) -> FramesError {
        move |errno| FramesError::System {
            what,
            reason: errno.desc().to_owned(),
        }
    }

    /// Privileges are missing for this.
    pub(crate) fn not_permitted(engine: &'static str, what: &'static str) -> FramesError {
        FramesError::NotPermitted {
            engine,
            what,
            program: program(),
        }
    }
}
