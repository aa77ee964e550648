//! What is wrong with a query, and where.

/// Columns of the query that are shown on each side of the place, at most.
const COLUMNS_AROUND: usize = 60;

/// Why a query could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
pub struct QueryError {
    /// Where the mistake begins: bytes from the beginning of the query.
    pub at: usize,
    /// How many bytes of the query it covers; 0 at the end of the query.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl QueryError {
    /// Three lines: what is wrong, the query, and carets below the place. Of a long query only the
    /// surroundings of the place are shown. What could move a terminal's cursor is replaced.
    pub fn render(&self, query: &str) -> String {
        let cells = query
            .char_indices()
            .map(|(at, character)| Cell::of(at, character));
        let cells: Vec<Cell> = cells.collect();
        let begin = cells.partition_point(|cell| cell.at < self.at);
        let end = cells.partition_point(|cell| cell.at < self.at.saturating_add(self.length));
        let end = end.max(begin);
        let from = begin.saturating_sub(COLUMNS_AROUND);
        let to = cells.len().min(begin.saturating_add(COLUMNS_AROUND));
        let mut line = String::from(if from > 0 { "…" } else { "" });
        let mut carets = " ".repeat(usize::from(from > 0));
        for (index, cell) in cells.iter().enumerate().take(to).skip(from) {
            line.push(cell.shown);
            let mark = match index {
                _ if index < begin => " ",
                _ if index < end => "^",
                _ => "",
            };
            carets.push_str(&mark.repeat(cell.columns));
        }
        if to < cells.len() {
            line.push('…');
        }
        if !carets.ends_with('^') {
            carets.push('^');
        }
        format!("{self}\n{line}\n{carets}")
    }
}

/// A character as a terminal shows it.
struct Cell {
    /// Its place in the query, in bytes.
    at: usize,
    shown: char,
    columns: usize,
}

impl Cell {
    fn of(at: usize, character: char) -> Cell {
        let shown = match character {
            _ if character.is_whitespace() && character != '\u{3000}' => ' ',
            _ if character.is_control() || is_invisible(character) => '\u{FFFD}',
            _ => character,
        };
        Cell {
            at,
            shown,
            columns: columns(shown),
        }
    }
}

/// Zero-width characters and those that change the direction of writing.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Columns of a character on a terminal: 2 for what Unicode's Standard Annex 11 calls wide or
/// full-width, 0 for marks that combine with the character before.
fn columns(character: char) -> usize {
    match character {
        '\u{0300}'..='\u{036F}' | '\u{3099}' | '\u{309A}' | '\u{FE00}'..='\u{FE0F}' => 0,
        '\u{1100}'..='\u{115F}'
        | '\u{2E80}'..='\u{303E}'
        | '\u{3041}'..='\u{33FF}'
        | '\u{3400}'..='\u{4DBF}'
        | '\u{4E00}'..='\u{A4CF}'
        | '\u{A960}'..='\u{A97F}'
        | '\u{AC00}'..='\u{D7A3}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{FE30}'..='\u{FE6F}'
        | '\u{FF01}'..='\u{FF60}'
        | '\u{FFE0}'..='\u{FFE6}'
        | '\u{1F300}'..='\u{1F64F}'
        | '\u{1F900}'..='\u{1F9FF}'
        | '\u{20000}'..='\u{3FFFD}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, at: usize, length: usize, expected: [&str; 2]) {
        let error = QueryError {
            at,
            length,
            message: "wrong".into(),
            hint: None,
        };
        let rendered = error.render(query);
        let lines: Vec<&str> = rendered.split('\n').collect();
        assert_eq!(lines, ["wrong", expected[0], expected[1]], "{query:?}");
    }

    #[test]
    fn carets_stand_below_the_place() {
        check("port:x", 5, 1, ["port:x", "     ^"]);
        check("verdict:foo", 8, 3, ["verdict:foo", "        ^^^"]);
        check("port:", 5, 0, ["port:", "     ^"]);
        check("", 0, 0, ["", "^"]);
        // Three wide characters of three bytes each take six columns.
        check("監視中 port:x", 15, 1, ["監視中 port:x", "            ^"]);
        check("owner:監視", 6, 6, ["owner:監視", "      ^^^^"]);
        check("か\u{3099} x", 7, 1, ["か\u{3099} x", "   ^"]);
        check("a\n\u{1b}[2J x", 7, 1, ["a \u{FFFD}[2J x", "       ^"]);
        check("a\u{202E}b", 4, 1, ["a\u{FFFD}b", "  ^"]);
        // Beyond the end, and in the middle of a character.
        check("a", 9, 9, ["a", " ^"]);
        check("監", 1, 1, ["監", "  ^"]);
    }

    #[test]
    fn a_long_query_is_shown_around_the_place() {
        let query = format!("{} {}", "監".repeat(1_000), "x".repeat(1_000));
        let error = QueryError {
            at: 3_001,
            length: 1_000,
            message: "wrong".into(),
            hint: Some("mend it".into()),
        };
        let rendered = error.render(&query);
        let lines: Vec<&str> = rendered.split('\n').collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], "wrong; mend it");
        assert!(lines[1].starts_with("…監") && lines[1].ends_with("x…"));
        assert_eq!(lines[2].find('^'), Some(1 + 59 * 2 + 1));
        assert_eq!(lines[2].matches('^').count(), COLUMNS_AROUND);
    }
}
