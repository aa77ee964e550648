//! Recipes of container images: what the last stage starts, and which ports it names.
//!
//! `EXPOSE` publishes nothing: it only says where the image listens.

use super::place::{ConfigFile, ConfigKind, Place, Service, Setting, Word};
use super::shell::{Dialect, Placed, placed, words};

/// Instructions beyond this are not read.
const INSTRUCTIONS_MAX: usize = 10_000;

struct Instruction {
    name: String,
    rest: Vec<Placed>,
    line: u32,
}

/// Reads a Dockerfile.
pub fn dockerfile(path: &str, text: &str) -> ConfigFile {
    let mut file = ConfigFile::new(path, ConfigKind::Dockerfile);
    let (mut entrypoint, mut command) = (Vec::new(), Vec::new());
    let mut is_memcached_image = false;
    for instruction in instructions(text) {
        let place = Place::new(path, instruction.line);
        let value: String = instruction
            .rest
            .iter()
            .map(|(character, _)| *character)
            .collect();
        match instruction.name.as_str() {
            "FROM" => {
                // A new stage starts from its own image.
                (entrypoint, command) = (Vec::new(), Vec::new());
                let image = value
                    .split_whitespace()
                    .find(|word| !word.starts_with("--"));
                let image = image
                    .and_then(|image| image.rsplit('/').next())
                    .unwrap_or_default();
                is_memcached_image = image.starts_with("memcached");
            }
            "ENTRYPOINT" => {
                entrypoint = command_words(path, &instruction.rest);
                // An entry point of one's own forgets the command of the image below.
                command.clear();
            }
            "CMD" => command = command_words(path, &instruction.rest),
            "EXPOSE" => {}
            _ => continue,
        }
        file.settings.push(Setting {
            name: instruction.name,
            value: value.trim().to_owned(),
            place,
        });
    }
    let mut all = entrypoint;
    all.extend(command);
    let begin = all
        .iter()
        .position(|word| super::files::is_memcached(&word.text));
    let found = match begin {
        Some(begin) => Some(all.split_off(begin)),
        None if is_memcached_image
            && all
                .iter()
                .all(|word| word.text.starts_with('-') || !word.text.starts_with('/')) =>
        {
            all.insert(0, Word::bare("memcached"));
            Some(all)
        }
        None => None,
    };
    if let Some(words) = found {
        file.services.push(Service {
            name: "image".to_owned(),
            kind: ConfigKind::Dockerfile,
            path: path.to_owned(),
            files: vec![path.to_owned()],
            words,
            published: Some(Vec::new()),
            is_enabled: None,
        });
    }
    file
}

/// Instructions with their lines; comments inside of continued ones are dropped, as the builder
/// drops them.
fn instructions(text: &str) -> Vec<Instruction> {
    let mut found: Vec<Instruction> = Vec::new();
    let mut goes_on = false;
    for (line, number) in text.lines().zip(1_u32..) {
        let trimmed = line.trim();
        if trimmed.starts_with('#') || trimmed.is_empty() {
            continue;
        }
        let (content, next_goes_on) = match trimmed.strip_suffix('\\') {
            Some(content) => (content, true),
            None => (trimmed, false),
        };
        match found.last_mut() {
            Some(last) if goes_on => {
                last.rest.push((' ', number));
                last.rest.extend(placed(content, number));
            }
            _ => {
                if found.len() == INSTRUCTIONS_MAX {
                    break;
                }
                let (name, rest) = content
                    .split_once(char::is_whitespace)
                    .unwrap_or((content, ""));
                found.push(Instruction {
                    name: name.to_ascii_uppercase(),
                    rest: placed(rest.trim_start(), number),
                    line: number,
                });
            }
        }
        goes_on = next_goes_on;
    }
    found
}

/// `["a", "b"]` or a shell's line. The list's brackets and commas stand outside of quotes.
fn command_words(path: &str, rest: &[Placed]) -> Vec<Word> {
    let is_list = rest
        .iter()
        .find(|(c, _)| !c.is_whitespace())
        .is_some_and(|(c, _)| *c == '[');
    let mut in_quotes = false;
    let blanked: Vec<Placed> = rest
        .iter()
        .map(|&(character, line)| {
            if character == '"' {
                in_quotes = !in_quotes;
            }
            let is_frame = is_list && !in_quotes && matches!(character, '[' | ']' | ',');
            (if is_frame { ' ' } else { character }, line)
        })
        .collect();
    let split = words(&blanked, Dialect::Shell);
    split
        .into_iter()
        .map(|word| Word::at(word.text, &Place::new(path, word.line)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let file = dockerfile("/Dockerfile", text);
        let found = file.services.first().map(|service| {
            let words = service.words.iter().map(|word| {
                let line = word.place.as_ref().map_or(0, |place| place.line);
                format!("{}@{line}", word.text)
            });
            words.collect::<Vec<String>>().join(" ")
        });
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn what_an_image_starts() {
        check(
            "FROM debian AS base\nCMD [\"memcached\"]\nFROM debian\nEXPOSE 11211\n\
             CMD [\"memcached\", \\\n  \"-l\",\"0.0.0.0,::\"]\n",
            Some("memcached@5 -l@6 0.0.0.0,::@6"),
        );
        check(
            "FROM debian\nCMD memcached -u nobody \\\n # why\n -vv\n",
            Some("memcached@2 -u@2 nobody@2 -vv@4"),
        );
        check(
            "from memcached:1.6\nentrypoint [\"memcached\"]\ncmd [\"-U\", \"11211\"]\n",
            Some("memcached@2 -U@3 11211@3"),
        );
        check(
            "FROM docker.io/library/memcached:1\nCMD [\"-m\", \"64\"]\n",
            Some("memcached@0 -m@2 64@2"),
        );
        check("FROM nginx\nCMD [\"nginx\"]\n", None);
        check("", None);
    }
}
