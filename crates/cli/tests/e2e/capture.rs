//! `-o pcapng`: the packets behind the findings, read by a program that everybody has.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use testkit::{MemcachedServer, Namespace};

use crate::program::{memsweep_as_nobody, memsweep_in};

/// What tshark reads of every packet.
fn read(path: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(path).args(["-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let row = |line: &str| line.split('\t').map(str::to_owned).collect();
    text.lines().map(row).collect()
}

#[test]
fn the_packets_of_findings_and_of_nobody_else() {
    let scanner = Namespace::new();
    let host = scanner.sibling();
    scanner.connect("10.94.1.1/24", &host, "10.94.1.2/24");
    let _server = MemcachedServer::start_in(&host, &["-l", "10.94.1.2", "-U", "11211"]);
    let folder = tempfile::tempdir().unwrap();
    for engine in ["socket", "packet"] {
        let path = folder.path().join(format!("{engine}.pcapng"));
        let output = format!("pcapng={}", path.display());
        let targets = ["10.94.1.2", "10.94.1.2:11212", "10.94.1.3"];
        let mut arguments = vec!["scan", "--engine", engine, "-o", &output];
        arguments.extend(targets);
        let run = memsweep_in(&scanner, &arguments);
        assert_eq!(run.code, Some(1), "{engine}: {}", run.stderr);

        let comments = read(&path, &["frame.comment"]);
        let comments: Vec<&str> = comments
            .iter()
            .map(|row| row[0].as_str())
            .filter(|comment| !comment.is_empty())
            .collect();
        assert_eq!(comments.len(), 2, "{engine}: {comments:?}");
        assert!(comments[0].starts_with("10.94.1.2:11211/tcp exposed: MS001"));
        assert!(comments[1].starts_with("10.94.1.2:11211/udp exposed: MS002"));

        let rows = read(
            &path,
            &[
                "ip.src",
                "udp.port",
                "tcp.port",
                "udp.payload",
                "frame.packet_flags_direction",
            ],
        );
        for row in &rows {
            let ports = format!("{},{}", row[1], row[2]);
            assert!(ports.contains("11211"), "{engine}: {row:?}");
            let direction = u32::from_str_radix(row[4].trim_start_matches("0x"), 16).unwrap();
            let expected = if row[0] == "10.94.1.1" { 2 } else { 1 };
            assert_eq!(direction, expected, "{engine}: {row:?}");
        }
        // The question over UDP is whole: the frame of one datagram, and `version`.
        let question = rows
            .iter()
            .find(|row| row[3].ends_with("76657273696f6e0d0a"));
        assert!(question.is_some(), "{engine}: {rows:?}");
        let question = &question.unwrap()[3];
        assert_eq!(&question[4..16], "000000010000", "{engine}");
    }
}

#[test]
fn without_privileges_the_mend_is_said_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.pcapng");
    fs::write(&path, "older results").unwrap();
    for (place, mode) in [(path.as_path(), 0o666), (folder.path(), 0o755)] {
        fs::set_permissions(place, fs::Permissions::from_mode(mode)).unwrap();
    }
    let output = format!("pcapng={}", path.display());
    let namespace = Namespace::new();
    let arguments = ["scan", "127.0.0.1", "--tcp", "-o", &output];
    let run = memsweep_as_nobody(&namespace, &arguments);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(
        run.stderr.contains("setcap cap_net_raw+ep"),
        "{}",
        run.stderr
    );
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), "older results");
}
