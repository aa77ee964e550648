//! What a machine allows each engine: from what it says of itself, and where that promises that an
//! engine works, by trying. Nothing is sent; an interface may still refuse, and then the scan says so.

use frames::{EngineKind, FramesError};
use model::{Ability, Diagnosis, Text};
use sockets::{Capabilities, Confinement};

/// What a machine says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Release of the kernel, such as `6.1.0-18-amd64`.
    pub kernel: String,
    /// What this process may do.
    pub capabilities: Capabilities,
    /// What else it is confined by.
    pub confinement: Confinement,
    /// The path of this program.
    pub program: String,
}

/// The first kernel with BPF_F_TEST_XDP_LIVE_FRAMES (bpf(2), BPF_PROG_RUN).
const KERNEL_OF_LIVE_FRAMES: (u32, u32) = (5, 18);
/// The first kernel in which an XDP program leaves with its process (BPF_LINK_TYPE_XDP), which
/// AF_XDP is used with.
const KERNEL_OF_XDP_LINKS: (u32, u32) = (5, 9);

/// What each engine can do there, and the command that mends what is missing. `attempt` asks the
/// kernel for what an engine works with ([`frames::try_engine`]); it is called only for engines that
/// lack nothing.
pub fn diagnose(
    machine: &Machine,
    attempt: &dyn Fn(EngineKind) -> Result<(), FramesError>,
) -> Diagnosis {
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
    let framed = |kind: EngineKind, missing: Vec<Text>| {
        let (engine, what) = words(kind);
        Ability {
            engine,
            what,
            // Only what promises to work is tried.
            refused: (missing.is_empty().then(|| attempt(kind).err()).flatten())
                .map(|error| refusal(error, &machine.confinement)),
            missing,
        }
    };
    let abilities = vec![
        framed(
            EngineKind::Live,
            missing(
                &[raw, admin, programs, pointers],
                Some(KERNEL_OF_LIVE_FRAMES),
                machine,
            ),
        ),
        framed(
            EngineKind::Xdp,
            missing(&[raw, admin, programs], Some(KERNEL_OF_XDP_LINKS), machine),
        ),
        framed(EngineKind::Packet, missing(&[raw, admin], None, machine)),
        Ability {
            engine: "socket",
            what: Text::new(
                "ordinary sockets: tens of thousands of packets a second, no privileges needed",
                "通常のソケット：毎秒数万パケット、権限は不要",
            ),
            missing: Vec::new(),
            refused: None,
        },
    ];
    let allowed = net_raw && net_admin && bpf && perfmon;
    Diagnosis {
        kernel: machine.kernel.clone(),
        abilities,
        mends: (!allowed)
            .then(|| mend(&machine.program))
            .into_iter()
            .collect(),
    }
}

/// The word of `--engine`, and what it stands for.
fn words(kind: EngineKind) -> (&'static str, Text) {
    match kind {
        EngineKind::Live => (
            "live",
            Text::new(
                "frames made in the kernel (XDP live frames): millions of packets a second",
                "カーネル内でフレームを生成（XDP live frames）：毎秒数百万パケット",
            ),
        ),
        EngineKind::Xdp => (
            "xdp",
            Text::new(
                "AF_XDP sockets: a million packets a second",
                "AF_XDP ソケット：毎秒百万パケット",
            ),
        ),
        EngineKind::Packet => (
            "packet",
            Text::new(
                "AF_PACKET sockets: hundreds of thousands of packets a second",
                "AF_PACKET ソケット：毎秒数十万パケット",
            ),
        ),
    }
}

/// The command that gives a program every capability that an engine needs.
fn mend(program: &str) -> String {
    let program = quoted(program);
    format!("sudo setcap cap_net_raw,cap_net_admin,cap_bpf,cap_perfmon+ep {program}")
}

