//! The table of rooms in ARCHITECTURE.md, held against what cargo says.
//!
//! The table is the one that begins with `| room | may depend on |`. A row's first cell names a
//! room, or several with commas; its second the rooms they may depend on, `–` for none. More
//! cells are for readers.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Complaint;

/// A package of this workspace.
pub(super) struct Member {
    pub(super) name: String,
    /// Whether it lives in `crates/`, so that it needs a row in the table.
    is_room: bool,
    /// Members it needs to be built, tests aside.
    edges: Vec<String>,
}

impl Member {
    /// Reads one entry of `packages`.
    pub(super) fn from_metadata(package: &Value) -> Option<Member> {
        let manifest = package["manifest_path"].as_str()?;
        let dependencies = package["dependencies"].as_array()?;
        let edges = dependencies
            .iter()
            .filter(|dependency| !dependency["path"].is_null() && dependency["kind"] != "dev")
            .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned));
        Some(Member {
            name: package["name"].as_str()?.to_owned(),
            is_room: manifest.rsplit('/').nth(2) == Some("crates"),
            edges: edges.collect(),
        })
    }
}

/// What xtask, which is no room, may depend on: its benchmarks measure in the lab of the tests.
const EDGES_OF_XTASK: [&str; 1] = ["testkit"];

/// A room's row.
struct Row {
    line: usize,
    may_depend_on: Vec<String>,
}

/// Where table and workspace disagree.
pub(super) fn complaints(path: &str, text: &str, members: &[Member]) -> Vec<Complaint> {
    let (table, mut complaints) = parse_table(path, text);
    if table.is_empty() {
        complaints.push(Complaint::about(
            path,
            "has no table `| room | may depend on |`",
        ));
        return complaints;
    }
    let is_room = |name: &str| {
        members
            .iter()
            .any(|member| member.is_room && member.name == name)
    };
    for (name, row) in &table {
        for room in std::iter::once(name).chain(&row.may_depend_on) {
            if !is_room(room) {
                let message = format!("`{room}` is no room: there is no such crate in crates/");
                complaints.push(Complaint::at(path, row.line, message));
            }
        }
    }
    for member in members {
        let Member {
            name,
            is_room,
            edges,
        } = member;
        let row = table.get(name);
        if *is_room && row.is_none() {
            complaints.push(Complaint::about(
                path,
                format!("room `{name}` is not in the table"),
            ));
        }
        let may_depend_on = row.map_or(&[][..], |row| &row.may_depend_on);
        let is_allowed = |edge: &&String| {
            may_depend_on.contains(edge)
                || (name == "xtask" && EDGES_OF_XTASK.contains(&edge.as_str()))
        };
        for edge in edges.iter().filter(|edge| !is_allowed(edge)) {
            let message = format!("`{name}` depends on `{edge}`, which the table does not allow");
            complaints.push(Complaint {
                line: row.map(|row| row.line),
                ..Complaint::about(path, message)
            });
        }
    }
    complaints
}

fn parse_table(path: &str, text: &str) -> (BTreeMap<String, Row>, Vec<Complaint>) {
    let mut table = BTreeMap::new();
    let mut complaints = Vec::new();
    let lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    let rows = lines
        .skip_while(|(_, line)| !line.starts_with("| room | may depend on |"))
        // The heading, and the line of dashes below it.
        .skip(2)
        .take_while(|(_, line)| line.starts_with('|'));
    for (line, row) in rows {
        let mut cells = row.trim_matches('|').split('|');
        let rooms = names(cells.next().unwrap_or_default());
        let may_depend_on = names(cells.next().unwrap_or_default());
        for room in rooms {
            let row = Row {
                line,
                may_depend_on: may_depend_on.clone(),
            };
            if table.insert(room.clone(), row).is_some() {
                let message = format!("room `{room}` has more than one row");
                complaints.push(Complaint::at(path, line, message));
            }
        }
    }
    (table, complaints)
}

fn names(cell: &str) -> Vec<String> {
    let names = cell.split(',').map(|name| name.trim().trim_matches('`'));
    names
        .filter(|name| !name.is_empty() && *name != "–")
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
# House

| room | may depend on | what it holds |
|---|---|---|
| model, wire | – | words |
| `sockets` | `model`, wire | the network |

| other | table |
";

    fn member(name: &str, edges: &[&str]) -> Member {
        let edges = edges.iter().map(|edge| (*edge).to_owned()).collect();
        Member {
            name: name.to_owned(),
            is_room: name != "xtask",
            edges,
        }
    }

    fn check(text: &str, members: &[Member], expect: &[&str]) {
        let found = complaints("A.md", text, members);
        let found: Vec<String> = found.iter().map(Complaint::to_string).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn a_house_that_is_as_planned_passes() {
        let members = [
            member("model", &[]),
            member("wire", &[]),
            member("sockets", &["model"]),
            member("xtask", &[]),
        ];
        check(TABLE, &members, &[]);
    }

    #[test]
    fn every_disagreement_is_told() {
        let members = [
            member("model", &["sockets"]),
            member("sockets", &["model"]),
            member("attic", &[]),
            member("xtask", &["model"]),
        ];
        check(
            TABLE,
            &members,
            &[
                "A.md:6: `wire` is no room: there is no such crate in crates/",
                "A.md:5: `wire` is no room: there is no such crate in crates/",
                "A.md:5: `model` depends on `sockets`, which the table does not allow",
                "A.md: room `attic` is not in the table",
                "A.md: `xtask` depends on `model`, which the table does not allow",
            ],
        );
        check(
            "# House\n",
            &members,
            &["A.md: has no table `| room | may depend on |`"],
        );
        let twice = TABLE.replace("`sockets`", "sockets, model");
        let members = [
            member("model", &[]),
            member("wire", &[]),
            member("sockets", &[]),
        ];
        check(
            &twice,
            &members,
            &["A.md:6: room `model` has more than one row"],
        );
    }

    #[test]
    fn members_are_read_from_metadata() {
        let package = serde_json::json!({
            "name": "engine",
            "manifest_path": "/somewhere/crates/engine/Cargo.toml",
            "dependencies": [
                { "name": "model", "kind": null, "path": "/somewhere/crates/model" },
                { "name": "sim", "kind": "dev", "path": "/somewhere/crates/sim" },
                { "name": "thiserror", "kind": null },
            ],
        });
        let member = Member::from_metadata(&package).unwrap();
        assert_eq!((member.name.as_str(), member.is_room), ("engine", true));
        assert_eq!(member.edges, ["model"]);
    }
}
