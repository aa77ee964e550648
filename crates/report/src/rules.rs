//! `memsweep explain` and docs/rules: rules and grades, as text, JSON and Markdown.

use assess::local::{LocalRule, local_rules};
use assess::{Bilingual, FORMULA, Flaw, Gate, Rule, rules};
use model::{Language, Text};
use serde_json::{Value, json};

use crate::TextOptions;
use crate::json::document;
use crate::layout::width;
use crate::text::page::{Ink, Label, Page, WIDTH_COLUMNS_MIN};
use crate::values::{Object, set, set_some};

/// What a document begins with that `cargo xtask rules` writes.
const GENERATED: &str = "<!-- Made by `cargo xtask rules` from crates/assess; do not edit. -->";

/// A rule as it is told to people: one on what servers answer, or one of `audit`.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The stable code, such as `MS001`.
    pub code: &'static str,
    /// A name for people who type.
    pub name: &'static str,
    title: Bilingual,
    since: &'static str,
    flaw: Option<&'static Flaw>,
    parts: Vec<Part>,
}

/// A part of a rule: its heading, and its text in both languages.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// The key in JSON.
    key: &'static str,
    heading: Bilingual,
    text: Bilingual,
}

impl Explanation {
    /// All rules, by their codes.
    pub fn all() -> Vec<Explanation> {
        let of_answers = rules().iter().map(Explanation::of_rule);
        let of_audit = local_rules().iter().map(Explanation::of_local_rule);
        of_answers.chain(of_audit).collect()
    }

    /// The rule of a code, a name, or a reference such as `CVE-2018-1000115`; upper and lower case are
    /// the same.
    pub fn find(word: &str) -> Option<Explanation> {
        let is_meant = |one: &Explanation| {
            one.code.eq_ignore_ascii_case(word) || one.name.eq_ignore_ascii_case(word)
        };
        let is_referred = |one: &Explanation| {
            let references = one.parts.iter().filter(|part| part.key == "references");
            let mut lines = references.flat_map(|part| part.text.en.lines());
            lines.any(|line| {
                let first = line.split_whitespace().next();
                first.is_some_and(|first| first.eq_ignore_ascii_case(word))
            })
        };
        let all = Explanation::all();
        let found = all.iter().find(|one| is_meant(one));
        found
            .or_else(|| all.iter().find(|one| is_cve(word) && is_referred(one)))
            .cloned()
    }

    fn of_rule(rule: &'static Rule) -> Explanation {
        Explanation {
            code: rule.code,
            name: rule.name,
            title: rule.title,
            since: rule.since,
            flaw: rule.flaw.as_ref(),
            parts: vec![
                part("what", "What", "内容", rule.what),
                part("why", "Why", "理由", rule.why),
                part("evidence", "Evidence", "根拠", rule.evidence),
                part("fix", "Fix", "対処", rule.fix),
                part("references", "References", "参考", rule.references),
            ],
        }
    }

    /// What `audit` reads is on the machine itself: what was found is its own proof.
    fn of_local_rule(rule: &'static LocalRule) -> Explanation {
        Explanation {
            code: rule.code,
            name: rule.name,
            title: rule.title,
            since: rule.since,
            flaw: None,
            parts: vec![
                part("what", "What", "内容", rule.what),
                part("why", "Why", "理由", rule.why),
                part("fix", "Fix", "対処", rule.fix),
            ],
        }
    }
}

/// Everything about one rule.
pub fn rule_text(rule: &Explanation, options: &TextOptions) -> String {
    on_page(options, |page| {
        let language = page.language();
        let title = format!("{}  {}", rule.code, rule.title.in_language(language));
        page.paragraph(Ink::Bold, &title);
        let since = page.pick("since ", "追加 ");
        let mut facts = vec![rule.name.to_owned(), format!("{since}{}", rule.since)];
        if let Some(flaw) = rule.flaw {
            facts.extend(flaw.cvss.map(|cvss| cvss.in_words()));
        }
        page.items(Ink::Faint, &facts);
        if let Some(flaw) = rule.flaw {
            let affected = affected(flaw);
            let words = page
                .pick("Affected: ", "影響を受けるバージョン：")
                .to_owned();
            page.paragraph(Ink::Plain, &(words + affected.in_language(language)));
        }
        for part in &rule.parts {
            page.heading(part.heading.in_language(language));
            for line in part.text.in_language(language).lines() {
                page.labelled(&indented(), Ink::Plain, line);
            }
        }
    })
}

