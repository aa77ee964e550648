//! Programs of others that are given what we write, and strings of every kind to write.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use crate::fixture::{self, HOSTILE, Run};

/// Runs a program to its end, with this on its standard input.
#[track_caller]
pub(crate) fn run(mut command: Command, input: &[u8]) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A program that does not read to the end says by its exit code what it thinks of that.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    })
}

/// Runs it, and fails with its own words if it fails; what it said on its standard output.
#[track_caller]
pub(crate) fn accepted_by(command: Command, input: &[u8]) -> String {
    let words = format!("{command:?}");
    let output = run(command, input);
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}:\n{errors}\n{said}");
    said
}

/// A script for the Python with packages of PyPI.
pub(crate) fn python(script: &str) -> Command {
    with_script(testkit::consumers::python("python3"), script)
}

/// A script for the system's own Python, with Debian's packages.
pub(crate) fn system_python(script: &str) -> Command {
    with_script(Command::new("/usr/bin/python3"), script)
}

fn with_script(mut python: Command, script: &str) -> Command {
    // Debian's older packages warn of their own spelling of regular expressions.
    python.args(["-W", "ignore", "-c", script]);
    python
}

pub(crate) fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments);
    command
}

/// A file of this content, for programs that read no standard input.
pub(crate) fn file(name: &str, content: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Strings that would be more than data in one format or the other, and as many again of any kind.
pub(crate) fn strings() -> Vec<String> {
    let meant: Vec<String> = [
        HOSTILE,
        "",
        "1.6.18",
        "=cmd|'/c calc'!A1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "a,b;c\"d\"e",
        "'",
        "&amp;<![CDATA[]]>--><!--",
        "\u{fffe}\u{ffff}\u{1fffe}",
        "{{ lookup('pipe','id') }}{% raw %}{# #}",
        "!!python/object/apply:os.system",
        "yes",
        "~",
        "- a: b",
        "# comment",
        "a: b # c",
        "|",
        ">",
        "a | b=1;2;3",
        "1.6.18, 22/open/tcp//ssh//OpenSSH/",
        "\\",
        "\\n\\\"",
        "\u{85}\u{2028}\u{2029}\u{feff}",
        "\u{1f600}\u{10ffff}",
        "日本語",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut runner = TestRunner::deterministic();
    let any = proptest::string::string_regex("(?s).{0,40}").unwrap();
    let any = (0..200).map(|_| any.new_tree(&mut runner).unwrap().current());
    meant.into_iter().chain(any).collect()
}

/// A run whose servers say all of these strings, each under its own address.
pub(crate) fn loud_run() -> Run {
    let ip = |index: usize| format!("10.1.{}.{}", index / 250, index % 250 + 1);
    let records = strings().into_iter().enumerate();
    let records = records.map(|(index, text)| fixture::saying(&ip(index), &text));
    Run {
        records: records.collect(),
        ..fixture::everything()
    }
}
