//! Names and texts compared without regard to case, and wildcards in them.

/// A text in lower case, character by character, so that a part of a text folds to a part of the
/// folded text. Everything that searches compare goes through here.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    folded(text).collect()
}

fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

/// Whether a pattern has a wildcard.
pub fn has_wildcard(pattern: &str) -> bool {
    pattern.contains(['*', '?'])
}

/// Whether a text is as a pattern says, whatever the case: `*` stands for any characters, `?` for
/// one. Takes at most as many steps as pattern and text have characters, multiplied.
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    if !has_wildcard(pattern) {
        return folded(pattern).eq(folded(text));
    }
    let pattern: Vec<char> = folded(pattern).collect();
    let text: Vec<char> = folded(text).collect();
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where to go on if what follows the last `*` does not fit: it then takes one character more.
    // Earlier ones need no second look, because the shortest stretch for them was the best.
    let mut retry: Option<(usize, usize)> = None;
    while at_text < text.len() {
        match pattern.get(at_pattern) {
            Some('*') => {
                retry = Some((at_pattern + 1, at_text + 1));
                at_pattern += 1;
            }
            Some('?') => (at_pattern, at_text) = (at_pattern + 1, at_text + 1),
            Some(character) if *character == text[at_text] => {
                (at_pattern, at_text) = (at_pattern + 1, at_text + 1);
            }
            _ => {
                let Some((after_star, next)) = retry else {
                    return false;
                };
                (at_pattern, at_text) = (after_star, next);
                retry = Some((after_star, next + 1));
            }
        }
    }
    pattern[at_pattern..]
        .iter()
        .all(|character| *character == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What wildcards mean, said without care for time.
    fn means(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                means(rest, text)
                    || text
                        .split_first()
                        .is_some_and(|(_, text)| means(pattern, text))
            }
            (Some(('?', rest)), Some((_, text))) => means(rest, text),
            (Some((one, rest)), Some((other, text))) => one == other && means(rest, text),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn wildcards_mean_the_same_in_less_time(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let characters = |text: &str| text.chars().collect::<Vec<char>>();
            let expected = means(&characters(&pattern), &characters(&text));
            prop_assert_eq!(glob_matches(&pattern, &text), expected);
        }
    }

    #[test]
    fn wildcards_stand_for_what_they_should() {
        for (pattern, text, expected) in [
            ("cache.example.org", "Cache.Example.ORG", true),
            ("*.example.org", "a.b.example.org", true),
            ("*.example.org", "example.org", false),
            ("cache?", "cache1", true),
            ("cache?", "cache12", false),
            ("cache?", "cache", false),
            ("*", "", true),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
            ("a*b*c", "aXbXbYc", true),
            ("a*b*c", "aXbXbY", false),
            ("監視*", "監視チーム", true),
            ("?", "監", true),
            ("NÖC*", "nöc one", true),
        ] {
            assert_eq!(glob_matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_wildcards_end_soon() {
        let pattern = "*a".repeat(128) + "*b";
        let text = "a".repeat(4096);
        assert!(!glob_matches(&pattern, &text));
    }

    #[test]
    fn a_part_stays_a_part_when_folded() {
        // The last sigma of a word has a form of its own, which would depend on what follows.
        assert!(fold("ΟΔΟΣ1").contains(&fold("ΟΔΟΣ")));
        assert_eq!(fold("MS001 Kyōto"), "ms001 kyōto");
    }
}
