//! What `memsweep import` says: what was kept of each file, and how it stands to what was seen from
//! here.

use inventory::{Imported, Reconciled, Standing};
use model::{Language, Verdict};
use serde_json::{Value, json};

use crate::TextOptions;
use crate::escape::{escape_for_terminal, escape_json};
use crate::words::{grouped, moment, pick, rfc3339};

/// A line or two a file, then the endpoints that others saw otherwise.
pub fn imports_text(files: &[(String, Imported)], options: &TextOptions) -> String {
    let language = options.language;
    let mut out = String::new();
    for (name, file) in files {
        out.push_str(&format!(
            "{}: {}\n",
            escape_for_terminal(name),
            kept(file, language)
        ));
        out.push_str(&reconciled(&file.reconciled, &file.source, language));
        for standing in &file.reconciled.named {
            out.push_str(&format!(
                "  {}\n",
                sentence(standing, &file.source, language)
            ));
        }
    }
    out
}

/// The same as one JSON array, in English.
pub fn imports_json(files: &[(String, Imported)]) -> String {
    let files: Vec<Value> = files
        .iter()
        .map(|(name, file)| {
            let named: Vec<Value> = file.reconciled.named.iter().map(standing_value).collect();
            json!({
                "file": name,
                "run": &*file.run,
                "source": file.source,
                "kept": file.kept,
                "passed_over": file.passed_over,
                "torn": file.is_torn,
                "known_before": file.was_known,
                "reconciled": {
                    "same": file.reconciled.same,
                    "differs": file.reconciled.differs,
                    "never_asked": file.reconciled.never_asked,
                    "endpoints": named,
                },
            })
        })
        .collect();
    let text = serde_json::to_string_pretty(&Value::Array(files)).unwrap_or_default();
    escape_json(&text) + "\n"
}

fn kept(file: &Imported, language: Language) -> String {
    let (source, run) = (&file.source, escape_for_terminal(&file.run));
    let (kept, passed_over) = (grouped(file.kept), grouped(file.passed_over));
    if file.was_known {
        return match language {
            Language::English => format!("run {run} is in the inventory already"),
            Language::Japanese => format!("スキャン {run} はすでに記録されています"),
        };
    }
    let torn = match (file.is_torn, language) {
        (false, _) => "",
        (true, Language::English) => "; the file ends in the middle of a record",
        (true, Language::Japanese) => "。ファイルはレコードの途中で終わっています",
    };
    match language {
        Language::English => format!(
            "{kept} observations by {source} kept as run {run}, {passed_over} records about other \
             things passed over{torn}"
        ),
        Language::Japanese => format!(
            "{source} の観測 {kept} 件をスキャン {run} として記録し、無関係な {passed_over} \
             件は読み飛ばしました{torn}"
        ),
    }
}

fn reconciled(counts: &Reconciled, source: &str, language: Language) -> String {
    let total = counts.same + counts.differs + counts.never_asked;
    if total == 0 {
        return String::new();
    }
    let (total, same) = (grouped(total), grouped(counts.same));
    let (differs, never) = (grouped(counts.differs), grouped(counts.never_asked));
    match language {
        Language::English => format!(
            "  of {total} endpoints that {source} saw open: {same} are exposed from here too, \
             {differs} are not, {never} were never asked from here\n"
        ),
        Language::Japanese => format!(
            "  {source} が開いていると見た {total} 件のうち、ここからも公開状態なのは {same} 件、\
             そうでないのは {differs} 件、ここから一度も調べていないのは {never} 件です\n"
        ),
    }
}

fn sentence(standing: &Standing, source: &str, language: Language) -> String {
    let endpoint = escape_for_terminal(&standing.endpoint.to_string());
    let (theirs, when) = (standing.theirs, moment(standing.theirs_seen));
    let open = match (theirs, language) {
        (Verdict::Unfinished, Language::English) => "an open port".to_owned(),
        (Verdict::Unfinished, Language::Japanese) => "ポートが開いている".to_owned(),
        (verdict, _) => verdict.to_string(),
    };
    let ours = match &standing.ours {
        None => pick(language, "never asked from here", "ここからは未調査").to_owned(),
        Some((verdict, seen)) => {
            let verdict = verdict.map_or_else(
                || pick(language, "gone", "応答なし").to_owned(),
                |verdict| verdict.to_string(),
            );
            match language {
                Language::English => format!("from here {verdict} on {}", moment(*seen)),
                Language::Japanese => format!("ここからは {verdict}（{}）", moment(*seen)),
            }
        }
    };
    match language {
        Language::English => format!("{endpoint}: {source} saw {open} on {when}; {ours}"),
        Language::Japanese => format!("{endpoint}: {source} では {open}（{when}）、{ours}"),
    }
}

fn standing_value(standing: &Standing) -> Value {
    let mut value = json!({
        "address": standing.endpoint.address.to_string(),
        "port": standing.endpoint.port,
        "transport": standing.endpoint.transport.as_str(),
        "theirs": standing.theirs.as_str(),
        "theirs_seen": rfc3339(standing.theirs_seen),
    });
    if let Some((verdict, seen)) = &standing.ours {
        value["ours"] = verdict.map_or("gone", Verdict::as_str).into();
        value["ours_seen"] = rfc3339(*seen).into();
    }
    value
}
