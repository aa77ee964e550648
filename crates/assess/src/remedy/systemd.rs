//! The remedy of a unit that names its options itself: a drop-in of our own, so that the
//! distribution's file stays as it is.

use super::Change;
use super::words::{carry_out, narrow, tokens};

/// Names that a drop-in of ours may have. Drop-ins count in the order of their names, so the
/// first one is taken that comes after all the others.
const NAMES: [&str; 3] = ["memsweep.conf", "zz-memsweep.conf", "zzzz-memsweep.conf"];

/// The name for a drop-in beside others; `None` if each of ours would come before one of them.
pub(super) fn name_after(others: &[&str]) -> Option<&'static str> {
    let others: Vec<&&str> = others
        .iter()
        .filter(|other| !NAMES.contains(*other))
        .collect();
    NAMES
        .into_iter()
        .find(|name| others.iter().all(|other| **other < *name))
}

/// A drop-in that starts memcached as `exec_start` does (the value as it is written, variables
/// and all), and narrower.
pub(super) fn exec_start(exec_start: &str, change: &Change) -> String {
    let mended = mend(exec_start, change);
    format!(
        "# Written by memsweep fix; remove this file to take it back.\n[Service]\nExecStart=\n\
         ExecStart={mended}\n"
    )
}

/// A drop-in that sets a variable of the unit anew.
pub(super) fn environment(name: &str, value: &str, change: &Change) -> String {
    let mended = mend(value, change);
    format!(
        "# Written by memsweep fix; remove this file to take it back.\n[Service]\n\
         Environment=\"{name}={mended}\"\n"
    )
}

fn mend(line: &str, change: &Change) -> String {
    // What was written over several lines comes on one, without the blanks of their margins;
    // inside of quotes blanks are part of a word.
    let joined;
    let line = if line.contains(['"', '\'']) {
        line
    } else {
        joined = line.split_whitespace().collect::<Vec<&str>>().join(" ");
        &joined
    };
    let (cuts, additions) = narrow(&tokens(line, 0..line.len()), change, true);
    let mut mended = carry_out(line, cuts);
    for addition in additions {
        mended.push(' ');
        mended.push_str(&addition);
    }
    mended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_counts_last() {
        for (others, expected) in [
            (&[][..], Some("memsweep.conf")),
            (&["10-local.conf", "memsweep.conf"], Some("memsweep.conf")),
            (&["override.conf"], Some("zz-memsweep.conf")),
            (&["zz-top.conf"], Some("zzzz-memsweep.conf")),
            (&["zzzzz.conf"], None),
        ] {
            assert_eq!(name_after(others), expected, "{others:?}");
        }
    }

    #[test]
    fn the_rest_of_the_command_line_stays() {
        let change = Change {
            listen: Some("127.0.0.1".to_owned()),
            udp_off: true,
            tcp_port: None,
        };
        let text = exec_start("/usr/bin/memcached -l 0.0.0.0 -p ${PORT} $OPTIONS", &change);
        assert!(text.ends_with(
            "[Service]\nExecStart=\n\
             ExecStart=/usr/bin/memcached -l 127.0.0.1 -p ${PORT} $OPTIONS -U 0\n"
        ));
        let text = environment("OPTIONS", "-v", &change);
        assert!(text.ends_with("[Service]\nEnvironment=\"OPTIONS=-v -l 127.0.0.1 -U 0\"\n"));
    }
}
