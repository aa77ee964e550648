//! The names that stand before a colon.

/// A field of the query language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// The port.
    Port,
    /// `tcp`, `udp` or `unix`.
    Transport,
    /// The verdict.
    Verdict,
    /// The version that the server gives itself.
    Version,
    /// What the server demands.
    Auth,
    /// How it was spoken to.
    Protocol,
    /// Of a finding.
    Severity,
    /// Of a finding.
    Confidence,
    /// Of a finding.
    Code,
    /// Addresses.
    Net,
    /// The payload ratio.
    Amplification,
    /// The host's name.
    Host,
    /// The autonomous system.
    Asn,
    /// The country.
    Country,
    /// A word of the administrator's own.
    Tag,
    /// Who administers it.
    Owner,
    /// Who saw it.
    Source,
    /// Whether it counts as an alarm.
    Alarm,
    /// The run.
    Run,
    /// When it was seen last.
    Seen,
    /// When it was seen first.
    First,
}

/// What users of other search engines, and of this program's own outputs, may type; and what it
/// is called here.
const OTHER_NAMES: [(&str, Field); 17] = [
    ("address", Field::Net),
    ("after", Field::Seen),
    ("asnum", Field::Asn),
    ("before", Field::Seen),
    ("country_code", Field::Country),
    ("cve", Field::Code),
    ("finding", Field::Code),
    ("first_seen", Field::First),
    ("hostname", Field::Host),
    ("ip", Field::Net),
    ("label", Field::Tag),
    ("last_seen", Field::Seen),
    ("org", Field::Owner),
    ("ratio", Field::Amplification),
    ("rule", Field::Code),
    ("status", Field::Verdict),
    ("vuln", Field::Code),
];

impl Field {
    /// All fields, in the order of the document.
    pub const ALL: [Field; 21] = [
        Field::Port,
        Field::Transport,
        Field::Verdict,
        Field::Version,
        Field::Auth,
        Field::Protocol,
        Field::Severity,
        Field::Confidence,
        Field::Code,
        Field::Net,
        Field::Amplification,
        Field::Host,
        Field::Asn,
        Field::Country,
        Field::Tag,
        Field::Owner,
        Field::Source,
        Field::Alarm,
        Field::Run,
        Field::Seen,
        Field::First,
    ];

    /// The name before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Field::Port => "port",
            Field::Transport => "transport",
            Field::Verdict => "verdict",
            Field::Version => "version",
            Field::Auth => "auth",
            Field::Protocol => "protocol",
            Field::Severity => "severity",
            Field::Confidence => "confidence",
            Field::Code => "code",
            Field::Net => "net",
            Field::Amplification => "amplification",
            Field::Host => "host",
            Field::Asn => "asn",
            Field::Country => "country",
            Field::Tag => "tag",
            Field::Owner => "owner",
            Field::Source => "source",
            Field::Alarm => "alarm",
            Field::Run => "run",
            Field::Seen => "seen",
            Field::First => "first",
        }
    }

    /// What stands behind the colon, as an example that parses.
    pub fn example(self) -> &'static str {
        match self {
            Field::Port => "port:11211..11220",
            Field::Transport => "transport:udp",
            Field::Verdict => "verdict:exposed,protected",
            Field::Version => "version:..1.5.6",
            Field::Auth => "auth:none",
            Field::Protocol => "protocol:binary",
            Field::Severity => "severity:>=high",
            Field::Confidence => "confidence:confirmed",
            Field::Code => "code:MS003",
            Field::Net => "net:10.0.0.0/8",
            Field::Amplification => "amplification:>50",
            Field::Host => "host:*.example.org",
            Field::Asn => "asn:AS64500",
            Field::Country => "country:JP",
            Field::Tag => "tag:production",
            Field::Owner => "owner:\"NOC*\"",
            Field::Source => "source:shodan",
            Field::Alarm => "alarm:yes",
            Field::Run => "run:20261127*",
            Field::Seen => "seen:<7d",
            Field::First => "first:>2026-01-01",
        }
    }

    /// The field of a name, whatever its case.
    pub(super) fn from_name(name: &str) -> Option<Field> {
        Field::ALL
            .into_iter()
            .find(|field| field.as_str().eq_ignore_ascii_case(name))
    }

    /// The field that somebody may have meant.
    pub(super) fn meant_by(name: &str) -> Option<Field> {
        let name = name.to_ascii_lowercase();
        let other = OTHER_NAMES.iter().find(|(other, _)| *other == name);
        other.map(|(_, field)| *field).or_else(|| {
            let names: Vec<&str> = Field::ALL.iter().map(|field| field.as_str()).collect();
            nearest(&name, &names).and_then(Field::from_name)
        })
    }
}

/// The word that is closest to one that was typed, if one is close: a third of its letters may be
/// wrong, missing or too many.
pub(super) fn nearest<'a>(typed: &str, words: &[&'a str]) -> Option<&'a str> {
    let typed: Vec<char> = typed.to_lowercase().chars().collect();
    let longest = words.iter().map(|word| word.len()).max().unwrap_or(0);
    if typed.len() > 2 * longest {
        return None;
    }
    let scored = words.iter().map(|word| (edits(&typed, word), *word));
    let (distance, word) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance * 3 <= word.len().max(3)).then_some(word)
}

/// How many letters have to be put in, taken out, replaced or swapped with their neighbour.
fn edits(typed: &[char], word: &str) -> usize {
    let word: Vec<char> = word.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=word.len()).collect()];
    for at in 1..=typed.len() {
        let mut row = vec![at];
        for place in 1..=word.len() {
            let same = typed[at - 1] == word[place - 1];
            let replaced = rows[at - 1][place - 1] + usize::from(!same);
            let mut least = replaced
                .min(rows[at - 1][place] + 1)
                .min(row[place - 1] + 1);
            let swapped = at > 1
                && place > 1
                && typed[at - 1] == word[place - 2]
                && typed[at - 2] == word[place - 1];
            if swapped {
                least = least.min(rows[at - 2][place - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[typed.len()][word.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_guessed_and_not_made_up() {
        for (typed, meant) in [
            ("verdcit", Some("verdict")),
            ("vesion", Some("version")),
            ("PROT", Some("port")),
            ("hostname", Some("host")),
            ("ip", Some("net")),
            ("cve", Some("code")),
            ("amplificaton", Some("amplification")),
            ("seem", Some("seen")),
            ("banana", None),
            ("2001", None),
            ("", None),
        ] {
            let field = Field::meant_by(typed).map(Field::as_str);
            assert_eq!(field, meant, "{typed}");
        }
        assert_eq!(nearest(&"x".repeat(1_000_000), &["exposed"]), None);
    }

    #[test]
    fn every_field_has_a_name_of_its_own() {
        for field in Field::ALL {
            assert_eq!(Field::from_name(field.as_str()), Some(field));
            assert!(field.example().starts_with(&format!("{}:", field.as_str())));
        }
        for (other, _) in OTHER_NAMES {
            assert_eq!(Field::from_name(other), None, "{other}");
        }
    }
}
