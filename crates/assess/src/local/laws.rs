//! Laws of every reader: whatever a file holds, reading ends and gives places that exist.

use proptest::prelude::*;

use super::*;

/// Text that is made of what readers look for, cut and mixed.
fn text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "-l",
        "127.0.0.1",
        "[::1]:",
        "0.0.0.0",
        "-U",
        "0",
        "\n",
        "\n\n",
        " ",
        "=",
        "\"",
        "'",
        "\\",
        "\\\n",
        "#",
        "$OPTIONS",
        "${PORT}",
        "%i",
        "$",
        "[Service]",
        "ExecStart=",
        "memcached",
        "OPTIONS=",
        "é",
        "services:",
        "ports:",
        "- ",
        "11211:11211",
        "image: ",
        "{",
        "}",
        "&a ",
        "*a",
        "<<: ",
        "apiVersion: v1",
        "kind: Service",
        "*filter",
        ":INPUT DROP",
        "-A ",
        "-A INPUT",
        "-j DROP",
        "--dport",
        "!",
        "-j INPUT",
        "<key>ProgramArguments</key>",
        "<string>",
        "</string>",
        "CMD [",
        "ENTRYPOINT ",
        "FROM memcached",
        "session.save_path",
        "php_value[",
        "P:",
        "Package: memcached",
        "0A",
        "0100007F:2BCB",
        "socket",
        "-o",
        "ssl_verify_mode=",
        "proto[",
        "]:",
        "notls:",
        "--",
        "--listen",
        ",",
    ]);
    let anything = prop_oneof![3 => pieces.prop_map(str::to_owned), 1 => any::<String>()];
    prop::collection::vec(anything, 0..40).prop_map(|pieces| pieces.concat())
}

fn check_file(file: &ConfigFile, text: &str) {
    let lines = u32::try_from(text.lines().count())
        .unwrap_or(u32::MAX)
        .max(1);
    let of_words = file.services.iter().flat_map(|service| &service.words);
    let places = of_words.filter_map(|word| word.place.as_ref());
    let places = places.chain(file.settings.iter().map(|setting| &setting.place));
    for place in places.chain(file.sessions.iter().map(|sessions| &sessions.place)) {
        assert!(
            (1..=lines).contains(&place.line),
            "{place} of {lines} lines"
        );
    }
}

proptest! {
    #[test]
    fn files_are_read_to_their_end(text in text()) {
        let parsers: [fn(&str, &str) -> ConfigFile; 8] =
            [sysconfig, memcached_conf, etc_default, rc_conf, plist, dockerfile, php, manifest];
        let mut machine = Machine::default();
        for parse in parsers {
            let file = parse("/f", &text);
            // YAML counts line breaks that a text file does not have, such as U+0085.
            if file.kind != ConfigKind::Compose
                && file.kind != ConfigKind::Kubernetes
                && file.kind != ConfigKind::HelmValues
            {
                check_file(&file, &text);
            }
            machine.services.extend(file.services.clone());
            machine.files.push(file);
        }
        let unit = [unit_file("/u", &text), unit_file("/d", &text)];
        machine.services.extend(compose_unit("memcached@x.service", &unit, &mut |_| Some(text.clone())));
        machine.firewall.rulesets = vec![iptables_save(&text, false), iptables_save(&text, true)];
        let judged = audit(&machine);
        prop_assert_eq!(judged.services.len(), machine.services.len());
    }

    #[test]
    fn tables_are_read_to_their_end(text in text()) {
        let _ = network_table(&text);
        let _ = unix_table(&text);
        let _ = dpkg_status(&text);
        let _ = apk_installed(&text);
        let _ = container_of_cgroup(&text);
        let _ = unit_of_cgroup(&text);
        let _ = published_by_nat(&text);
        let _ = published_by_nft(&text);
        let _ = nft_json(&text, true);
        let _ = os_release(&text);
    }

    #[test]
    fn command_lines_are_read_to_their_end(words in prop::collection::vec(text(), 0..8)) {
        let words: Vec<Word> = words.into_iter().map(Word::bare).collect();
        let options = Options::parse(&words, None);
        prop_assert!(options.given.len() <= words.iter().map(|word| word.text.len()).sum());
        let argv: Vec<String> = words.into_iter().map(|word| word.text).collect();
        let _ = docker_proxy(&argv);
    }
}