/// All rules, a line each.
pub fn rules_text(options: &TextOptions) -> String {
    on_page(options, |page| {
        let all = Explanation::all();
        let columns = all.iter().map(|rule| width(rule.code)).max();
        let columns = columns.unwrap_or_default();
        for rule in &all {
            let label = Label {
                indent: 0,
                text: rule.code,
                columns,
                ink: Ink::Bold,
            };
            page.labelled(&label, Ink::Plain, rule.title.in_language(page.language()));
        }
        page.blank();
        let words = page.pick(
            "`memsweep explain CODE` tells all about a rule, `memsweep explain grade` how grades \
             are made.",
            "各ルールの詳細は `memsweep explain CODE`、評価の計算方法は `memsweep explain grade` で表示\
             します。",
        );
        page.paragraph(Ink::Plain, words);
    })
}

/// How grades are made.
pub fn grade_text(options: &TextOptions) -> String {
    on_page(options, |page| {
        let title = page.pick("Grades, from A to F", "評価（A〜F）");
        page.paragraph(Ink::Bold, title);
        for part in &FORMULA {
            page.blank();
            page.paragraph(Ink::Plain, part.in_language(page.language()));
        }
    })
}

/// One rule as a JSON object, in both languages.
pub fn rule_json(rule: &Explanation) -> String {
    document(&rule_value(rule))
}

/// All rules as a JSON array.
pub fn rules_json() -> String {
    document(&Explanation::all().iter().map(rule_value).collect())
}

/// How grades are made, as a JSON object.
pub fn grade_json() -> String {
    let in_language = |language| -> Vec<&str> {
        FORMULA
            .iter()
            .map(|part| part.in_language(language))
            .collect()
    };
    let stretches = assess::Grade::ALL.map(|grade| {
        json!({
            "grade": grade.as_str(),
            "debt_min": grade.debt_min(),
        })
    });
    document(&json!({
        "grades": stretches,
        "en": in_language(Language::English),
        "ja": in_language(Language::Japanese),
    }))
}

/// Every generated document: its path below `docs`, and its text.
pub fn rule_documents() -> Vec<(String, String)> {
    let mut documents = vec![
        ("grades.md".to_owned(), grade_markdown()),
        ("rules/README.md".to_owned(), index_markdown()),
    ];
    let of_rules = Explanation::all();
    let of_rules = of_rules
        .iter()
        .map(|rule| (format!("rules/{}.md", rule.code), rule_markdown(rule)));
    documents.extend(of_rules);
    documents
}

fn is_cve(word: &str) -> bool {
    word.get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("CVE-"))
}

fn part(key: &'static str, en: &'static str, ja: &'static str, text: Bilingual) -> Part {
    Part {
        key,
        heading: Bilingual { en, ja },
        text,
    }
}

/// The releases, and what must be so.
fn affected(flaw: &Flaw) -> Text {
    let (range, gate) = (flaw.range(), gate(flaw.gate));
    Text::new(
        format!("{}; {}", range.en, gate.en),
        format!("{}（{}）", range.ja, gate.ja),
    )
}

fn gate(gate: Gate) -> Text {
    match gate {
        Gate::Any => Text::new("whatever is spoken", "プロトコルを問わず"),
        Gate::Ascii => Text::new("over the ASCII protocol", "ASCII プロトコル"),
        Gate::Binary => Text::new("over the binary protocol", "バイナリプロトコル"),
        Gate::Sasl => Text::new("where SASL is on", "SASL が有効な場合"),
        Gate::Udp => Text::new("where UDP is on", "UDP が有効な場合"),
        Gate::Verbosity(least) => Text::new(
            format!("where the verbosity is {least} or more"),
            format!("詳細度が {least} 以上の場合"),
        ),
        Gate::Proxy => Text::new(
            "where the built-in proxy is on",
            "組み込みプロキシが有効な場合",
        ),
        Gate::UnixSocket => Text::new("over a unix socket", "unix ソケット経由"),
        Gate::AuthenticationFile => Text::new(
            "for whoever may write the file of -Y",
            "-Y のファイルに書き込める場合",
        ),
    }
}

