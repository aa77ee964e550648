//! Rules for dependencies from outside: each has a reason, and a licence that we can live with.

use serde_json::Value;

use super::Complaint;

/// Licences that let anybody use memsweep for anything, its binaries included, and ask no more
/// than that their texts are kept.
const LICENCES: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// A package from outside this workspace.
pub(super) struct Guest {
    pub(super) name: String,
    version: String,
    /// An SPDX expression, or none.
    licence: Option<String>,
}

impl Guest {
    /// Reads one entry of `packages`.
    pub(super) fn from_metadata(package: &Value) -> Option<Guest> {
        Some(Guest {
            name: package["name"].as_str()?.to_owned(),
            version: package["version"].as_str()?.to_owned(),
            licence: package["license"].as_str().map(str::to_owned),
        })
    }
}

/// Guests whose licence is not on the list.
pub(super) fn complaints_about_licences(guests: &[Guest]) -> Vec<Complaint> {
    let unfit = guests
        .iter()
        .filter(|guest| !guest.licence.as_deref().is_some_and(is_allowed_expression));
    unfit
        .map(|guest| {
            let licence = guest.licence.as_deref().unwrap_or("no licence");
            let message = format!("{} {} has {licence}", guest.name, guest.version);
            Complaint::about("Cargo.lock", message)
        })
        .collect()
}

/// Guests are named once, in the root manifest, beside the reason why they are here.
pub(super) fn complaints_about_manifest(path: &str, text: &str) -> Vec<Complaint> {
    let mut section = "";
    let mut complaints = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        }
        let names_a_dependency = line.starts_with(|first: char| first.is_ascii_alphanumeric());
        if !names_a_dependency {
            continue;
        }
        let message = match section {
            "[workspace.dependencies]" if !is_room(line) && !has_reason(line) => {
                "say in a comment at the end of the line why this guest is here"
            }
            "[dependencies]" | "[dev-dependencies]" | "[build-dependencies]"
                if !line.contains("workspace = true") =>
            {
                "take it from the workspace's table (`workspace = true`)"
            }
            _ => continue,
        };
        complaints.push(Complaint::at(path, index + 1, message));
    }
    complaints
}

fn is_room(line: &str) -> bool {
    line.contains("path = \"crates/")
}

fn has_reason(line: &str) -> bool {
    line.rsplit_once(" # ")
        .is_some_and(|(_, reason)| reason.split_whitespace().count() > 1)
}

/// Whether an SPDX expression leaves us a choice of listed licences. `/` is the old way to say OR.
fn is_allowed_expression(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut expression = Expression { rest: &words };
    expression.choice() == Some(true) && expression.rest.is_empty()
}

/// An SPDX expression that is being read. Each method reads its part to the end, even if the
/// answer is known earlier, and gives `None` if the part is malformed.
struct Expression<'text> {
    rest: &'text [&'text str],
}

impl Expression<'_> {
    /// `A OR B`
    fn choice(&mut self) -> Option<bool> {
        let mut allowed = self.bundle()?;
        while self.skip("OR") {
            allowed |= self.bundle()?;
        }
        Some(allowed)
    }

    /// `A AND B`, which binds closer than OR.
    fn bundle(&mut self) -> Option<bool> {
        let mut allowed = self.licence()?;
        while self.skip("AND") {
            allowed &= self.licence()?;
        }
        Some(allowed)
    }

    /// One licence, with its exception if it has one; or an expression in parentheses.
    fn licence(&mut self) -> Option<bool> {
        if self.skip("(") {
            let allowed = self.choice()?;
            return self.skip(")").then_some(allowed);
        }
        let mut licence = self.word()?.to_owned();
        if self.skip("WITH") {
            licence = format!("{licence} WITH {}", self.word()?);
        }
        Some(LICENCES.contains(&licence.as_str()))
    }

    fn word(&mut self) -> Option<&str> {
        let (word, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(word)
    }

    fn skip(&mut self, word: &str) -> bool {
        let found = self.rest.first() == Some(&word);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_weighed() {
        let cases = [
            ("MIT", true),
            ("MIT OR Apache-2.0", true),
            ("MIT/Apache-2.0", true),
            ("Apache-2.0 / MIT", true),
            ("MIT OR Apache-2.0 OR LGPL-2.1-or-later", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", true),
            ("GPL-3.0-only", false),
            ("MIT AND GPL-3.0-only", false),
            ("(MIT OR GPL-3.0-only) AND MPL-2.0", false),
            ("GPL-2.0-only WITH Classpath-exception-2.0", false),
            ("GPL-3.0-only AND MIT OR ISC", true),
            ("MIT OR", false),
            ("(MIT", false),
            ("MIT ISC", false),
            ("", false),
        ];
        for (expression, allowed) in cases {
            assert_eq!(is_allowed_expression(expression), allowed, "{expression}");
        }
    }

    #[test]
    fn unfit_guests_are_named() {
        let guest = |name: &str, licence: Option<&str>| Guest {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: licence.map(str::to_owned),
        };
        let guests = [
            guest("kind", Some("MIT")),
            guest("strict", Some("AGPL-3.0")),
            guest("mute", None),
        ];
        let found: Vec<String> = complaints_about_licences(&guests)
            .iter()
            .map(Complaint::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "Cargo.lock: strict 1.0.0 has AGPL-3.0",
                "Cargo.lock: mute 1.0.0 has no licence"
            ]
        );
    }

    fn check(text: &str, lines: &[usize]) {
        let found: Vec<usize> = complaints_about_manifest("Cargo.toml", text)
            .iter()
            .filter_map(|complaint| complaint.line)
            .collect();
        assert_eq!(found, lines, "{text}");
    }

    #[test]
    fn guests_have_a_reason() {
        check(
            "[workspace.dependencies]\nmodel = { path = \"crates/model\" }\n",
            &[],
        );
        check(
            "[workspace.dependencies]\na = \"1\" # what it is for\n",
            &[],
        );
        check(
            "[workspace.dependencies]\n# a comment\na = \"1\"\nb = \"2\" # why\n",
            &[3, 4],
        );
        check("[workspace.lints.rust]\nmissing_docs = \"warn\"\n", &[]);
    }

    #[test]
    fn members_take_guests_from_the_workspace() {
        check(
            "[dependencies]\na.workspace = true\nb = { workspace = true }\n",
            &[],
        );
        check(
            "[package]\nname = \"a\"\n[dev-dependencies]\n# why\nb = \"1\"\n",
            &[5],
        );
    }
}
