//! Rules that hold for every text file, whatever its language.

use super::Complaint;

/// Folders whose files are recorded or compared byte by byte: they stay as they are.
const RECORDED_FOLDERS: [&str; 3] = ["fixtures", "golden", "snapshots"];

/// Where people and build machines keep their files; put together so that this file passes.
const MACHINE_FOLDERS: [&str; 3] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
];

/// What is wrong with a text file.
pub(super) fn complaints(path: &str, text: &str) -> Vec<Complaint> {
    if path.split('/').any(|part| RECORDED_FOLDERS.contains(&part)) {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    if path.ends_with(".rs") && !text.starts_with("//!") {
        complaints.push(Complaint::at(
            path,
            1,
            "begin with `//!` and a sentence: what is this?",
        ));
    }
    for (index, line) in text.split('\n').enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            complaints.push(Complaint::at(
                path,
                index + 1,
                "white space at the end of the line",
            ));
        }
        if let Some(folder) = MACHINE_FOLDERS
            .iter()
            .find(|folder| contains_path(line, folder))
        {
            let message = format!("a path of one machine (`{folder}…`): nobody else has it");
            complaints.push(Complaint::at(path, index + 1, message));
        }
    }
    complaints
}

/// Whether an absolute path into this folder stands in the line; in `docs/…`, `$HOME/…` or a URL
/// the slash is not the first of the path.
fn contains_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(begin, _)| {
        let before = line[..begin].chars().next_back();
        before
            .is_none_or(|character| !character.is_alphanumeric() && !"._-~}*/".contains(character))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, lines: &[usize]) {
        let found: Vec<usize> = complaints(path, text)
            .iter()
            .filter_map(|complaint| complaint.line)
            .collect();
        assert_eq!(found, lines, "{path}: {text:?}");
    }

    #[test]
    fn rust_files_say_what_they_are() {
        check("crates/wire/src/lib.rs", "//! Bytes.\n", &[]);
        check("crates/wire/src/lib.rs", "use std::fmt;\n", &[1]);
        check("crates/wire/src/lib.rs", "", &[1]);
        check("build.toml", "a = 1\n", &[]);
    }

    #[test]
    fn white_space_ends_no_line() {
        check("a.md", "one\ntwo \n\tthree\nfour\t", &[2, 4]);
        check("a.md", "one\r\ntwo\n", &[1]);
        check("fixtures/transcripts/a.txt", "STAT pid 1\r\n", &[]);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        for folder in MACHINE_FOLDERS {
            check("a.md", &format!("see {folder}notes"), &[1]);
            check("a.md", &format!("{folder}notes"), &[1]);
            check("a.md", &format!("see docs{folder}notes"), &[]);
            check("a.md", &format!("see ${{BASE}}{folder}notes"), &[]);
        }
    }
}
