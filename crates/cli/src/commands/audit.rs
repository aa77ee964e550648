//! `audit`: this machine from the inside, without network.

use std::path::Path;
use std::time::SystemTime;

use engine::audit::{Audited, audit as look};

use crate::commands::job::severity;
use crate::exit::{Exit, Failure};
use crate::flags::{AuditFlags, LanguageFlag};
use crate::terminal::{self, Lines};

/// The forms of `audit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Ndjson,
    Csv,
    Sarif,
}

/// `memsweep audit`. Nothing is sent, and nothing is changed.
pub(crate) fn audit(flags: &AuditFlags) -> Result<Exit, Failure> {
    let outputs = outputs(&flags.output)?;
    let audited = look(&flags.root, &flags.paths).map_err(Failure::usage)?;
    for (form, path) in outputs {
        let document = document(&audited, form, flags.lang);
        match path {
            Some(path) => write_file(path, &document)?,
            None => {
                let mut stdout = Lines::new();
                stdout.add_document(&document)?;
                stdout.finish()?;
            }
        }
    }
    Ok(if audited.audit.is_exposed(severity(flags.fail_on)) {
        Exit::Exposed
    } else if audited.audit.is_complete {
        Exit::Done
    } else {
        Exit::Unfinished
    })
}

fn outputs(typed: &[String]) -> Result<Vec<(Form, Option<&Path>)>, Failure> {
    let mut outputs = Vec::new();
    for typed in typed {
        let (word, path) = match typed.split_once('=') {
            Some((word, path)) => (word, Some(path).filter(|path| *path != "-")),
            None => (typed.as_str(), None),
        };
        let form = match word {
            "text" => Form::Text,
            "json" => Form::Json,
            "ndjson" => Form::Ndjson,
            "csv" => Form::Csv,
            "sarif" => Form::Sarif,
            _ => {
                let message = format!("-o {typed}: write one of text, ndjson, json, csv, sarif");
                return Err(Failure::usage(message));
            }
        };
        if path == Some("") {
            return Err(Failure::usage(format!(
                "-o {typed}: a path is missing behind the ="
            )));
        }
        outputs.push((form, path.map(Path::new)));
    }
    if outputs.is_empty() {
        outputs.push((Form::Text, None));
    }
    if outputs.iter().filter(|(_, path)| path.is_none()).count() > 1 {
        return Err(Failure::usage(
            "-o: stdout can be taken by one output only; give the others a path",
        ));
    }
    Ok(outputs)
}

fn document(audited: &Audited, form: Form, language: Option<LanguageFlag>) -> String {
    let (machine, audit) = (&audited.machine, &audited.audit);
    let now = SystemTime::now();
    let whole = |lines: Vec<String>| lines.join("\n") + "\n";
    match form {
        Form::Text => whole(report::audit_lines(
            machine,
            audit,
            terminal::language(language),
        )),
        Form::Ndjson => whole(report::audit_ndjson(machine, audit, now)),
        Form::Json => report::audit_json(machine, audit, now) + "\n",
        Form::Csv => report::audit_csv(machine, audit),
        Form::Sarif => report::audit_sarif(machine, audit, now, env!("CARGO_PKG_VERSION")),
    }
}

fn write_file(path: &Path, document: &str) -> Result<(), Failure> {
    let failed = |error| Failure::usage(format!("-o: cannot write {}: {error}", path.display()));
    std::fs::write(path, document).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read() {
        let check = |typed: &[&str]| {
            let typed: Vec<String> = typed.iter().map(|word| (*word).to_owned()).collect();
            let found = outputs(&typed).map_err(|failure| failure.message())?;
            let forms = found
                .iter()
                .map(|(form, path)| format!("{form:?} {path:?}"));
            Ok::<String, String>(forms.collect::<Vec<String>>().join(", "))
        };
        assert_eq!(check(&[]), Ok("Text None".to_owned()));
        assert_eq!(
            check(&["json=/x", "text"]),
            Ok("Json Some(\"/x\"), Text None".to_owned())
        );
        assert_eq!(check(&["ndjson=-"]), Ok("Ndjson None".to_owned()));
        assert_eq!(check(&["sarif"]), Ok("Sarif None".to_owned()));
        for wrong in [&["nmap"][..], &["json="], &["json", "text"]] {
            assert!(check(wrong).is_err(), "{wrong:?}");
        }
    }
}
