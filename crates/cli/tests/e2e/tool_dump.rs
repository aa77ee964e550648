//! A dump, replayed into another server as `nc` would, is the same cache.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use crate::program::{Run, Running};
use crate::tool_ground::{Client, Folder, decoded, run_bytes, start};

/// Dumps into a file.
fn dump(folder: &Folder, arguments: &[&str]) -> (Run, PathBuf) {
    let (run, stdout) = run_bytes(folder.tool(arguments));
    let path = folder.path("dump");
    fs::write(&path, stdout).unwrap();
    (run, path)
}

fn long_key(first: char) -> String {
    std::iter::once(first)
        .chain(std::iter::repeat_n('k', 249))
        .collect()
}

#[test]
fn a_replayed_dump_is_the_same_cache() {
    let folder = Folder::new();
    let (one, _first) = start(&[]);
    let (other, _second) = start(&[]);
    let target = one.to_string();
    let mut client = Client::connect(one);
    let all_bytes: Vec<u8> = (0..=255).collect();
    client.set("sly", 1, 0, b"x\r\nEND\r\nVALUE y 0 1\r\nadd z 0 0 1\r\n");
    client.set("bytes", u32::MAX, 0, &all_bytes);
    client.set("empty", 0, 3_600, b"");
    client.set("100%25", 3, 86_400, b"percent");
    client.set("あ", 0, 0, "値".as_bytes());
    client.set(&long_key('a'), 9, 0, b"long");
    // Beyond 30 days a moment is meant, and no span.
    let next_year =
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(31_536_000);
    let next_year = u32::try_from(next_year.as_secs()).unwrap();
    client.set(&long_key('b'), 9, next_year, b"longer than a month");
    client.set("large", 0, 0, &[b'\n'; 1_000_000]);
    for number in 0..1_000 {
        let value = format!("\r\n{number}\r\n");
        client.set(
            &format!("many:{number}"),
            number,
            number * 100,
            value.as_bytes(),
        );
    }
    let items = client.items();
    assert_eq!(items.len(), 1_008);

    let (run, file) = dump(&folder, &[&target, "dump"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let said = "memsweep: keys written: 1008, gone meanwhile: 0, bytes of values: ";
    assert!(run.stderr.starts_with(said), "{}", run.stderr);
    assert_eq!(Client::connect(other).replay(&file), 1_008);
    let replayed = Client::connect(other).items();
    assert_eq!(replayed.len(), items.len());
    for (key, item) in &items {
        assert_eq!(replayed.get(key), Some(item), "{}", key.escape_ascii());
    }
    let journal = folder.journal();
    let lines: Vec<&str> = journal.lines().collect();
    assert_eq!(lines.len(), 2, "{journal}");
    assert!(lines[0].ends_with(" begun"), "{journal}");
    assert!(
        lines[1].contains(&format!("server={one}:11211")),
        "{journal}"
    );
    assert!(lines[1].contains(" keys=1008 bytes="), "{journal}");
    assert!(lines[1].ends_with(" whole"), "{journal}");
}

/// Names with what the text protocol takes for ends of words and lines.
fn odd_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = (0..=b' ').map(|byte| vec![byte]).collect();
    names.push(vec![0x7f]);
    names.push(b"two words".to_vec());
    names.push(b"line\r\nend".to_vec());
    names.push(b"\xff \xfe\x00".to_vec());
    names.push(b"set x 0 0 1\r\n1\r\nflush_all\r\n".to_vec());
    names.push(vec![b' '; 186]);
    // More of them than go into one request.
    names.extend((0..300).map(|number| format!("a name {number}").into_bytes()));
    names
}

#[test]
fn keys_that_text_cannot_name_are_dumped_and_replayed() {
    let folder = Folder::new();
    let (one, _first) = start(&[]);
    let (other, _second) = start(&[]);
    let target = one.to_string();
    let names = odd_names();
    let mut binary = Client::connect(one);
    for (number, name) in (1..).zip(&names) {
        let value = [&b"\r\n"[..], name, b" is odd"].concat();
        binary.set_binary(name, number, number % 3 * 100_000, &value);
    }
    binary.set_binary(b"empty value", 1, 0, b"");
    binary.set_binary(b"large value", 2, 0, &[b' '; 1_000_000]);
    let mut client = Client::connect(one);
    for number in 0..200 {
        client.set(&format!("plain:{number}"), number, 0, b"plain");
    }
    client.set("\u{ff}", 4, 0, b"no control byte");
    let items = client.items();
    assert_eq!(items.len(), names.len() + 2 + 201);

    let (run, file) = dump(&folder, &[&target, "dump"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert_eq!(Client::connect(other).replay(&file), items.len() as u64);
    let replayed = Client::connect(other).items();
    assert_eq!(replayed.len(), items.len());
    for (key, item) in &items {
        assert_eq!(replayed.get(key), Some(item), "{}", key.escape_ascii());
    }

    let (run, file) = dump(&folder, &[&target, "dump", "--keys-only"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let text = fs::read_to_string(file).unwrap();
    let mut listed: Vec<Vec<u8>> = text.lines().map(decoded).collect();
    listed.sort();
    assert!(listed.iter().eq(items.keys()));
}

#[test]
fn keys_that_cannot_be_copied_are_counted_with_the_reason() {
    let folder = Folder::new();
    // In base64 it would be longer than any key may be.
    let too_long = vec![b' '; 187];
    for (arguments, words) in [
        (&[][..], "1, left out, because no text command can name one"),
        (
            &["-B", "ascii"],
            "3, left out, because the binary protocol alone can read them, which this server does not speak",
        ),
    ] {
        let (address, _server) = start(arguments);
        let mut client = Client::connect(address);
        client.set("plain", 0, 0, b"v");
        let mut left_out = 0;
        if arguments.is_empty() {
            Client::connect(address).set_binary(&too_long, 0, 0, b"hidden");
            left_out += 1;
        } else {
            for key in [&b"two words"[..], b"line\r\nend", b"\0"] {
                client.set_meta(key, b"hidden");
                left_out += 1;
            }
        }
        assert_eq!(client.metadump().len(), 1 + left_out);
        let (run, file) = dump(&folder, &[&address.to_string(), "dump", "--quiet"]);
        assert_eq!(run.code, Some(3), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(run.stderr.contains(words), "{}", run.stderr);
        assert_eq!(fs::read(file).unwrap(), b"add plain 0 0 1\r\nv\r\n");
    }
}

#[test]
fn limits_are_kept() {
    let folder = Folder::new();
    let (address, _server) = start(&[]);
    let target = address.to_string();
    let mut client = Client::connect(address);
    client.set_many((0..500).map(|number| format!("key:{number}")), b"v");
    client.metadump();
    for (limit, count) in [("0", 0), ("1", 1), ("96", 96), ("97", 97), ("9999", 500)] {
        for keys_only in [&[][..], &["--keys-only"]] {
            let arguments = [&[&target[..], "dump", "--limit", limit], keys_only].concat();
            let (run, file) = dump(&folder, &arguments);
            assert_eq!(run.code, Some(0), "{}", run.stderr);
            let lines = fs::read_to_string(file).unwrap().lines().count();
            assert_eq!(
                lines,
                if keys_only.is_empty() {
                    2 * count
                } else {
                    count
                }
            );
        }
        let (run, stdout) = run_bytes(folder.tool(&[&target, "keys", "--limit", limit]));
        assert_eq!((run.code, &run.stderr[..]), (Some(0), ""));
        assert_eq!(
            String::from_utf8(stdout).unwrap().lines().count(),
            1 + count
        );
    }
}

#[test]
fn a_server_that_dies_leaves_a_file_that_says_how_far_it_got() {
    let folder = Folder::new();
    let (address, server) = start(&["-m", "512"]);
    let target = address.to_string();
    let keys = 40_000;
    let mut client = Client::connect(address);
    client.set_many(
        (0..keys).map(|number| format!("key:{number}")),
        &[b'v'; 4_000],
    );
    client.metadump();
    let (running, mut stdout) = Running::start_unread(folder.tool(&[&target, "dump"]));
    // The values are on their way, and far more of them than any buffer holds is still to come.
    let mut file = vec![0; 100_000];
    stdout.read_exact(&mut file).unwrap();
    drop(server);
    stdout.read_to_end(&mut file).unwrap();
    let run = running.finish();
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("broke off after"), "{}", run.stderr);

    let text = String::from_utf8(file).unwrap();
    let last = text.lines().last().unwrap();
    let whole = text.matches(&format!("{}\r\n", "v".repeat(4_000))).count();
    assert!(whole > 10 && whole < keys, "{whole}");
    let expected = format!("# memsweep: incomplete, {whole} of ");
    assert!(last.starts_with(&expected), "{whole} {last}");
    assert!(last.ends_with("listed keys were written"), "{last}");
    assert!(
        folder.journal().trim_end().ends_with(" incomplete"),
        "{}",
        folder.journal()
    );

    // What did come whole can be replayed as it is.
    let (other, _second) = start(&["-m", "512"]);
    let path = folder.path("dump");
    fs::write(&path, text).unwrap();
    assert_eq!(Client::connect(other).replay(&path), whole as u64);
}

#[test]
fn a_signal_leaves_a_file_that_says_how_far_it_got() {
    let folder = Folder::new();
    let (address, _server) = start(&["-m", "512"]);
    let keys = 40_000;
    let mut client = Client::connect(address);
    let names = (0..keys).map(|number| format!("key:{number}"));
    client.set_many(names, &[b'v'; 4_000]);
    client.metadump();
    let dump = folder.tool(&[&address.to_string(), "dump"]);
    let (running, mut stdout) = Running::start_unread(dump);
    // The values are on their way, and no pipe holds all of them.
    let mut file = vec![0; 100_000];
    stdout.read_exact(&mut file).unwrap();
    running.signal(Signal::SIGINT);
    stdout.read_to_end(&mut file).unwrap();
    let run = running.finish();
    assert_eq!(run.code, Some(130), "{}", run.stderr);
    let text = String::from_utf8(file).unwrap();
    let whole = text.matches(&format!("{}\r\n", "v".repeat(4_000))).count();
    assert!(whole > 10 && whole < keys, "{whole}");
    assert_eq!(
        run.stderr,
        format!("memsweep: stopped after {whole} keys\n")
    );
    let last = text.lines().last().unwrap();
    let mark = format!("# memsweep: incomplete, {whole} of ");
    assert!(last.starts_with(&mark), "{whole} {last}");
    assert!(folder.journal().trim_end().ends_with(" incomplete"));
}

#[test]
fn what_cannot_be_written_down_is_not_begun() {
    let folder = Folder::new();
    let (address, _server) = start(&[]);
    Client::connect(address).set("k", 0, 0, b"v");
    let mut command = folder.tool(&[&address.to_string(), "dump"]);
    command.env("XDG_STATE_HOME", folder.file("state", "a file, no folder"));
    let (run, stdout) = run_bytes(command);
    assert_eq!(run.code, Some(3));
    assert!(stdout.is_empty());
    assert_eq!(run.stderr.lines().count(), 1);
    assert!(run.stderr.contains("journal of dumps"), "{}", run.stderr);
}
