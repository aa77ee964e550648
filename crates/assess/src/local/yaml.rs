//! YAML as a tree whose nodes know their lines.
//!
//! Aliases point at the node they repeat, they never copy it, so that a file of a kilobyte cannot
//! become a tree of a gigabyte. Whoever walks the tree deeper than by named keys counts its steps.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser};

/// Nodes of one file; a larger one is read up to here, and that is said.
const NODES_MAX: usize = 200_000;
/// Nesting beyond this is refused.
const DEPTH_MAX: usize = 100;
/// How far `<<` is followed.
const MERGES_MAX: usize = 8;

#[derive(Debug)]
struct Stored {
    line: u32,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Scalar(String),
    Sequence(Vec<usize>),
    Mapping(Vec<(usize, usize)>),
}

/// The documents of a file.
#[derive(Debug, Default)]
pub(super) struct Yaml {
    nodes: Vec<Stored>,
    documents: Vec<usize>,
    /// Why the rest was not read.
    pub(super) anomaly: Option<String>,
}

/// A node of a tree.
#[derive(Clone, Copy)]
pub(super) struct Node<'yaml> {
    yaml: &'yaml Yaml,
    id: usize,
}

impl Yaml {
    /// Reads a file up to the first thing in it that is not YAML.
    pub(super) fn parse(text: &str) -> Yaml {
        let mut yaml = Yaml::default();
        let mut anchors: BTreeMap<usize, usize> = BTreeMap::new();
        // Containers that are open; of a mapping, the key that waits for its value.
        let mut open: Vec<(usize, Option<usize>)> = Vec::new();
        for event in Parser::new_from_str(text) {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    yaml.anomaly = Some(format!("not YAML: {error}"));
                    break;
                }
            };
            let line = u32::try_from(span.start.line()).unwrap_or(u32::MAX);
            let (kind, anchor) = match event {
                Event::Scalar(value, _, anchor, _) => (Kind::Scalar(value.into_owned()), anchor),
                Event::SequenceStart(anchor, _) => (Kind::Sequence(Vec::new()), anchor),
                Event::MappingStart(anchor, _) => (Kind::Mapping(Vec::new()), anchor),
                Event::SequenceEnd | Event::MappingEnd => {
                    open.pop();
                    continue;
                }
                Event::Alias(anchor) => {
                    if let Some(id) = anchors.get(&anchor) {
                        yaml.attach(*id, &mut open);
                    }
                    continue;
                }
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd => continue,
            };
            if yaml.nodes.len() == NODES_MAX || open.len() == DEPTH_MAX {
                yaml.anomaly = Some(format!(
                    "line {line}: too large or too deep, the rest is left"
                ));
                break;
            }
            let is_container = !matches!(kind, Kind::Scalar(_));
            let id = yaml.nodes.len();
            yaml.nodes.push(Stored { line, kind });
            if anchor != 0 {
                anchors.insert(anchor, id);
            }
            yaml.attach(id, &mut open);
            if is_container {
                open.push((id, None));
            }
        }
        yaml
    }

    fn attach(&mut self, id: usize, open: &mut [(usize, Option<usize>)]) {
        let Some((container, key)) = open.last_mut() else {
            self.documents.push(id);
            return;
        };
        match &mut self.nodes[*container].kind {
            Kind::Sequence(items) => items.push(id),
            Kind::Mapping(pairs) => match key.take() {
                Some(key) => pairs.push((key, id)),
                None => *key = Some(id),
            },
            Kind::Scalar(_) => {}
        }
    }

    /// The roots of its documents.
    pub(super) fn documents(&self) -> impl Iterator<Item = Node<'_>> {
        self.documents.iter().map(|id| Node {
            yaml: self,
            id: *id,
        })
    }
}

