//! The same tables, keys and dumps through every channel and log-in: TLS, `-Y`, `-S`, UDP and the
//! binary protocol.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::Value;
use testkit::{MemcachedServer, fresh_loopback};

use crate::certificate;
use crate::tool_ground::{Client, Folder, Item, PASSWORD, SaslServer, USER, run_bytes, start};

/// Fills a cache with what a dump has to carry, and tells what that is.
fn fill(client: &mut Client<std::net::TcpStream>) -> BTreeMap<Vec<u8>, Item> {
    for number in 0..300 {
        client.set(
            &format!("user:{number}"),
            number,
            0,
            format!("\r\n{number}").as_bytes(),
        );
    }
    client.set("large", 7, 86_400, &[b'x'; 500_000]);
    client.items()
}

/// `keys` lists them all, and a replayed `dump` is the same cache.
#[track_caller]
fn check_keys_and_dump(folder: &Folder, target: &[&str], items: &BTreeMap<Vec<u8>, Item>) {
    let keys = [target, &["keys", "--full", "-o", "json"]].concat();
    let (run, stdout) = run_bytes(folder.tool(&keys));
    assert_eq!((run.code, &run.stderr[..]), (Some(0), ""), "{target:?}");
    let mut names: Vec<Vec<u8>> = String::from_utf8(stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            row["key"].as_str().unwrap().as_bytes().to_vec()
        })
        .collect();
    names.sort();
    assert!(names.iter().eq(items.keys()), "{target:?}");

    let (run, stdout) = run_bytes(folder.tool(&[target, &["dump"]].concat()));
    assert_eq!(run.code, Some(0), "{target:?} {}", run.stderr);
    let (other, _server) = start(&[]);
    let path = folder.path("dump");
    std::fs::write(&path, stdout).unwrap();
    assert_eq!(Client::connect(other).replay(&path), items.len() as u64);
    assert!(Client::connect(other).items() == *items, "{target:?}");
}

#[test]
fn keys_and_values_come_through_tls() {
    let folder = Folder::new();
    let (certificate, key) = certificate::write(&{
        let tls = folder.path("tls");
        std::fs::create_dir(&tls).unwrap();
        tls
    });
    let [secure, open] = [fresh_loopback(), fresh_loopback()];
    let listeners = format!("{secure},notls:{open}");
    let files = format!(
        "ssl_chain_cert={},ssl_key={}",
        certificate.display(),
        key.display()
    );
    let _server = MemcachedServer::start(&["-l", &listeners, "-Z", "-o", &files]);
    let mut client = Client::connect(open);
    let mut items = fill(&mut client);
    // The second connection, for what text cannot name, is a TLS one too.
    client.set_meta(b"two words", b"value");
    items.insert(b"two words".to_vec(), (9, -1, b"value".to_vec()));
    let target = secure.to_string();
    let arguments = [
        &target[..],
        "--tls",
        "--ca",
        certificate.to_str().unwrap(),
        "--server-name",
        "cache.example",
    ];
    check_keys_and_dump(&folder, &arguments, &items);
}

#[test]
fn keys_and_values_come_after_a_log_in_by_text() {
    let folder = Folder::new();
    let users = folder.file("users", &format!("{USER}:{PASSWORD}\n"));
    let file = folder.file("password", PASSWORD);
    let (address, _server) = start(&["-Y", &users]);
    let mut client = Client::connect(address);
    client.log_in();
    let items = fill(&mut client);
    let target = address.to_string();
    let login = [&target[..], "--user", USER, "--password-file", &file];
    check_keys_and_dump(&folder, &login, &items);
}

/// A table as JSON.
fn json(folder: &Folder, address: Ipv4Addr, mode: &str, flags: &[&str]) -> Value {
    let target = address.to_string();
    let command = folder.tool(&[&[&target, mode, "-o", "json"], flags].concat());
    let (run, stdout) = run_bytes(command);
    assert_eq!(
        (run.code, &run.stderr[..]),
        (Some(0), ""),
        "{mode} {flags:?}"
    );
    serde_json::from_slice(&stdout).unwrap()
}

#[test]
fn tables_are_the_same_over_text_binary_and_udp() {
    let folder = Folder::new();
    let file = folder.file("password", PASSWORD);
    let (text, _text) = start(&["-U", "11211", "-o", "track_sizes"]);
    let (binary, _binary) = start(&["-B", "binary", "-o", "track_sizes"]);
    let sasl = SaslServer::start_with(&["-o", "track_sizes"]);
    let login = ["--user", USER, "--password-file", &file];
    for (address, is_sasl) in [(text, false), (binary, false), (sasl.address, true)] {
        let mut client = Client::connect(address);
        if is_sasl {
            client.log_in_by_sasl();
        }
        for bytes in [10, 200, 3_000] {
            for number in 0..5 {
                let key = format!("key:{bytes}:{number}");
                client.set_binary(key.as_bytes(), 0, 0, &vec![b'x'; bytes]);
            }
        }
    }
    let sizes = |address, flags: &[&str]| json(&folder, address, "sizes", flags)["sizes"].clone();
    let expected = sizes(text, &[]);
    assert_eq!(expected.as_array().unwrap().len(), 3, "{expected}");
    assert_eq!(sizes(text, &["--udp"]), expected);
    assert_eq!(sizes(binary, &[]), expected);
    assert_eq!(sizes(sasl.address, &login), expected);
    for mode in ["items", "slabs", "settings", "stats"] {
        let names = |value: &Value| {
            let object = value.as_object().unwrap();
            object.keys().cloned().collect::<Vec<_>>()
        };
        let expected = names(&json(&folder, text, mode, &[]));
        assert_eq!(names(&json(&folder, binary, mode, &[])), expected, "{mode}");
        let after_login = json(&folder, sasl.address, mode, &login);
        assert_eq!(names(&after_login), expected, "{mode}");
    }
}

#[test]
fn what_the_binary_protocol_has_no_command_for_is_said() {
    let folder = Folder::new();
    let file = folder.file("password", PASSWORD);
    let (binary, _server) = start(&["-B", "binary"]);
    let sasl = SaslServer::start();
    let login = ["--user", USER, "--password-file", &file];
    for (address, flags) in [(binary, &[][..]), (sasl.address, &login)] {
        for mode in ["keys", "dump", "conns"] {
            let target = address.to_string();
            let (run, _) = run_bytes(folder.tool(&[&[&target, mode], flags].concat()));
            assert_eq!(run.code, Some(3), "{mode} {}", run.stderr);
            assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
            assert!(run.stderr.contains("binary protocol"), "{}", run.stderr);
        }
    }
}
