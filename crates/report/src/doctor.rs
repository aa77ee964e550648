//! `memsweep doctor`: what this machine allows each engine, as lines for people and as JSON.

use model::{Diagnosis, Language};
use serde_json::{Value, json};

use crate::escape::{escape_for_terminal, escape_json};
use crate::layout::{pad, width};
use crate::words::pick;

/// Columns between two columns.
const GAP_COLUMNS: usize = 2;

/// A row for each engine, what it lacks below it, and the mend at the end.
pub fn diagnosis_lines(diagnosis: &Diagnosis, language: Language) -> Vec<String> {
    let pick = |en, ja| pick(language, en, ja);
    let heads = [pick("engine", "エンジン"), pick("works", "使用可")];
    let answer = |works: bool| {
        if works {
            pick("yes", "はい")
        } else {
            pick("no", "いいえ")
        }
    };
    let mut widths = heads.map(width);
    for ability in &diagnosis.abilities {
        widths[0] = widths[0].max(width(ability.engine));
        widths[1] = widths[1].max(width(answer(ability.works())));
    }
    let row = |first: &str, second: &str, third: &str| {
        let gap = " ".repeat(GAP_COLUMNS);
        let (first, second) = (pad(first, widths[0]), pad(second, widths[1]));
        format!("{first}{gap}{second}{gap}{third}")
    };
    let mut lines = vec![row(heads[0], heads[1], pick("what it is", "説明"))];
    for ability in &diagnosis.abilities {
        let what = ability.what.in_language(language);
        lines.push(row(ability.engine, answer(ability.works()), what));
        for missing in &ability.missing {
            let missing = escape_for_terminal(missing.in_language(language));
            let words = format!("{}{missing}", pick("missing: ", "不足："));
            lines.push(row("", "", &words));
        }
        if let Some(refused) = &ability.refused {
            let refused = escape_for_terminal(refused.in_language(language));
            let words = format!("{}{refused}", pick("refused: ", "拒否："));
            lines.push(row("", "", &words));
        }
    }
    if !diagnosis.mends.is_empty() {
        lines.push(String::new());
        lines.push(
            pick(
                "Run as root, or allow it once for this program:",
                "root で実行するか、次のコマンドで一度だけ許可してください：",
            )
            .to_owned(),
        );
        let mends = diagnosis.mends.iter();
        lines.extend(mends.map(|mend| format!("  {}", escape_for_terminal(mend))));
    }
    lines
}

/// One JSON object, on one line.
pub fn diagnosis_json(diagnosis: &Diagnosis) -> String {
    let engines: Vec<Value> = diagnosis
        .abilities
        .iter()
        .map(|ability| {
            let missing: Vec<&str> = ability
                .missing
                .iter()
                .map(|text| text.en.as_str())
                .collect();
            json!({
                "engine": ability.engine,
                "works": ability.works(),
                "missing": missing,
                "refused": ability.refused.as_ref().map(|text| text.en.as_str()),
            })
        })
        .collect();
    let value = json!({
        "kernel": diagnosis.kernel,
        "engines": engines,
        "mend": diagnosis.mends,
    });
    escape_json(&value.to_string())
}

#[cfg(test)]
mod tests {
    use model::{Ability, Text};

    use super::*;

    fn diagnosis() -> Diagnosis {
        Diagnosis {
            kernel: "6.1.0".to_owned(),
            abilities: vec![
                Ability {
                    engine: "xdp",
                    what: Text::new("sockets", "ソケット"),
                    missing: Vec::new(),
                    refused: Some(Text::new("no\u{1b} memory", "メモリ不足")),
                },
                Ability {
                    engine: "packet",
                    what: Text::new("raw frames", "生フレーム"),
                    missing: vec![Text::new("CAP_NET_RAW", "CAP_NET_RAW 権限")],
                    refused: None,
                },
                Ability {
                    engine: "socket",
                    what: Text::new("ordinary sockets", "通常のソケット"),
                    missing: Vec::new(),
                    refused: None,
                },
            ],
            mends: vec!["sudo setcap x /a\u{1b}b".to_owned()],
        }
    }

    #[test]
    fn every_engine_has_a_row_and_what_it_lacks() {
        let lines = diagnosis_lines(&diagnosis(), Language::English);
        let expected = [
            "engine  works  what it is",
            "xdp     no     sockets",
            "               refused: no\\x1b memory",
            "packet  no     raw frames",
            "               missing: CAP_NET_RAW",
            "socket  yes    ordinary sockets",
            "",
            "Run as root, or allow it once for this program:",
            "  sudo setcap x /a\\x1bb",
        ];
        assert_eq!(lines, expected);
        let lines = diagnosis_lines(&diagnosis(), Language::Japanese);
        assert_eq!(lines[2], "                  拒否：メモリ不足");
        assert_eq!(lines[3], "packet    いいえ  生フレーム");
        assert_eq!(lines[5], "socket    はい    通常のソケット");
    }

    #[test]
    fn json_is_one_line_in_english() {
        let text = diagnosis_json(&diagnosis());
        assert!(!text.contains('\n') && !text.contains('\u{1b}'));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["engines"][0]["works"], false);
        assert_eq!(value["engines"][0]["refused"], "no\u{1b} memory");
        assert_eq!(value["engines"][1]["works"], false);
        assert_eq!(value["engines"][1]["missing"][0], "CAP_NET_RAW");
        assert_eq!(value["engines"][2]["missing"], json!([]));
        assert_eq!(value["engines"][2]["refused"], json!(null));
    }
}
