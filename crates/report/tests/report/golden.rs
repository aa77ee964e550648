//! What users read, compared with files under `tests/golden`. After a wanted change, write them
//! anew with `UPDATE_EXPECT=1 cargo test -p report` and read the difference.

use std::path::PathBuf;

use model::Language::{English, Japanese};
use report::{Format, Style};

use crate::fixture;
use crate::{options, render, render_with};

#[track_caller]
pub(crate) fn check(name: &str, actual: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((number, (expected, actual))) = expected
        .lines()
        .zip(actual.lines())
        .enumerate()
        .find(|(_, (left, right))| left != right)
    {
        panic!(
            "{name}:{}\nexpected: {expected}\n  actual: {actual}",
            number + 1
        );
    }
    assert_eq!(
        expected.lines().count(),
        actual.lines().count(),
        "{name}: number of lines"
    );
    assert_eq!(expected, actual, "{name}");
}

#[test]
fn text_of_a_scan_at_every_width_in_both_languages() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        for width in [60, 100, 140] {
            let options = options(Style::Scan, language, width);
            let text = render(Format::Text, &options, &fixture::everything());
            check(&format!("scan-{code}-{width}.txt"), &text);
        }
    }
}

#[test]
fn text_of_an_ordinary_scan() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        for width in [80, 120] {
            let options = options(Style::Scan, language, width);
            let text = render(Format::Text, &options, &fixture::small());
            check(&format!("small-{code}-{width}.txt"), &text);
        }
    }
}

#[test]
fn text_in_colour() {
    let plain = options(Style::Scan, English, 80);
    let colored = report::TextOptions {
        color: true,
        ..plain
    };
    check(
        "small-color-en-80.txt",
        &render(Format::Text, &colored, &fixture::small()),
    );
}

#[test]
fn text_of_a_check() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let options = options(Style::Check, language, 100);
        let text = render(Format::Text, &options, &fixture::two_servers());
        check(&format!("check-{code}-100.txt"), &text);
    }
    let mut options = options(Style::Check, English, 80);
    options.verbose = true;
    let text = render(Format::Text, &options, &fixture::everything());
    check("check-verbose-en-80.txt", &text);
}

#[test]
fn text_of_a_verify() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let options = options(Style::Verify, language, 100);
        let text = render(Format::Text, &options, &fixture::everything());
        check(&format!("verify-{code}-100.txt"), &text);
        let text = render(Format::Text, &options, &fixture::nothing_exposed());
        check(&format!("verify-no-answer-{code}-100.txt"), &text);
        let text = render(Format::Text, &options, &fixture::closed_now());
        check(&format!("verify-closed-{code}-100.txt"), &text);
    }
}

#[test]
fn text_of_quiet_runs() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let options = options(Style::Scan, language, 100);
        for (run, name) in [
            (fixture::nothing_exposed(), "nothing-exposed"),
            (fixture::only_here(), "only-here"),
            (fixture::interrupted(), "interrupted"),
        ] {
            let text = render(Format::Text, &options, &run);
            check(&format!("{name}-{code}-100.txt"), &text);
        }
    }
}

#[test]
fn text_of_the_demo() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let options = options(Style::Demo, language, 100);
        let text = render(Format::Text, &options, &fixture::two_servers());
        check(&format!("demo-{code}-100.txt"), &text);
    }
}

#[test]
fn text_of_a_search() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        for width in [60, 120] {
            let options = options(Style::Find, language, width);
            let text = render(Format::Text, &options, &fixture::found());
            check(&format!("found-{code}-{width}.txt"), &text);
        }
    }
}

#[test]
fn ndjson_and_json() {
    let options = options(Style::Scan, Japanese, 100);
    for (run, name) in [
        (fixture::everything(), "everything"),
        (fixture::interrupted(), "interrupted"),
    ] {
        let shortened = |text: String| shorten(&text);
        check(
            &format!("{name}.ndjson"),
            &shortened(render(Format::Ndjson, &options, &run)),
        );
        check(
            &format!("{name}.json"),
            &shortened(render(Format::Json, &options, &run)),
        );
    }
}

#[test]
fn nmap_in_both_languages() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let options = options(Style::Scan, language, 100);
        let text = render(Format::Nmap, &options, &fixture::everything());
        check(&format!("everything-{code}.nmap"), &text);
    }
}

#[test]
fn html_in_both_languages() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let options = options(Style::Scan, language, 100);
        let report = report::html_writer(&options, &fixture::history());
        let text = render_with(report, &fixture::everything());
        check(&format!("everything-{code}.html"), &text);
    }
    let options = options(Style::Find, English, 100);
    let text = render(Format::Html, &options, &fixture::found());
    check("found-en.html", &text);
    let options = report::TextOptions {
        style: Style::Scan,
        ..options
    };
    for (run, name) in [
        (fixture::nothing_exposed(), "nothing-exposed"),
        (fixture::interrupted(), "interrupted"),
    ] {
        let text = render(Format::Html, &options, &run);
        check(&format!("{name}-en.html"), &text);
    }
}

#[test]
fn markdown_in_both_languages() {
    for (language, code) in [(English, "en"), (Japanese, "ja")] {
        let options = options(Style::Scan, language, 100);
        let report = report::markdown_writer(&options, &fixture::history());
        let text = render_with(report, &fixture::everything());
        check(&format!("everything-{code}.md"), &text);
    }
    let options = options(Style::Find, Japanese, 100);
    let text = render(Format::Markdown, &options, &fixture::found());
    check("found-ja.md", &text);
}

/// The huge strings are in the output in full; the golden files name them instead.
pub(crate) fn shorten(text: &str) -> String {
    text.replace(&"9".repeat(100_000), "(100000 nines)")
        .replace(&"x".repeat(100_000), "(100000 times x)")
}
