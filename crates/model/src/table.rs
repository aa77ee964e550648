//! The rows of `stats` and its relatives, complete and typed.

/// A statistic's value, by what it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An integer that fits 64 bits unsigned.
    Integer(u64),
    /// A number with a fraction, such as `rusage_user`, in the unit that the server uses.
    Decimal(f64),
    /// Anything else, verbatim.
    Text(String),
}

impl Value {
    /// Reads a value as the narrowest type that keeps all of it.
    pub fn of(text: &str) -> Value {
        typed(text)
    }
}

/// Names and values in the order the server gave them. Nothing is dropped, and a name that is
/// missing is missing: it never reads as zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatsTable {
    rows: Vec<(String, String)>,
}

impl StatsTable {
    /// An empty table.
    pub fn new() -> StatsTable {
        StatsTable::default()
    }

    /// Appends a row, as the server said it.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.rows.push((name.into(), value.into()));
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, in the server's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rows
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first value of this name, verbatim.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(row, _)| *row == name)
            .map(|(_, value)| value)
    }

    /// The first value of this name as an integer; `None` if missing or no 64-bit integer.
    pub fn integer(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// The first value of this name, typed.
    pub fn value(&self, name: &str) -> Option<Value> {
        self.text(name).map(typed)
    }

    /// The start of the server process by its own clock: `time` − `uptime`, in seconds since the
    /// Unix epoch. Stays the same (± 1) for as long as the process lives.
    pub fn start_time_unix_s(&self) -> Option<i64> {
        let time = i64::try_from(self.integer("time")?).ok()?;
        let uptime: f64 = self.text("uptime")?.parse().ok()?;
        if !uptime.is_finite() || uptime.abs() > 1e15 {
            return None;
        }
        Some(time - uptime as i64)
    }
}

impl FromIterator<(String, String)> for StatsTable {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(rows: I) -> StatsTable {
        StatsTable {
            rows: rows.into_iter().collect(),
        }
    }
}

/// Reads a value as the narrowest type that keeps all of it.
pub(crate) fn typed(text: &str) -> Value {
    if let Ok(integer) = text.parse::<u64>() {
        // "+5" and "007" parse too, but would not be printed back the same.
        if integer.to_string() == text {
            return Value::Integer(integer);
        }
    }
    let digits_and_one_point = text.bytes().filter(|byte| *byte == b'.').count() == 1
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
        && text.len() <= 24;
    match text.parse::<f64>() {
        Ok(decimal) if digits_and_one_point => Value::Decimal(decimal),
        _ => Value::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_typed_without_loss() {
        let cases = [
            ("0", Value::Integer(0)),
            ("18446744073709551615", Value::Integer(u64::MAX)),
            (
                "18446744073709551616",
                Value::Text("18446744073709551616".into()),
            ),
            ("007", Value::Text("007".into())),
            ("-1", Value::Text("-1".into())),
            ("0.009076", Value::Decimal(0.009076)),
            ("1.5.6", Value::Text("1.5.6".into())),
            ("nan", Value::Text("nan".into())),
            ("", Value::Text(String::new())),
            ("yes", Value::Text("yes".into())),
        ];
        for (text, value) in cases {
            assert_eq!(typed(text), value, "{text}");
        }
    }

    #[test]
    fn a_missing_statistic_is_missing_and_not_zero() {
        let mut table = StatsTable::new();
        table.push("curr_items", "0");
        assert_eq!(table.integer("curr_items"), Some(0));
        assert_eq!(table.integer("bytes"), None);
    }

    #[test]
    fn start_time_survives_fractions_and_nonsense() {
        let mut table = StatsTable::new();
        table.push("time", "1000");
        table.push("uptime", "10.7");
        assert_eq!(table.start_time_unix_s(), Some(990));
        let mut table = StatsTable::new();
        table.push("time", "99999999999999999999");
        table.push("uptime", "1");
        assert_eq!(table.start_time_unix_s(), None);
    }
}
