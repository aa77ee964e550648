//! A sample of key names, told: what kinds of data are stored, and never whose.

use model::{Answer, Dialogue, KeySample, KindCount, Language, Text, Unsampled};
use serde_json::Value;

use crate::escape::escape_for_terminal;
use crate::values::{Object, set, set_some};
use crate::words::grouped;

/// Patterns named in a text.
const PATTERNS_SHOWN_MAX: usize = 6;

/// What came of a wish for names, in one or two lines without a label; none if nobody wished.
/// Harmless to a terminal.
pub(crate) fn lines(dialogue: &Dialogue, language: Language) -> Vec<String> {
    if let Some(why) = dialogue.unsampled {
        let why = unsampled(why);
        return vec![match language {
            Language::English => format!("not sampled: {}", why.en),
            Language::Japanese => format!("取得せず：{}", why.ja),
        }];
    }
    match &dialogue.key_sample {
        Answer::NotAsked => Vec::new(),
        Answer::Given(sample) | Answer::Truncated(sample) if sample.names_seen > 0 => {
            let mut lines = vec![kinds(sample, language)];
            lines.extend(patterns(sample, language));
            lines
        }
        Answer::Given(_) => vec![text(&none_listed(), language)],
        Answer::Truncated(_) | Answer::Silent | Answer::Closed | Answer::Refused(_) => {
            let not_listed = Text::new("none were listed", "名前は返されなかった");
            vec![text(&not_listed, language)]
        }
    }
}

/// The sample as the value of `key_sample`.
pub(crate) fn object(sample: &KeySample) -> Object {
    let mut object = Object::new();
    set(&mut object, "names_max", sample.names_max);
    set(&mut object, "names_seen", sample.names_seen);
    let kinds = sample.kinds.iter().map(|count| {
        let mut row = Object::new();
        set(&mut row, "kind", count.kind.en);
        set(&mut row, "secret", count.kind.secret);
        set(&mut row, "names", count.names);
        set_some(&mut row, "pattern", count.pattern.as_deref());
        Value::Object(row)
    });
    set(&mut object, "kinds", kinds.collect::<Vec<Value>>());
    let patterns = sample.patterns.iter().map(|count| {
        let mut row = Object::new();
        set(&mut row, "pattern", count.pattern.as_str());
        set(&mut row, "names", count.names);
        Value::Object(row)
    });
    set(&mut object, "patterns", patterns.collect::<Vec<Value>>());
    set(&mut object, "other_names", sample.other_names);
    object
}

/// Why no names were asked for, without a full stop.
fn unsampled(why: Unsampled) -> Text {
    match why {
        Unsampled::UnknownVersion => Text::new(
            "it says no version of memcached, so that what harms some versions cannot be avoided",
            "memcached のバージョンが分からず、特定のバージョンに害のある要求を避けられないため",
        ),
        Unsampled::NoItems => Text::new(
            "it names no slab class that holds items",
            "アイテムのあるスラブクラスが示されなかったため",
        ),
        Unsampled::Contradictory => Text::new(
            "it contradicts itself, so that its names would prove nothing",
            "応答が矛盾しており、キー名が証拠にならないため",
        ),
        Unsampled::NotAscii => Text::new(
            "it speaks the binary protocol only, which lists no names",
            "バイナリプロトコルのみに対応し、キー名を列挙できないため",
        ),
        Unsampled::NoTime => Text::new(
            "its time was up, or it took no further connection",
            "時間切れ、または追加の接続を受け付けなかったため",
        ),
    }
}

fn none_listed() -> Text {
    Text::new(
        "none listed, although it holds items: since 1.5.0 `stats cachedump` names only what was not \
         used lately",
        "アイテムはあるが名前は返されなかった（1.5.0 以降の `stats cachedump` は、最近使われていない\
         ものだけを返す）",
    )
}

fn kinds(sample: &KeySample, language: Language) -> String {
    let seen = grouped(sample.names_seen);
    let most = grouped(sample.names_max);
    let named: Vec<String> = sample.kinds.iter().map(|one| kind(one, language)).collect();
    match (language, named.is_empty()) {
        (Language::English, true) => format!("{seen} sampled (at most {most}), of no known kind"),
        (Language::English, false) => {
            format!("{seen} sampled (at most {most}): {}", named.join(", "))
        }
        (Language::Japanese, true) => format!("{seen} 件を取得（上限 {most}）、既知の種類なし"),
        (Language::Japanese, false) => {
            format!("{seen} 件を取得（上限 {most}）：{}", named.join("、"))
        }
    }
}

fn kind(count: &KindCount, language: Language) -> String {
    let names = grouped(count.names);
    match language {
        Language::English => format!("{names} {}", count.kind.en),
        Language::Japanese => format!("{} {names} 件", count.kind.ja),
    }
}

fn patterns(sample: &KeySample, language: Language) -> Option<String> {
    let named: Vec<String> = sample
        .patterns
        .iter()
        .take(PATTERNS_SHOWN_MAX)
        .map(|one| {
            format!(
                "{} {}",
                escape_for_terminal(&one.pattern),
                grouped(one.names)
            )
        })
        .collect();
    let comma = crate::words::pick(language, ", ", "、");
    (!named.is_empty()).then(|| named.join(comma))
}

fn text(text: &Text, language: Language) -> String {
    text.in_language(language).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(names: &[&str]) -> Dialogue {
        let mut tally = model::KeyTally::default();
        for name in names {
            tally.add(name.as_bytes());
        }
        Dialogue {
            key_sample: Answer::Given(tally.finish(50)),
            ..Dialogue::default()
        }
    }

    #[test]
    fn what_was_sampled_is_said_in_two_lines() {
        let sessions = sampled(&[
            "memc.sess.key.4f9a8b7c6d5e4f3a",
            "memc.sess.key.aaaabbbbccccdddd",
            "\u{1b}[2J:a",
            "\u{1b}[2J:b",
        ]);
        let unsampled = Dialogue {
            unsampled: Some(Unsampled::NotAscii),
            ..Dialogue::default()
        };
        let refused = Dialogue {
            key_sample: Answer::Refused("ERROR".into()),
            ..Dialogue::default()
        };
        let cases: [(&Dialogue, &[&str], &[&str]); 6] = [
            (
                &sessions,
                &[
                    "4 sampled (at most 50): 2 PHP sessions",
                    "\\x1b[* 2, memc.sess.key.* 2",
                ],
                &[
                    "4 件を取得（上限 50）：PHP セッション 2 件",
                    "\\x1b[* 2、memc.sess.key.* 2",
                ],
            ),
            (
                &sampled(&["a"]),
                &["1 sampled (at most 50), of no known kind"],
                &["1 件を取得（上限 50）、既知の種類なし"],
            ),
            (
                &sampled(&[]),
                &[
                    "none listed, although it holds items: since 1.5.0 `stats cachedump` names only what was not used lately",
                ],
                &[
                    "アイテムはあるが名前は返されなかった（1.5.0 以降の `stats cachedump` は、最近使われていないものだけを返す）",
                ],
            ),
            (
                &unsampled,
                &["not sampled: it speaks the binary protocol only, which lists no names"],
                &["取得せず：バイナリプロトコルのみに対応し、キー名を列挙できないため"],
            ),
            (&refused, &["none were listed"], &["名前は返されなかった"]),
            (&Dialogue::default(), &[], &[]),
        ];
        for (dialogue, english, japanese) in cases {
            assert_eq!(lines(dialogue, Language::English), english);
            assert_eq!(lines(dialogue, Language::Japanese), japanese);
        }
    }
}