fn rule_value(rule: &Explanation) -> Value {
    let mut object = Object::new();
    set(&mut object, "code", rule.code);
    set(&mut object, "name", rule.name);
    set(&mut object, "since", rule.since);
    if let Some(flaw) = rule.flaw {
        set(&mut object, "flaw", flaw_value(flaw));
    }
    for (key, language) in [("en", Language::English), ("ja", Language::Japanese)] {
        let mut texts = Object::new();
        set(&mut texts, "title", rule.title.in_language(language));
        for part in &rule.parts {
            let text = part.text.in_language(language);
            if part.key == "references" {
                let lines: Vec<&str> = text.lines().collect();
                set(&mut texts, part.key, lines);
            } else {
                set(&mut texts, part.key, text);
            }
        }
        set(&mut object, key, texts);
    }
    Value::Object(object)
}

fn flaw_value(flaw: &Flaw) -> Object {
    let mut object = Object::new();
    set_some(&mut object, "cve", flaw.cve);
    if let Some(cvss) = flaw.cvss {
        let mut score = Object::new();
        set(&mut score, "generation", cvss.generation);
        let base = cvss.tenths.map(|tenths| f64::from(tenths) / 10.0);
        set_some(&mut score, "base", base);
        set(&mut score, "severity", cvss.severity().as_str());
        set(&mut object, "cvss", score);
    }
    let introduced = flaw.introduced.map(|version| version.to_string());
    set_some(&mut object, "introduced", introduced);
    set(&mut object, "fixed", flaw.fixed.to_string());
    set(&mut object, "condition", gate(flaw.gate).en);
    set(&mut object, "before_login", flaw.before_login);
    object
}

/// One rule, both languages side by side.
fn rule_markdown(rule: &Explanation) -> String {
    let mut text = format!("{GENERATED}\n\n# {}: {}\n\n", rule.code, rule.title.en);
    text.push_str(&format!("`{}` · since {}", rule.name, rule.since));
    if let Some(cvss) = rule.flaw.and_then(|flaw| flaw.cvss) {
        text.push_str(&format!(" · {}", cvss.in_words()));
    }
    text.push_str("\n\n| English | 日本語 |\n|---|---|\n");
    let mut row = |en: &str, ja: &str| {
        text.push_str(&format!("| {} | {} |\n", cell(en), cell(ja)));
    };
    row(
        &format!("**{}**", rule.title.en),
        &format!("**{}**", rule.title.ja),
    );
    if let Some(flaw) = rule.flaw {
        let affected = affected(flaw);
        row(
            &format!("**Affected:** {}", affected.en),
            &format!("**影響を受けるバージョン：** {}", affected.ja),
        );
    }
    for part in &rule.parts {
        row(
            &format!("**{}.** {}", part.heading.en, part.text.en),
            &format!("**{}：** {}", part.heading.ja, part.text.ja),
        );
    }
    text
}

fn index_markdown() -> String {
    let mut text = format!(
        "{GENERATED}\n\n# Rules\n\nMS001 and on judge behaviour, MS100 and on judge versions, \
         MS201 and on judge what `audit` reads. \
         `memsweep explain CODE` prints the same. How findings make a grade: \
         [grades](../grades.md).\n\n| code | English | 日本語 |\n|---|---|---|\n"
    );
    for rule in Explanation::all() {
        let code = rule.code;
        let (en, ja) = (cell(rule.title.en), cell(rule.title.ja));
        text.push_str(&format!("| [{code}]({code}.md) | {en} | {ja} |\n"));
    }
    text
}

fn grade_markdown() -> String {
    let mut text = format!("{GENERATED}\n\n# Grades / 評価\n\n| English | 日本語 |\n|---|---|\n");
    for part in &FORMULA {
        text.push_str(&format!("| {} | {} |\n", cell(part.en), cell(part.ja)));
    }
    text
}

/// Text that stays in its cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', "<br>")
}

fn on_page(options: &TextOptions, write: impl FnOnce(&mut Page<'_>)) -> String {
    let options = TextOptions {
        width_columns: options.width_columns.max(WIDTH_COLUMNS_MIN),
        ..options.clone()
    };
    let mut out = Vec::new();
    write(&mut Page::new(&mut out, &options));
    // Everything written was a String before.
    String::from_utf8(out).unwrap_or_default()
}

fn indented() -> Label<'static> {
    Label {
        indent: 0,
        text: "",
        columns: 0,
        ink: Ink::Plain,
    }
}
