//! `explain`: what a rule is, without any network.

use serde_json::Value;

use crate::program::memsweep;

#[test]
fn rules_and_grades_are_explained() {
    let cases: [(&[&str], i32, &str); 7] = [
        (&["explain", "--lang", "en"], 0, "MS110  CVE-2016-8704"),
        (
            &["explain", "ms002", "--lang", "en"],
            0,
            "UDP port can be used",
        ),
        (
            &["explain", "CVE-2016-8704", "--lang", "en"],
            0,
            "CVSS v3 9.8",
        ),
        (&["explain", "MS002", "--lang", "ja"], 0, "リフレクター"),
        (&["explain", "grade", "--lang", "en"], 0, "F from 100"),
        (&["explain", "grade", "--lang", "ja"], 0, "負債点"),
        (&["explain", "MS999"], 2, "no rule is called \"MS999\""),
    ];
    for (arguments, code, part) in cases {
        let run = memsweep(arguments);
        assert_eq!(run.code, Some(code), "{arguments:?}");
        let (said, other) = match code {
            0 => (&run.stdout, &run.stderr),
            _ => (&run.stderr, &run.stdout),
        };
        assert!(said.contains(part), "{arguments:?}: {said}");
        assert_eq!(other, "", "{arguments:?}");
    }
}

#[test]
fn programs_get_json() {
    for arguments in [
        &["explain", "-o", "json"][..],
        &["explain", "MS001", "-o", "json"],
        &["explain", "grade", "-o", "json"],
    ] {
        let run = memsweep(arguments);
        assert_eq!(run.code, Some(0), "{arguments:?}");
        let value: Value = serde_json::from_str(&run.stdout).unwrap();
        assert!(value.is_array() || value["ja"].is_object() || value["ja"].is_array());
    }
}
