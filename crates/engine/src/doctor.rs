//! What a machine allows each engine, from what it says of itself. Nothing is opened or sent: an
//! interface may still refuse, and then the scan says so.

use model::{Ability, Diagnosis, Text};
use sockets::Capabilities;

/// What a machine says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Release of the kernel, such as `6.1.0-18-amd64`.
    pub kernel: String,
    /// What this process may do.
    pub capabilities: Capabilities,
    /// The path of this program.
    pub program: String,
}

/// The first kernel with BPF_F_TEST_XDP_LIVE_FRAMES (bpf(2), BPF_PROG_RUN).
const KERNEL_OF_LIVE_FRAMES: (u32, u32) = (5, 18);
/// The first kernel in which an XDP program leaves with its process (BPF_LINK_TYPE_XDP), which
/// AF_XDP is used with.
const KERNEL_OF_XDP_LINKS: (u32, u32) = (5, 9);

/// What each engine can do there, and the command that mends what is missing.
pub fn diagnose(machine: &Machine) -> Diagnosis {
    let Capabilities {
        net_raw,
        net_admin,
        bpf,
        perfmon,
    } = machine.capabilities;
    let raw = (net_raw, "CAP_NET_RAW");
    let admin = (net_admin, "CAP_NET_ADMIN");
    let programs = (bpf, "CAP_BPF");
    // Without it the verifier takes only programs simpler than the one of `live`.
    let pointers = (perfmon, "CAP_PERFMON");
    let abilities = vec![
        Ability {
            engine: "live",
            what: Text::new(
                "frames made in the kernel (XDP live frames): millions of packets a second",
                "カーネル内でフレームを生成（XDP live frames）：毎秒数百万パケット",
            ),
            missing: missing(
                &[raw, admin, programs, pointers],
                Some(KERNEL_OF_LIVE_FRAMES),
                machine,
            ),
        },
        Ability {
            engine: "xdp",
            what: Text::new(
                "AF_XDP sockets: a million packets a second",
                "AF_XDP ソケット：毎秒百万パケット",
            ),
            missing: missing(&[raw, admin, programs], Some(KERNEL_OF_XDP_LINKS), machine),
        },
        Ability {
            engine: "packet",
            what: Text::new(
                "AF_PACKET sockets: hundreds of thousands of packets a second",
                "AF_PACKET ソケット：毎秒数十万パケット",
            ),
            missing: missing(&[raw, admin], None, machine),
        },
        Ability {
            engine: "socket",
            what: Text::new(
                "ordinary sockets: tens of thousands of packets a second, no privileges needed",
                "通常のソケット：毎秒数万パケット、権限は不要",
            ),
            missing: Vec::new(),
        },
    ];
    let allowed = net_raw && net_admin && bpf && perfmon;
    let program = quoted(&machine.program);
    let mend = format!("sudo setcap cap_net_raw,cap_net_admin,cap_bpf,cap_perfmon+ep {program}");
    Diagnosis {
        kernel: machine.kernel.clone(),
        abilities,
        mends: if allowed { Vec::new() } else { vec![mend] },
    }
}

fn missing(
    capabilities: &[(bool, &str)],
    kernel_min: Option<(u32, u32)>,
    machine: &Machine,
) -> Vec<Text> {
    let mut missing = Vec::new();
    if let Some((major, minor)) = kernel_min
        && kernel_version(&machine.kernel).is_none_or(|version| version < (major, minor))
    {
        let kernel = &machine.kernel;
        missing.push(Text::new(
            format!("Linux {major}.{minor} (this is {kernel})"),
            format!("Linux {major}.{minor} 以降（現在 {kernel}）"),
        ));
    }
    let names: Vec<&str> = capabilities
        .iter()
        .filter(|(held, _)| !held)
        .map(|(_, name)| *name)
        .collect();
    if !names.is_empty() {
        missing.push(Text::new(names.join(", "), names.join("、")));
    }
    missing
}

/// The first two numbers of a release.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which engines work, and what the others lack.
    #[track_caller]
    fn check(kernel: &str, held: [bool; 4], expect: [&[&str]; 4]) {
        let [net_raw, net_admin, bpf, perfmon] = held;
        let diagnosis = diagnose(&Machine {
            kernel: kernel.to_owned(),
            capabilities: Capabilities {
                net_raw,
                net_admin,
                bpf,
                perfmon,
            },
            program: "/usr/bin/memsweep".to_owned(),
        });
        for (ability, expect) in diagnosis.abilities.iter().zip(expect) {
            let missing: Vec<&str> = ability
                .missing
                .iter()
                .map(|text| text.en.as_str())
                .collect();
            assert_eq!(missing, expect, "{} on {kernel}, {held:?}", ability.engine);
        }
        let is_mendable = held != [true; 4];
        assert_eq!(diagnosis.mends.len(), usize::from(is_mendable));
    }

    #[test]
    fn every_engine_says_what_it_lacks() {
        check("6.1.0-18-amd64", [true; 4], [&[], &[], &[], &[]]);
        check(
            "6.1.0",
            [false; 4],
            [
                &["CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON"],
                &["CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF"],
                &["CAP_NET_RAW, CAP_NET_ADMIN"],
                &[],
            ],
        );
        check(
            "6.1.0",
            [true, true, true, false],
            [&["CAP_PERFMON"], &[], &[], &[]],
        );
        check(
            "5.10.0",
            [true, true, false, true],
            [
                &["Linux 5.18 (this is 5.10.0)", "CAP_BPF"],
                &["CAP_BPF"],
                &[],
                &[],
            ],
        );
        check(
            "4.19",
            [true; 4],
            [
                &["Linux 5.18 (this is 4.19)"],
                &["Linux 5.9 (this is 4.19)"],
                &[],
                &[],
            ],
        );
        check(
            "unknown",
            [true; 4],
            [
                &["Linux 5.18 (this is unknown)"],
                &["Linux 5.9 (this is unknown)"],
                &[],
                &[],
            ],
        );
    }

    #[test]
    fn the_mend_can_be_pasted_whatever_the_path() {
        assert_eq!(quoted("/usr/bin/memsweep"), "/usr/bin/memsweep");
        assert_eq!(quoted("/srv/a b/it's"), r"'/srv/a b/it'\''s'");
    }
}
