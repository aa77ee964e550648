//! The distributions' configurations, looked at as images, and what is made of them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use assess::local::{Audit, Machine, audit};
use host::{NamedFile, Root};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/configs")
}

/// One line for each configuration: its command line, who reaches it, its findings with places.
fn summary(audit: &Audit) -> Vec<String> {
    let services = audit.services.iter().map(|judged| {
        let words: Vec<&str> = judged
            .service
            .words
            .iter()
            .map(|word| word.text.as_str())
            .collect();
        let findings: String = judged
            .findings
            .iter()
            .map(|local| format!("; {} {}", local.finding.code, local.place.as_ref().unwrap()))
            .collect();
        let (tcp, udp) = (judged.tcp.as_str(), judged.udp.as_str());
        format!(
            "{}: {} | {tcp} {udp}{findings}",
            judged.service.name,
            words.join(" ")
        )
    });
    services.collect()
}

fn look(root: &Path, named: &[&str]) -> (Machine, Audit) {
    let mut files = Vec::new();
    for path in named {
        files.extend(NamedFile::read(&fixtures().join(path)).unwrap());
    }
    let machine = host::look(&Root::open(root).unwrap(), &files);
    let audit = audit(&machine);
    (machine, audit)
}

#[test]
fn what_distributions_ship() {
    let cases: [(&str, &[&str]); 6] = [
        (
            "red-hat-7",
            &[
                "memcached.service: /usr/bin/memcached -u memcached -p 11211 -m 64 -c 1024 | \
               outside outside; MS203 /etc/sysconfig/memcached:3",
            ],
        ),
        (
            "debian-12",
            &[
                "memcached.service: /usr/bin/memcached -m 64 -p 11211 -u memcache -l 127.0.0.1 -P \
               /var/run/memcached/memcached.pid | inside inside",
            ],
        ),
        (
            "debian-open",
            &[
                "memcached: /usr/bin/memcached -m 64 -p 11211 -u memcache -l 0.0.0.0 -P \
               /var/run/memcached/memcached.pid | outside outside; MS203 /etc/memcached.conf:22",
            ],
        ),
        (
            "drop-in",
            &[
                "memcached.service: /usr/bin/memcached -u memcache -l 0.0.0.0 -U 0 | outside off; \
               MS203 /etc/systemd/system/memcached.service.d/10-network.conf:2",
            ],
        ),
        (
            "freebsd",
            &["memcached: memcached -d -u nobody -l 127.0.0.1 -U 0 | inside off"],
        ),
        (
            "homebrew",
            &["memcached: /opt/homebrew/opt/memcached/bin/memcached -l localhost | inside inside"],
        ),
    ];
    for (image, expected) in cases {
        let (machine, audit) = look(&fixtures().join(image), &[]);
        assert_eq!(summary(&audit), expected, "{image}");
        assert_eq!(machine.troubles, [], "{image}");
        assert!(audit.is_complete, "{image}");
    }
}

#[test]
fn files_that_are_named() {
    let empty = tempfile::tempdir().unwrap();
    let (_, audit) = look(empty.path(), &["files"]);
    let path = fixtures().join("files").display().to_string();
    let found: Vec<String> = summary(&audit)
        .iter()
        .map(|line| line.replace(&path, ""))
        .collect();
    assert_eq!(
        found,
        [
            "image: memcached -m 64 | apart apart",
            "open: memcached | outside outside; MS203 /compose.yaml:5",
            "quiet: memcached | apart apart",
            "loopback: memcached -m 128 | apart apart",
            "host: memcached -l 127.0.0.1 -U 0 | inside off",
            "Deployment/cache: memcached -m 64 | outside apart; MS203 /kubernetes.yaml:23",
            "memcached: memcached | apart apart",
        ]
    );
    assert!(NamedFile::read(Path::new("/no/such/file")).is_err());
}

#[test]
fn sessions_are_listed() {
    let (machine, _) = look(&fixtures().join("php"), &[]);
    let found: Vec<String> = machine
        .files
        .iter()
        .flat_map(|file| &file.sessions)
        .map(|sessions| format!("{} {}", sessions.servers.join(","), sessions.place))
        .collect();
    let pool = "10.0.0.5:11211 /etc/php/8.2/fpm/pool.d/www.conf:4";
    assert_eq!(found, ["127.0.0.1:11211 /etc/php.ini:7", pool]);
}

/// Whatever lies in a file's place, the audit ends, names it, and judges the rest.
#[test]
fn hostile_images() {
    let folder = tempfile::tempdir().unwrap();
    let etc = folder.path().join("etc");
    std::fs::create_dir_all(etc.join("sysconfig/memcached")).unwrap();
    std::fs::create_dir_all(etc.join("systemd/system/memcached.service.d")).unwrap();
    std::fs::write(etc.join("memcached.conf"), "-l 0.0.0.0\n".repeat(600_000)).unwrap();
    std::fs::write(etc.join("php.ini"), [0xff, 0xfe, 0, b'\n'].repeat(1000)).unwrap();
    let units = etc.join("systemd/system");
    std::os::unix::fs::symlink("memcached.service", units.join("memcached.service")).unwrap();
    let everywhere = "[Service]\nExecStart=/usr/bin/memcached $A\nEnvironment=A=$A$A\n";
    std::fs::write(units.join("memcached@x.service"), everywhere).unwrap();
    let (machine, audit) = look(folder.path(), &[]);
    let paths: Vec<&str> = machine
        .troubles
        .iter()
        .map(|trouble| trouble.path.as_str())
        .collect();
    let expected = [
        "/etc/sysconfig/memcached",
        "/etc/memcached.conf",
        "/etc/memcached.conf",
        "/etc/systemd/system/memcached.service",
    ];
    assert_eq!(paths, expected, "{:?}", machine.troubles);
    assert!(!audit.is_complete && audit.is_exposed(model::Severity::High));
}
