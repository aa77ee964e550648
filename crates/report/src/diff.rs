//! A unified diff of two texts, as diff(1) writes it and patch(1) reads it.

/// Lines around a change.
const CONTEXT_LINES: usize = 3;
/// Pairs of lines that are compared for the shortest diff; beyond that, the part between the first
/// and the last difference is replaced as a whole.
const PAIRS_MAX: usize = 4_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Same,
    Less,
    More,
}

/// The diff; empty where the texts are alike. A file that is new has no text before.
pub fn unified_diff(path: &str, before: Option<&str>, after: &str) -> String {
    let old: Vec<&str> = before.unwrap_or_default().split_inclusive('\n').collect();
    let new: Vec<&str> = after.split_inclusive('\n').collect();
    let script = script(&old, &new);
    let changes: Vec<usize> = (0..script.len())
        .filter(|&at| script[at].0 != Kind::Same)
        .collect();
    let Some(&first) = changes.first() else {
        return String::new();
    };
    let from = if before.is_some() { path } else { "/dev/null" };
    let mut text = format!("--- {from}\n+++ {path}\n");
    let mut hunk = (first, first);
    for &at in &changes[1..] {
        if at - hunk.1 > 2 * CONTEXT_LINES {
            add_hunk(&script, hunk, &mut text);
            hunk.0 = at;
        }
        hunk.1 = at;
    }
    add_hunk(&script, hunk, &mut text);
    text
}

fn add_hunk(script: &[(Kind, &str)], (first, last): (usize, usize), text: &mut String) {
    let begin = first.saturating_sub(CONTEXT_LINES);
    let end = (last + 1 + CONTEXT_LINES).min(script.len());
    let count = |lines: &[(Kind, &str)], left_out: Kind| {
        lines.iter().filter(|(kind, _)| *kind != left_out).count()
    };
    let range = |left_out: Kind| {
        let before = count(&script[..begin], left_out);
        let length = count(&script[begin..end], left_out);
        match length {
            0 => format!("{before},0"),
            1 => (before + 1).to_string(),
            _ => format!("{},{length}", before + 1),
        }
    };
    text.push_str(&format!(
        "@@ -{} +{} @@\n",
        range(Kind::More),
        range(Kind::Less)
    ));
    for (kind, line) in &script[begin..end] {
        text.push(match kind {
            Kind::Same => ' ',
            Kind::Less => '-',
            Kind::More => '+',
        });
        text.push_str(line);
        if !line.ends_with('\n') {
            text.push_str("\n\\ No newline at end of file\n");
        }
    }
}

/// Every line of both, marked; the longest common subsequence stays.
fn script<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Kind, &'a str)> {
    let head = old
        .iter()
        .zip(new)
        .take_while(|(old, new)| old == new)
        .count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest
        .iter()
        .rev()
        .zip(new_rest.iter().rev())
        .take_while(|(old, new)| old == new)
        .count();
    let (a, b) = (
        &old_rest[..old_rest.len() - tail],
        &new_rest[..new_rest.len() - tail],
    );
    let mut script: Vec<(Kind, &str)> =
        old[..head].iter().map(|line| (Kind::Same, *line)).collect();
    let width = b.len() + 1;
    // lengths[i][j]: the longest common subsequence of a[i..] and b[j..].
    let mut lengths = vec![
        0_u32;
        if a.len() * b.len() <= PAIRS_MAX {
            (a.len() + 1) * width
        } else {
            0
        }
    ];
    if !lengths.is_empty() {
        for i in (0..a.len()).rev() {
            for j in (0..b.len()).rev() {
                lengths[i * width + j] = if a[i] == b[j] {
                    lengths[(i + 1) * width + j + 1] + 1
                } else {
                    lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
                };
            }
        }
    }
    let length = |i: usize, j: usize| lengths.get(i * width + j).copied().unwrap_or(0);
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] && length(i, j) > 0 {
            script.push((Kind::Same, a[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < a.len() && (j == b.len() || length(i + 1, j) >= length(i, j + 1)) {
            script.push((Kind::Less, a[i]));
            i += 1;
        } else {
            script.push((Kind::More, b[j]));
            j += 1;
        }
    }
    script.extend(
        old_rest[old_rest.len() - tail..]
            .iter()
            .map(|line| (Kind::Same, *line)),
    );
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_diff_writes_it() {
        let cases = [
            (Some("a\n"), "a\n", ""),
            (
                Some("a\nb\n"),
                "a\nc\n",
                "--- f\n+++ f\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n",
            ),
            (None, "x\n", "--- /dev/null\n+++ f\n@@ -0,0 +1 @@\n+x\n"),
            (
                Some("a"),
                "a\nb\n",
                "--- f\n+++ f\n@@ -1 +1,2 @@\n-a\n\\ No newline at end of file\n+a\n+b\n",
            ),
            (
                Some("1\n2\n3\n4\n5\n6\n7\n8\n9\n"),
                "1\n2\n3\n4\nx\n6\n7\n8\n9\n",
                "--- f\n+++ f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n",
            ),
        ];
        for (before, after, expected) in cases {
            assert_eq!(
                unified_diff("f", before, after),
                expected,
                "{before:?} {after:?}"
            );
        }
        let many: String = (0..30).map(|line| format!("{line}\n")).collect();
        let changed = many.replace("\n2\n", "\nx\n").replace("\n27\n", "\ny\n");
        assert_eq!(
            unified_diff("f", Some(&many), &changed)
                .matches("@@ -")
                .count(),
            2
        );
    }
}
