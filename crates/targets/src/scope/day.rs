//! A day of the calendar, as scope entries write it.

use std::fmt;
use std::str::FromStr;

use super::ScopeError;

/// A day of the Gregorian calendar, in the years 0001 to 9999; days compare as they follow each
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day {
    // The order of the fields is the order of days.
    year: u16,
    month: u8,
    day: u8,
}

impl Day {
    /// The day, if the calendar has it: `month` is 1 to 12, `day` counts from 1.
    pub fn new(year: u16, month: u8, day: u8) -> Result<Day, ScopeError> {
        let exists = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_of_month(year, month)).contains(&day);
        let date = Day { year, month, day };
        if exists {
            Ok(date)
        } else {
            Err(ScopeError::NoDay(date.to_string()))
        }
    }

    /// Reads `YYYY-MM-DD` (RFC 3339 `full-date`) and nothing else.
    pub fn parse(text: &str) -> Result<Day, ScopeError> {
        let no_day = || ScopeError::NoDay(text.to_owned());
        let fields: Vec<&str> = text.split('-').collect();
        let [year, month, day] = fields[..] else {
            return Err(no_day());
        };
        let has_digits = |field: &str, digits: usize| {
            field.len() == digits && field.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !(has_digits(year, 4) && has_digits(month, 2) && has_digits(day, 2)) {
            return Err(no_day());
        }
        match (year.parse(), month.parse(), day.parse()) {
            (Ok(year), Ok(month), Ok(day)) => Day::new(year, month, day).map_err(|_| no_day()),
            _ => Err(no_day()),
        }
    }

    /// The year.
    pub fn year(self) -> u16 {
        self.year
    }

    /// The month, 1 to 12.
    pub fn month(self) -> u8 {
        self.month
    }

    /// The day of the month, from 1.
    pub fn day(self) -> u8 {
        self.day
    }
}

impl FromStr for Day {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Day, ScopeError> {
        Day::parse(text)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:04}-{:02}-{:02}",
            self.year, self.month, self.day
        )
    }
}

fn days_of_month(year: u16, month: u8) -> u8 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_days_of_the_calendar_are_read() {
        let days = [
            "2024-02-29",
            "2000-02-29",
            "2026-12-31",
            "0001-01-01",
            "9999-12-31",
        ];
        for text in days {
            assert_eq!(
                Day::parse(text).map(|day| day.to_string()),
                Ok(text.to_owned())
            );
        }
        let wrong = [
            "2023-02-29",
            "1900-02-29",
            "2026-04-31",
            "2026-00-10",
            "2026-13-01",
            "2026-01-00",
            "0000-01-01",
            "2026-1-1",
            "26-01-01",
            "2026/01/01",
            "2026-01-01T00:00:00Z",
            "+026-01-01",
            "2026-01-01-",
            " 2026-01-01",
            "",
            "2026-01",
            "２０２６-01-01",
        ];
        for text in wrong {
            assert_eq!(
                Day::parse(text),
                Err(ScopeError::NoDay(text.to_owned())),
                "{text}"
            );
        }
        assert_eq!(
            Day::parse("31.12.2030").unwrap_err().to_string(),
            "\"31.12.2030\" is no date; write YYYY-MM-DD, such as 2030-12-31"
        );
    }

    #[test]
    fn days_compare_as_they_follow_each_other() {
        let days = [
            "2025-12-31",
            "2026-01-01",
            "2026-01-31",
            "2026-02-01",
            "2027-01-01",
        ];
        let parsed: Vec<Day> = days.iter().map(|text| Day::parse(text).unwrap()).collect();
        assert!(parsed.is_sorted());
    }
}