/// What the kernel refused although nothing is missing, in one line.
fn refusal(error: FramesError, confinement: &Confinement) -> Text {
    match error {
        FramesError::NotPermitted { what, .. } => {
            let (mut en, mut ja) = (Vec::new(), Vec::new());
            if confinement.user_namespace {
                en.push(
                    "capabilities of a user namespace, as in a container, do not count".to_owned(),
                );
                ja.push("ユーザー名前空間（コンテナ等）の権限は無効".to_owned());
            }
            if confinement.seccomp {
                en.push("a seccomp filter is on, as in containers".to_owned());
                ja.push("seccomp フィルターが有効（コンテナ等）".to_owned());
            }
            if let Some(mode) = &confinement.lockdown {
                en.push(format!("kernel lockdown is on ({mode})"));
                ja.push(format!("カーネルロックダウンが有効（{mode}）"));
            }
            if en.is_empty() {
                en.push("a security module may forbid it".to_owned());
                ja.push("セキュリティモジュールによる禁止の可能性".to_owned());
            }
            let (en, ja) = (en.join("; "), ja.join("、"));
            Text::new(
                format!("{what}: not permitted, although the capabilities are held: {en}"),
                format!("{what}：権限はあるが許可されない（{ja}）"),
            )
        }
        FramesError::Unsuited { reason, .. } => Text::same(reason),
        error => Text::same(error.to_string()),
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
    use std::cell::RefCell;

    use super::*;

    /// Which engines work, and what the others lack.
    #[track_caller]
    fn check(kernel: &str, held: [bool; 4], expect: [&[&str]; 4]) {
        let [net_raw, net_admin, bpf, perfmon] = held;
        let machine = Machine {
            kernel: kernel.to_owned(),
            capabilities: Capabilities {
                net_raw,
                net_admin,
                bpf,
                perfmon,
            },
            confinement: Confinement::default(),
            program: "/usr/bin/memsweep".to_owned(),
        };
        let tried = RefCell::new(Vec::new());
        let diagnosis = diagnose(&machine, &|kind| {
            tried.borrow_mut().push(kind.to_string());
            Ok(())
        });
        let whole: Vec<&str> = diagnosis
            .abilities
            .iter()
            .filter(|ability| ability.works() && ability.engine != "socket")
            .map(|ability| ability.engine)
            .collect();
        assert_eq!(
            tried.into_inner(),
            whole,
            "only what lacks nothing is tried"
        );
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
    fn what_the_kernel_refuses_is_said_in_one_line() {
        let not_permitted = || FramesError::NotPermitted {
            engine: "live",
            what: "making BPF maps",
            program: "/usr/bin/memsweep".to_owned(),
        };
        let check = |confinement: Confinement, error: FramesError, expect: &str| {
            let machine = Machine {
                kernel: "6.1.0".to_owned(),
                capabilities: Capabilities {
                    net_raw: true,
                    net_admin: true,
                    bpf: true,
                    perfmon: true,
                },
                confinement,
                program: "/usr/bin/memsweep".to_owned(),
            };
            let diagnosis = diagnose(&machine, &|kind| match kind {
                EngineKind::Live => Err(error.clone()),
                EngineKind::Xdp | EngineKind::Packet => Ok(()),
            });
            let works: Vec<bool> = diagnosis.abilities.iter().map(Ability::works).collect();
            assert_eq!(works, [false, true, true, true]);
            let refused = diagnosis.abilities[0].refused.as_ref();
            assert_eq!(refused.map(|text| text.en.as_str()), Some(expect));
            assert!(diagnosis.mends.is_empty(), "no capability is missing");
        };
        let held = "making BPF maps: not permitted, although the capabilities are held";
        let confined = |user_namespace, seccomp, lockdown: Option<&str>| Confinement {
            user_namespace,
            seccomp,
            lockdown: lockdown.map(str::to_owned),
        };
        for (confinement, why) in [
            (
                confined(true, false, None),
                "capabilities of a user namespace, as in a container, do not count",
            ),
            (
                confined(false, true, None),
                "a seccomp filter is on, as in containers",
            ),
            (
                confined(false, true, Some("integrity")),
                "a seccomp filter is on, as in containers; kernel lockdown is on (integrity)",
            ),
            (
                confined(false, false, None),
                "a security module may forbid it",
            ),
        ] {
            check(confinement, not_permitted(), &format!("{held}: {why}"));
        }
        let old = "making BPF maps: this kernel has no BPF; use --engine packet";
        let unsuited = FramesError::Unsuited {
            engine: "live",
            reason: old.to_owned(),
        };
        check(Confinement::default(), unsuited, old);
    }

    #[test]
    fn the_mend_can_be_pasted_whatever_the_path() {
        assert_eq!(quoted("/usr/bin/memsweep"), "/usr/bin/memsweep");
        assert_eq!(quoted("/srv/a b/it's"), r"'/srv/a b/it'\''s'");
    }
}
