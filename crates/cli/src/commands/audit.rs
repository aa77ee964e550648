//! `audit`: this machine from the inside, without network.

use std::io::Write;
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
}

/// `memsweep audit`. Nothing is sent, and nothing is changed.
pub(crate) fn audit(flags: &AuditFlags) -> Result<Exit, Failure> {
    let outputs = outputs(&flags.output)?;
    let audited = look(&flags.root, &flags.paths).map_err(Failure::usage)?;
    for (form, path) in outputs {
        let lines = lines(&audited, form, flags.lang);
        match path {
            Some(path) => write_file(path, &lines)?,
            None => {
                let mut stdout = Lines::new();
                for line in &lines {
                    if !stdout.add(line)? {
                        break;
                    }
                }
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
            _ => {
                let message = format!("-o {typed}: write one of text, ndjson, json");
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

fn lines(audited: &Audited, form: Form, language: Option<LanguageFlag>) -> Vec<String> {
    let (machine, audit) = (&audited.machine, &audited.audit);
    let now = SystemTime::now();
    match form {
        Form::Text => report::audit_lines(machine, audit, terminal::language(language)),
        Form::Ndjson => report::audit_ndjson(machine, audit, now),
        Form::Json => {
            let text = report::audit_json(machine, audit, now);
            text.lines().map(str::to_owned).collect()
        }
    }
}

fn write_file(path: &Path, lines: &[String]) -> Result<(), Failure> {
    let failed = |error| Failure::usage(format!("-o: cannot write {}: {error}", path.display()));
    let mut file = std::fs::File::create(path).map_err(failed)?;
    let text = lines.join("\n") + "\n";
    file.write_all(text.as_bytes()).map_err(failed)
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
        for wrong in [&["nmap"][..], &["json="], &["json", "text"]] {
            assert!(check(wrong).is_err(), "{wrong:?}");
        }
    }
}
