//! Passwords: where they go, and where they never do.

use sim::Hosting;
use sim::behaviour::{BindingProtocol, Demand, GenuineConfig};
use testkit::{MemcachedServer, Namespace};

use crate::program::{program, program_in};
use crate::servers::{BOTH, TCP, TLS, Tape, Taped, host, host_taped};
use crate::tool_ground::{
    Client, Folder, MODES, PASSWORD, SaslServer, USER, at_once, run_bytes, run_with_input, start,
};

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// Everything that went to a made-up server holds neither the password nor a store.
#[track_caller]
fn check_nothing_was_told(tape: &Tape, at: &str) {
    let segments = tape.segments.lock().unwrap().concat();
    let datagrams = tape.datagrams.lock().unwrap().concat();
    for bytes in [segments, datagrams] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!contains(&bytes, PASSWORD.as_bytes()), "{at}: {text}");
        assert!(!contains(&bytes, b"set "), "{at}: {text}");
    }
}

#[test]
fn no_password_goes_to_a_server_that_does_not_demand_it() {
    let folder = Folder::new();
    let file = folder.file("password", PASSWORD);
    let login = ["--user", USER, "--password-file", &file];
    let open = |version: &str| GenuineConfig {
        udp_port: 11211,
        ..GenuineConfig::new(version)
    };
    let binary = GenuineConfig {
        protocol: BindingProtocol::Binary,
        ..open("1.6.18")
    };
    let demanding = |demand| GenuineConfig {
        demand,
        ..GenuineConfig::new("1.6.18")
    };
    let insecure: &[&str] = &["--tls", "--insecure"];
    let ways: [(Hosting, GenuineConfig, &[&str]); 7] = [
        (BOTH, open("1.6.18"), &[]),
        (BOTH, open("1.4.15"), &[]),
        (BOTH, open("1.6.45"), &["--udp"]),
        (BOTH, binary, &[]),
        (TLS, open("1.6.18"), insecure),
        // These demand it, but nobody looked who they are.
        (TLS, demanding(Demand::Ascii), insecure),
        (TLS, demanding(Demand::Sasl), insecure),
    ];
    at_once(&ways, ways.len(), |(hosting, config, flags)| {
        let (hosting, config) = (*hosting, config.clone());
        let demand = config.demand;
        let at = format!("{} {demand:?} {flags:?}", config.version);
        let (address, journal, tape, _server) = host_taped(hosting, config);
        for mode in MODES {
            let target = address.to_string();
            let arguments = [&[&target[..], mode], *flags, &login].concat();
            let (run, _) = run_with_input(&folder, folder.tool(&arguments), "stats\n");
            if demand != Demand::Nothing {
                assert_eq!(run.code, Some(2), "{at} {mode}: {}", run.stderr);
                assert!(run.stderr.contains("--insecure"), "{at}: {}", run.stderr);
            }
            assert!(!run.stderr.contains(PASSWORD), "{at}");
        }
        check_nothing_was_told(&tape, &at);
        assert!(!tape.is_empty());
        for heard in journal.heard() {
            assert!(!heard.request.starts_with("set"), "{at}: {}", heard.request);
            let is_sasl = heard.request.starts_with("binary 0x21");
            assert!(!is_sasl, "{at}: {}", heard.request);
        }
    });
}

