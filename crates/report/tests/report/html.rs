//! HTML as other programs read it: well-formed, of allowed elements only, its style named by its
//! own hash; and as a browser shows it, under the policy in its head.

use std::path::PathBuf;
use std::process::Command;

use model::Language::{English, Japanese};
use model::{Address, Endpoint, Transport};
use report::{Format, History, Style, html_writer, writer};

use crate::fixture::{self, HOSTILE, Run};
use crate::{options, render, render_with};

/// Reads a document with Python's own parser, and says what is wrong with it, line by line.
const CHECKER: &str = r##"
import base64, hashlib, html.parser, re, sys

TAGS = set("""html head meta title style body header main nav section article p span strong a h1 h2
h3 h4 ul ol li dl dt dd pre code table thead tbody tr th td div time details summary figure
figcaption svg desc g rect text path line polyline circle""".split())
ATTRIBUTES = set("""lang charset http-equiv content name class id href scope datetime open
aria-label aria-labelledby role data-grade data-severity data-verdict data-mark data-line viewbox
x y x1 x2 y1 y2 cx cy r width height d points""".split())
VOID = {"meta"}

class Reader(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.stack, self.ids, self.links, self.style, self.policy = [], [], [], "", ""
    def handle_starttag(self, tag, attributes):
        self.one(tag, attributes)
        if tag not in VOID:
            self.stack.append(tag)
    def handle_startendtag(self, tag, attributes):
        self.one(tag, attributes)
    def one(self, tag, attributes):
        if tag not in TAGS:
            print("element", tag)
        for name, value in attributes:
            if name not in ATTRIBUTES:
                print("attribute", name, "of", tag)
            if name == "id":
                self.ids.append(value)
            if name == "href":
                self.links.append(value)
        attributes = dict(attributes)
        if attributes.get("http-equiv") == "Content-Security-Policy":
            self.policy = attributes["content"]
        if tag == "svg" and attributes.get("role") != "img":
            print("a picture without its role")
        if tag == "th" and "scope" not in attributes:
            print("a head without its scope")
    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag:
            print("end of", tag, "out of place")
    def handle_data(self, text):
        if self.stack and self.stack[-1] == "style":
            self.style += text

def check(document):
    reader = Reader()
    reader.feed(document)
    reader.close()
    if reader.stack:
        print("left open:", reader.stack)
    if len(set(reader.ids)) != len(reader.ids):
        print("ids are not unique")
    for link in reader.links:
        if not link.startswith("#") or link[1:] not in reader.ids:
            print("link to", link)
    for word in ["url(", "@import", "expression", "http:", "https:", "\\"]:
        if word in reader.style:
            print("the style has", word)
    digest = base64.b64encode(hashlib.sha256(reader.style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    if reader.policy != policy:
        print("the policy should be:", policy)

for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        check(file.read())
"##;

/// What a program says of files.
fn said_of(files: &[PathBuf], command: &mut Command) -> String {
    let output = command.args(files).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn documents() -> Vec<String> {
    let runs = [
        fixture::everything(),
        fixture::two_servers(),
        fixture::nothing_exposed(),
        fixture::interrupted(),
        fixture::only_here(),
        fixture::found(),
    ];
    let mut documents = Vec::new();
    for language in [English, Japanese] {
        for style in [
            Style::Scan,
            Style::Check,
            Style::Verify,
            Style::Demo,
            Style::Find,
        ] {
            let options = options(style, language, 100);
            documents.extend(runs.iter().map(|run| render(Format::Html, &options, run)));
        }
        let report = html_writer(&options(Style::Scan, language, 100), &fixture::history());
        documents.push(render_with(report, &fixture::everything()));
    }
    documents
}

#[test]
fn parsers_find_nothing_but_what_is_ours() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (number, document) in documents().into_iter().enumerate() {
        for word in [
            "<script",
            "</script",
            "javascript:",
            "http://",
            "https://",
            "style=",
        ] {
            assert!(!document.contains(word), "{word}");
        }
        files.push(folder.path().join(format!("{number}.html")));
        std::fs::write(&files[number], document).unwrap();
    }
    let mut checker = Command::new("python3");
    assert_eq!(said_of(&files, checker.args(["-c", CHECKER])), "");
    let mut lint = Command::new("xmllint");
    assert_eq!(said_of(&files, lint.arg("--noout")), "");
}

#[test]
fn what_a_server_says_is_all_there_and_is_text() {
    let options = options(Style::Scan, English, 100);
    let document = render(Format::Html, &options, &fixture::everything());
    let shown = report::escape_for_terminal(HOSTILE);
    let shown = shown
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let shown = shown.replace('"', "&quot;").replace('\'', "&#39;");
    assert!(document.matches(&shown).count() > 10, "{shown}");
}

#[test]
fn a_browser_shows_it_under_its_policy() {
    let options = options(Style::Scan, Japanese, 100);
    let report = html_writer(&options, &fixture::history());
    let document = render_with(report, &fixture::everything());
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(complaints(&document, folder.path()), "");
    // The browser would tell: it does of a document whose style is not the one of its policy.
    let changed = document.replace("\n:root {", "\n:root { ");
    let told = complaints(&changed, folder.path());
    assert!(told.contains("Content Security Policy"), "{told}");
}

/// What a browser writes to its console when it opens a document.
fn complaints(document: &str, folder: &std::path::Path) -> String {
    let path = folder.join("report.html");
    std::fs::write(&path, document).unwrap();
    let output = Command::new("timeout")
        .args([
            "60",
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
        ])
        .args([
            "--no-first-run",
            "--disable-background-networking",
            "--disable-sync",
        ])
        .args([
            "--disable-component-update",
            "--host-resolver-rules=MAP * ~NOTFOUND",
        ])
        .arg(format!(
            "--user-data-dir={}",
            folder.join("profile").display()
        ))
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("file://{}", path.display()))
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("</html>"), "{}", output.status);
    let log = String::from_utf8_lossy(&output.stderr);
    let of_page = log.lines().filter(|line| line.contains("CONSOLE"));
    of_page.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_long_run_stays_bounded_and_says_what_is_left_out() {
    for format in [Format::Html, Format::Markdown] {
        let document = long_run(format);
        assert!(document.contains("Details are given of the worst 1,000 endpoints"));
        assert!(document.contains("Left out of the table: 4,000 endpoints"));
        assert!(document.len() < 24 << 20, "{} bytes", document.len());
        // Those that matter most came last.
        assert!(document.contains("10.1.0.0:11211/tcp"));
    }
}

/// 25,000 endpoints, the exposed ones last.
fn long_run(format: Format) -> String {
    let mut report = writer(format, &options(Style::Scan, English, 100));
    let mut out = Vec::new();
    let place = |number: u32| {
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + number);
        Endpoint::new(Address::from_ip(ip.into()), 11211, Transport::Tcp)
    };
    report.run(&fixture::run_record(), &mut out);
    for number in 0..24_000 {
        let mut record = fixture::closed();
        record.endpoint = place(number);
        report.record(&record, &mut out);
    }
    for number in 0..1_000 {
        let mut record = fixture::exposed_tcp();
        record.endpoint = place(0x1_0000 + number);
        report.record(&record, &mut out);
    }
    report.summary(&fixture::nothing_exposed().summary, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn two_runs_make_a_plot_over_time_and_one_does_not() {
    let draw = |history: &History| {
        let Run { run, summary, .. } = fixture::nothing_exposed();
        let mut report = html_writer(&options(Style::Scan, English, 100), history);
        let mut out = Vec::new();
        report.run(&run, &mut out);
        report.summary(&summary, &mut out);
        String::from_utf8(out).unwrap()
    };
    let mut history = fixture::history();
    assert!(draw(&history).contains("Exposure over time"));
    // In any order, and at one moment.
    history.points.reverse();
    assert_eq!(draw(&history), draw(&fixture::history()));
    let one = history.points[0].clone();
    history.points = vec![one.clone(), one];
    assert!(!draw(&history).contains("NaN"));
    history.points.truncate(1);
    assert!(!draw(&history).contains("Exposure over time"));
}
