//! `memsweep fix`: the change as a diff, the commands that go with it, and what was done.

use assess::remedy::{ByHand, Edit};
use model::{Language, Text};
use serde_json::{Value, json};

use crate::diff::unified_diff;
use crate::escape::{escape_for_terminal, escape_json};
use crate::words::pick;

/// Everything that `fix` has to say.
#[derive(Clone, Debug, Default)]
pub struct FixReport {
    /// The files, as they are and as they are to be.
    pub edits: Vec<Edit>,
    /// Where the text of before is kept, for each file that was written; `None`: nothing was
    /// written, or was to be.
    pub written: Option<Vec<(String, Option<String>)>>,
    /// Commands for the firewall in use.
    pub firewall: Vec<String>,
    /// Commands that restart what was changed.
    pub restarts: Vec<String>,
    /// Whether they were carried out.
    pub is_restarted: bool,
    /// What a restart loses, one sentence for each server.
    pub losses: Vec<Text>,
    /// What the reader has to do.
    pub by_hand: Vec<ByHand>,
}

impl FixReport {
    fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.restarts.is_empty() && self.by_hand.is_empty()
    }
}

/// The report for people. The diffs in it are such that patch(1) reads them out of the rest; with
/// `escaped`, nothing in them acts on a terminal.
pub fn fix_text(fix: &FixReport, language: Language, escaped: bool) -> String {
    let pick = |en, ja| pick(language, en, ja);
    let mut text = String::new();
    if fix.is_empty() && fix.firewall.is_empty() {
        let words = pick(
            "Nothing to change: no configuration lets strangers in.",
            "変更は不要です。外部から届く設定はありません。",
        );
        return format!("{words}\n");
    }
    for edit in &fix.edits {
        for line in
            unified_diff(&edit.path, edit.before.as_deref(), &edit.after).split_inclusive('\n')
        {
            match line.strip_suffix('\n') {
                Some(line) if escaped => text.push_str(&format!("{}\n", escape_for_terminal(line))),
                _ => text.push_str(line),
            }
        }
    }
    let mut part = |title: &str, lines: &[String]| {
        if lines.is_empty() {
            return;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(title);
        text.push('\n');
        for line in lines {
            text.push_str(&format!("  {}\n", escape_for_terminal(line)));
        }
    };
    if let Some(written) = &fix.written {
        let lines: Vec<String> = written
            .iter()
            .map(|(path, backup)| match backup {
                Some(backup) => format!("{path} ({} {backup})", pick("before:", "変更前:")),
                None => format!("{path} ({})", pick("new", "新規")),
            })
            .collect();
        part(pick("Written:", "書き込みました:"), &lines);
    }
    part(
        pick(
            "For the firewall (not carried out):",
            "ファイアウォール用（実行していません）:",
        ),
        &fix.firewall,
    );
    let losses: Vec<String> = fix
        .losses
        .iter()
        .map(|loss| loss.in_language(language).to_owned())
        .collect();
    let title = if fix.is_restarted {
        pick("Restarted:", "再起動しました:")
    } else {
        pick(
            "Restart, for the change to count:",
            "変更を有効にするための再起動:",
        )
    };
    part(title, &fix.restarts);
    let title = if fix.is_restarted {
        pick("Lost by the restart:", "再起動で失われたもの:")
    } else {
        pick("A restart loses:", "再起動で失われるもの:")
    };
    part(title, &losses);
    let by_hand: Vec<String> = fix
        .by_hand
        .iter()
        .map(|one| format!("{}: {}", one.service, one.advice.in_language(language)))
        .collect();
    part(pick("By hand:", "手作業で行うこと:"), &by_hand);
    if fix.written.is_none() && !fix.edits.is_empty() {
        part(
            pick(
                "Nothing was written. To do it:",
                "まだ何も書き込んでいません。実行するには:",
            ),
            &["memsweep fix --apply".to_owned()],
        );
    }
    text
}

/// One JSON object, on one line.
pub fn fix_json(fix: &FixReport) -> String {
    let edits: Vec<Value> = fix
        .edits
        .iter()
        .map(|edit| {
            let written = fix
                .written
                .iter()
                .flatten()
                .find(|(path, _)| *path == edit.path);
            json!({
                "path": edit.path,
                "diff": unified_diff(&edit.path, edit.before.as_deref(), &edit.after),
                "written": written.is_some(),
                "backup": written.and_then(|(_, backup)| backup.clone()),
            })
        })
        .collect();
    let by_hand: Vec<Value> = fix
        .by_hand
        .iter()
        .map(|one| json!({ "service": one.service, "advice": one.advice.en }))
        .collect();
    let losses: Vec<&str> = fix.losses.iter().map(|loss| loss.en.as_str()).collect();
    let value = json!({
        "edits": edits,
        "firewall": fix.firewall,
        "restart": fix.restarts,
        "restarted": fix.is_restarted,
        "losses": losses,
        "by_hand": by_hand,
    });
    escape_json(&value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix() -> FixReport {
        FixReport {
            edits: vec![Edit {
                path: "/etc/memcached.conf".to_owned(),
                before: Some("-l 0.0.0.0\t\u{1b}\n".to_owned()),
                after: "-l 127.0.0.1\n".to_owned(),
            }],
            restarts: vec!["systemctl restart memcached".to_owned()],
            losses: vec![Text::new("7 items", "7 件")],
            ..FixReport::default()
        }
    }

    #[test]
    fn people_see_the_diff_and_what_to_do() {
        let expected = "--- /etc/memcached.conf\n+++ /etc/memcached.conf\n@@ -1 +1 @@\n\
                        --l 0.0.0.0\\x09\\x1b\n+-l 127.0.0.1\n\n\
                        Restart, for the change to count:\n  systemctl restart memcached\n\n\
                        A restart loses:\n  7 items\n\n\
                        Nothing was written. To do it:\n  memsweep fix --apply\n";
        assert_eq!(fix_text(&fix(), Language::English, true), expected);
        // A file takes the diff as patch(1) wants it.
        let raw = fix_text(&fix(), Language::Japanese, false);
        assert!(raw.contains("--l 0.0.0.0\t\u{1b}\n") && raw.contains("7 件"));
        let nothing = fix_text(&FixReport::default(), Language::English, true);
        assert_eq!(
            nothing,
            "Nothing to change: no configuration lets strangers in.\n"
        );
    }

    #[test]
    fn programs_see_the_same() {
        let mut fix = fix();
        fix.written = Some(vec![(
            "/etc/memcached.conf".to_owned(),
            Some("/etc/b".to_owned()),
        )]);
        let value: Value = serde_json::from_str(&fix_json(&fix)).unwrap();
        assert_eq!(value["edits"][0]["backup"], "/etc/b");
        assert_eq!(value["edits"][0]["written"], true);
        assert_eq!(value["restarted"], false);
        assert_eq!(value["losses"][0], "7 items");
    }
}