#[test]
fn only_the_words_of_a_demand_are_one() {
    let folder = Folder::new();
    let file = folder.file("password", PASSWORD);
    struct Parrot(&'static [u8]);
    impl sim::Personality for Parrot {
        fn stream_opened(&mut self, _: sim::StreamId, _: u64) -> Vec<sim::Act> {
            Vec::new()
        }
        fn stream_bytes(&mut self, _: sim::StreamId, _: &[u8], _: u64) -> Vec<sim::Act> {
            vec![sim::Act::Send(self.0.to_vec())]
        }
        fn stream_closed(&mut self, _: sim::StreamId) {}
        fn datagram(&mut self, _: &[u8], _: u64) -> Vec<sim::DatagramAct> {
            Vec::new()
        }
    }
    let replies: [&[u8]; 4] = [
        b"CLIENT_ERROR please authenticate\r\n",
        b"SERVER_ERROR unauthenticated\r\n",
        b"ERROR\r\n",
        b"password:\r\n",
    ];
    for reply in replies {
        let tape = Tape::default();
        let taped = Taped {
            inner: Parrot(reply),
            tape: tape.clone(),
        };
        let (address, _server) = host(TCP, taped);
        let target = address.to_string();
        let login = ["--user", USER, "--password-file", &file];
        let (run, stdout) = run_bytes(folder.tool(&[&[&target[..], "stats"], &login[..]].concat()));
        assert_eq!(run.code, Some(3), "{}", run.stderr);
        assert!(stdout.is_empty());
        check_nothing_was_told(&tape, &String::from_utf8_lossy(reply));
    }
}

#[test]
fn passwords_come_from_a_file_or_the_environment_and_are_shown_nowhere() {
    let folder = Folder::new();
    let users = folder.file("users", &format!("{USER}:{PASSWORD}\n"));
    let (ascii, _server) = start(&["-Y", &users]);
    let sasl = SaslServer::start();
    let file = folder.file("password", &format!("{PASSWORD}\r\n"));
    for address in [ascii, sasl.address] {
        let target = address.to_string();
        for password in [PASSWORD, "wrong-word"] {
            let mut by_environment = folder.tool(&[&target, "stats", "--user", USER]);
            by_environment.env("MEMSWEEP_PASSWORD", password);
            let mut all_by_environment = folder.tool(&[&target, "stats"]);
            all_by_environment.env("MEMSWEEP_USER", USER);
            all_by_environment.env("MEMSWEEP_PASSWORD", password);
            for command in [by_environment, all_by_environment] {
                let (run, stdout) = run_bytes(command);
                let is_right = password == PASSWORD;
                let expected = if is_right { 0 } else { 2 };
                assert_eq!(run.code, Some(expected), "{}", run.stderr);
                assert_eq!(stdout.is_empty(), !is_right);
                assert!(!contains(&stdout, password.as_bytes()));
                assert!(!run.stderr.contains(password), "{}", run.stderr);
            }
        }
        let by_file = [
            &target[..],
            "stats",
            "--user",
            USER,
            "--password-file",
            &file,
        ];
        let (run, stdout) = run_bytes(folder.tool(&by_file));
        assert_eq!((run.code, &run.stderr[..]), (Some(0), ""));
        assert!(contains(&stdout, b"curr_items"));
    }
    // What is dumped with a password is journalled without it.
    let dump = [
        &ascii.to_string()[..],
        "dump",
        "--user",
        USER,
        "--password-file",
        &file,
    ];
    let (run, _) = run_bytes(folder.tool(&dump));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(folder.journal().contains(&ascii.to_string()));
    assert!(!folder.journal().contains(PASSWORD));
    // The log-in was no `set`: nothing is stored under any key.
    let mut client = Client::connect(ascii);
    let login = format!("{USER} {PASSWORD}");
    client.set("x", 0, 0, login.as_bytes());
    assert_eq!(client.metadump(), Vec::<String>::new());

    let help = run_bytes(program(&["tool", "--help"])).1;
    assert!(!contains(&help, b"--password "));
    assert!(contains(&help, b"--password-file"));
}

#[test]
fn a_password_with_a_space_is_for_sasl_only() {
    let folder = Folder::new();
    let users = folder.file("users", "anna:two\n");
    let (address, _server) = start(&["-Y", &users]);
    let file = folder.file("password", "two words");
    let target = address.to_string();
    let login = [
        &target[..],
        "stats",
        "--user",
        USER,
        "--password-file",
        &file,
    ];
    let (run, _) = run_bytes(folder.tool(&login));
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("a space"), "{}", run.stderr);
}

#[test]
fn a_password_travels_in_clear_over_a_network_only_if_that_is_allowed() {
    let folder = Folder::new();
    let users = folder.file("users", &format!("{USER}:{PASSWORD}\n"));
    let file = folder.file("password", PASSWORD);
    let scanner = Namespace::new();
    let other = scanner.sibling();
    scanner.connect("10.92.0.1/24", &other, "10.92.0.2/24");
    let _server = MemcachedServer::start_in(&other, &["-l", "10.92.0.2", "-Y", &users]);
    let arguments = [
        "tool",
        "10.92.0.2",
        "stats",
        "--user",
        USER,
        "--password-file",
        &file,
    ];
    for _ in 0..2 {
        let (run, stdout) = run_bytes(program_in(&scanner, &arguments));
        assert_eq!(run.code, Some(2));
        assert_eq!(run.stderr.lines().count(), 1);
        assert!(run.stderr.contains("--allow-cleartext"), "{}", run.stderr);
        assert!(stdout.is_empty());
    }
    let allowed = [&arguments[..], &["--allow-cleartext", "-o", "json"]].concat();
    let (run, stdout) = run_bytes(program_in(&scanner, &allowed));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    // The server counts attempts: this one was the first.
    let text = String::from_utf8(stdout).unwrap();
    let stats: serde_json::Value = serde_json::from_str(&text).unwrap();
    let found = text.contains("auth_cmds");
    assert!(found, "{stats}");
    let count = text.split("auth_cmds").nth(1).unwrap();
    let digits: String = count
        .chars()
        .skip_while(|character| !character.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    assert_eq!(digits, "1", "{text}");
}
