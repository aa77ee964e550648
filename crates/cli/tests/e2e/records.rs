//! NDJSON as a script would read it.

use std::collections::BTreeMap;

use serde_json::Value;

/// The records of a run, in order.
#[derive(Debug)]
pub(crate) struct Records(pub(crate) Vec<Value>);

impl Records {
    /// Every line must be an object with a known kind of record.
    pub(crate) fn parse(text: &str) -> Records {
        let records: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
            .collect();
        for record in &records {
            let kind = record["record"].as_str().unwrap();
            assert!(
                matches!(
                    kind,
                    "run" | "endpoint" | "progress" | "finding" | "summary"
                ),
                "{record}"
            );
            assert_eq!(record["schema"], 1, "{record}");
        }
        Records(records)
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |record| record["record"] == kind)
    }

    /// The first record, which must be the run's.
    pub(crate) fn run(&self) -> &Value {
        let first = self.0.first().unwrap();
        assert_eq!(first["record"], "run", "{first}");
        first
    }

    /// The last record, which must be the summary.
    pub(crate) fn summary(&self) -> &Value {
        let last = self.0.last().unwrap();
        assert_eq!(last["record"], "summary", "{last}");
        last
    }

    /// What became of an earlier run's findings: transport, code and state.
    pub(crate) fn verified(&self) -> Vec<(&str, &str, &str)> {
        self.of_kind("finding")
            .map(|record| {
                (
                    text(record, "transport"),
                    text(record, "code"),
                    text(record, "state"),
                )
            })
            .collect()
    }

    pub(crate) fn endpoints(&self) -> Vec<&Value> {
        self.of_kind("endpoint").collect()
    }

    /// The one record of an endpoint, by the name that [`name`] gives it.
    #[track_caller]
    pub(crate) fn endpoint(&self, wanted: &str) -> &Value {
        let found: Vec<&Value> = self
            .of_kind("endpoint")
            .filter(|record| name(record) == wanted)
            .collect();
        assert_eq!(found.len(), 1, "{wanted}: {found:?} in {:?}", self.names());
        found[0]
    }

    /// The names of all endpoints, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.of_kind("endpoint").map(name).collect()
    }

    /// The verdict of every endpoint; no endpoint may be there twice.
    pub(crate) fn verdicts(&self) -> BTreeMap<String, String> {
        let mut verdicts = BTreeMap::new();
        for record in self.of_kind("endpoint") {
            let before = verdicts.insert(name(record), text(record, "verdict").to_owned());
            assert_eq!(before, None, "{} is there twice", name(record));
        }
        verdicts
    }

    /// The notes of the summary.
    pub(crate) fn notes(&self) -> Vec<&str> {
        let notes = self.summary()["notes"].as_array().unwrap().iter();
        notes.map(|note| note.as_str().unwrap()).collect()
    }
}

/// `127.0.0.1:11211/tcp`; of a unix socket its address.
pub(crate) fn name(record: &Value) -> String {
    let address = text(record, "address");
    match text(record, "transport") {
        "unix" => address.to_owned(),
        transport if address.contains(':') => {
            format!("[{address}]:{}/{transport}", record["port"])
        }
        transport => format!("{address}:{}/{transport}", record["port"]),
    }
}

/// A value that must be a text.
#[track_caller]
pub(crate) fn text<'a>(record: &'a Value, key: &str) -> &'a str {
    record[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} is no text in {record}"))
}

/// The codes of the findings, sorted.
pub(crate) fn codes(record: &Value) -> Vec<&str> {
    let mut codes: Vec<&str> = record["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| text(finding, "code"))
        .collect();
    codes.sort_unstable();
    codes
}

/// The severity of the finding with this code.
#[track_caller]
pub(crate) fn severity<'a>(record: &'a Value, code: &str) -> &'a str {
    let findings = record["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["code"] == code);
    text(
        found.unwrap_or_else(|| panic!("no {code} in {record}")),
        "severity",
    )
}