impl<'yaml> Node<'yaml> {
    fn kind(self) -> &'yaml Kind {
        &self.yaml.nodes[self.id].kind
    }

    fn at(self, id: usize) -> Node<'yaml> {
        Node {
            yaml: self.yaml,
            id,
        }
    }

    /// The line it begins on.
    pub(super) fn line(self) -> u32 {
        self.yaml.nodes[self.id].line
    }

    /// The text of a scalar. Null is the empty text, as `~` and `null` are.
    pub(super) fn text(self) -> Option<&'yaml str> {
        match self.kind() {
            Kind::Scalar(text) if matches!(text.as_str(), "~" | "null") => Some(""),
            Kind::Scalar(text) => Some(text),
            Kind::Sequence(_) | Kind::Mapping(_) => None,
        }
    }

    /// The items of a sequence; none of anything else.
    pub(super) fn items(self) -> impl Iterator<Item = Node<'yaml>> {
        let ids: &[usize] = match self.kind() {
            Kind::Sequence(ids) => ids,
            Kind::Scalar(_) | Kind::Mapping(_) => &[],
        };
        ids.iter().map(move |id| self.at(*id))
    }

    /// The pairs of a mapping; none of anything else.
    pub(super) fn pairs(self) -> impl Iterator<Item = (&'yaml str, Node<'yaml>)> {
        let pairs: &[(usize, usize)] = match self.kind() {
            Kind::Mapping(pairs) => pairs,
            Kind::Scalar(_) | Kind::Sequence(_) => &[],
        };
        pairs
            .iter()
            .filter_map(move |(key, value)| self.at(*key).text().map(|key| (key, self.at(*value))))
    }

    /// The value of a key, also one that `<<` brings along.
    pub(super) fn find(self, key: &str) -> Option<Node<'yaml>> {
        self.find_within(key, MERGES_MAX)
    }

    fn find_within(self, key: &str, merges: usize) -> Option<Node<'yaml>> {
        if let Some((_, value)) = self.pairs().find(|(known, _)| *known == key) {
            return Some(value);
        }
        let merged = self.pairs().find(|(known, _)| *known == "<<")?.1;
        let merges = merges.checked_sub(1)?;
        // One mapping, or a list of them; the first that has the key counts.
        merged.find_within(key, merges).or_else(|| {
            merged
                .items()
                .take(MERGES_MAX)
                .find_map(|item| item.find_within(key, merges))
        })
    }

    /// The text at the end of a path of keys.
    pub(super) fn text_at(self, path: &[&str]) -> Option<&'yaml str> {
        self.node_at(path)?.text()
    }

    /// The node at the end of a path of keys.
    pub(super) fn node_at(self, path: &[&str]) -> Option<Node<'yaml>> {
        path.iter().try_fold(self, |node, key| node.find(key))
    }

    /// Whether it says yes.
    pub(super) fn is_true(self) -> bool {
        self.text()
            .is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "on"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_merges_and_documents() {
        let text = "x: &x\n  a: 1\n  b: 2\ny:\n  <<: *x\n  b: 3\n---\n- [p, q]\n";
        let yaml = Yaml::parse(text);
        let documents: Vec<Node<'_>> = yaml.documents().collect();
        assert_eq!(documents.len(), 2);
        let y = documents[0].find("y").unwrap();
        assert_eq!(
            (y.text_at(&["a"]), y.text_at(&["b"])),
            (Some("1"), Some("3"))
        );
        assert_eq!(y.find("b").unwrap().line(), 6);
        let inner = documents[1].items().next().unwrap();
        let texts: Vec<&str> = inner.items().filter_map(Node::text).collect();
        assert_eq!(texts, ["p", "q"]);
    }

    #[test]
    fn hostile_files_end() {
        let laughs: String = (1..40)
            .map(|level| format!("a{level}: &a{level} [*a{0}, *a{0}, *a{0}]\n", level - 1))
            .collect();
        let yaml = Yaml::parse(&format!("a0: &a0 [lol]\n{laughs}"));
        assert!(yaml.nodes.len() < 200);
        // A mapping that merges itself.
        let yaml = Yaml::parse("a: &a\n  <<: *a\n  b: 1\n");
        let a = yaml.documents().next().unwrap().find("a").unwrap();
        assert!(a.find("c").is_none());
        for text in [
            "[".repeat(100_000),
            "- ".repeat(100_000),
            "a: b: c".to_owned(),
            "\"never closed".to_owned(),
            "x\n".repeat(10) + "y: *nobody\n",
            "- x\n".repeat(NODES_MAX + 10),
        ] {
            assert!(Yaml::parse(&text).anomaly.is_some(), "{}", &text[..7]);
        }
    }
}
