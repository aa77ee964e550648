//! What changed, for programs: one JSON object, or one object a line. The keys are always in
//! English, and what is not known has no key.

use inventory::{Change, Difference, FieldChange, Row};
use serde_json::Value;

use super::{ComparedRuns, code};
use crate::escape::escape_json;
use crate::json::document;
use crate::runs;
use crate::values::{Object, SCHEMA, set, set_endpoint, set_some};

/// One object: both runs, and a list of each kind of change.
pub fn diff_json(runs: &ComparedRuns<'_>, difference: &Difference) -> String {
    let mut object = Object::new();
    set(&mut object, "schema", SCHEMA);
    set(&mut object, "before", runs::value(runs.before));
    set(&mut object, "after", runs::value(runs.after));
    let rows =
        |rows: &[Row]| -> Vec<Value> { rows.iter().map(|row| row_value(row).into()).collect() };
    set(&mut object, "new", rows(&difference.new));
    set(&mut object, "gone", rows(&difference.gone));
    let changed = difference.changed.iter();
    let changed: Vec<Value> = changed.map(|change| change_value(change).into()).collect();
    set(&mut object, "changed", changed);
    set(&mut object, "not_asked", rows(&difference.not_asked));
    set(&mut object, "unknown", rows(&difference.unknown));
    set(&mut object, "same", difference.same);
    document(&object.into())
}

/// A `comparison` record that names the runs, a `change` record for each endpoint, and a `summary`.
pub fn diff_ndjson(runs: &ComparedRuns<'_>, difference: &Difference) -> String {
    let mut out = String::new();
    let mut line = |record: &str, object: Object| {
        let mut whole = Object::new();
        set(&mut whole, "record", record);
        set(&mut whole, "schema", SCHEMA);
        whole.extend(object);
        out.push_str(&escape_json(&Value::Object(whole).to_string()));
        out.push('\n');
    };
    let mut heading = Object::new();
    set(&mut heading, "before", runs::value(runs.before));
    set(&mut heading, "after", runs::value(runs.after));
    line("comparison", heading);
    let with_kind = |kind: &str, object: Object| {
        let mut whole = Object::new();
        set(&mut whole, "change", kind);
        whole.extend(object);
        whole
    };
    for (kind, rows) in [("new", &difference.new), ("gone", &difference.gone)] {
        for row in rows {
            line("change", with_kind(kind, row_value(row)));
        }
    }
    for change in &difference.changed {
        line("change", with_kind("changed", change_value(change)));
    }
    for (kind, rows) in [
        ("not_asked", &difference.not_asked),
        ("unknown", &difference.unknown),
    ] {
        for row in rows {
            line("change", with_kind(kind, row_value(row)));
        }
    }
    let mut summary = Object::new();
    for (kind, count) in [
        ("new", difference.new.len()),
        ("gone", difference.gone.len()),
        ("changed", difference.changed.len()),
        ("not_asked", difference.not_asked.len()),
        ("unknown", difference.unknown.len()),
    ] {
        set(&mut summary, kind, count);
    }
    set(&mut summary, "same", difference.same);
    line("summary", summary);
    out
}

fn row_value(row: &Row) -> Object {
    let mut object = Object::new();
    set_endpoint(&mut object, &row.endpoint);
    set_some(
        &mut object,
        "verdict",
        row.verdict.map(|verdict| verdict.as_str()),
    );
    object
}

fn change_value(change: &Change) -> Object {
    let mut object = Object::new();
    set_endpoint(&mut object, &change.endpoint);
    let (before, after) = (change.verdict_before, change.verdict_after);
    set_some(
        &mut object,
        "verdict_before",
        before.map(|verdict| verdict.as_str()),
    );
    set_some(
        &mut object,
        "verdict",
        after.map(|verdict| verdict.as_str()),
    );
    let fields: Vec<Value> = change
        .fields
        .iter()
        .map(|field| {
            let mut object = Object::new();
            set(&mut object, "name", field.name.as_str());
            set_some(&mut object, "before", field.before.as_deref());
            set_some(&mut object, "after", field.after.as_deref());
            object.into()
        })
        .collect();
    set(&mut object, "fields", fields);
    set(&mut object, "findings_gained", findings(&change.gained));
    set(&mut object, "findings_lost", findings(&change.lost));
    set(&mut object, "restarted", change.restarted);
    object
}

/// Findings, with how bad each was and how sure: two words in the stored form.
fn findings(fields: &[FieldChange]) -> Vec<Value> {
    let value = |field: &FieldChange| {
        let mut object = Object::new();
        set(&mut object, "code", code(field));
        let said = field.after.as_deref().or(field.before.as_deref());
        let words = said.and_then(|said| said.split_once(' '));
        set_some(&mut object, "severity", words.map(|(severity, _)| severity));
        set_some(
            &mut object,
            "confidence",
            words.map(|(_, confidence)| confidence),
        );
        object.into()
    };
    fields.iter().map(value).collect()
}
