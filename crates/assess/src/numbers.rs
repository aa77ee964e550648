//! Numbers and lists as people read them.

use model::{Amplification, Question, Text};

/// A whole number with a comma between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// "1 item", "2 items".
pub(crate) fn counted(number: u64, singular: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {singular}{plural}", grouped(number))
}

/// Commands as an enumeration.
pub(crate) fn commands(questions: &[Question]) -> Text {
    let english: Vec<&str> = questions.iter().map(|question| question.as_str()).collect();
    let japanese: Vec<&str> = questions.iter().copied().map(in_japanese).collect();
    Text::new(english.join(", "), japanese.join("、"))
}

/// The request of a set that brought the most bytes back for each byte sent.
pub(crate) fn strongest(measured: &[Amplification]) -> Option<&Amplification> {
    measured
        .iter()
        .max_by(|one, other| one.payload_ratio().total_cmp(&other.payload_ratio()))
}

fn in_japanese(question: Question) -> &'static str {
    match question {
        Question::RandomKey => "ランダムなキーの get",
        Question::TwoCommands => "1 セグメントに 2 つのコマンド",
        Question::BinaryNoop => "バイナリ noop",
        Question::BinaryStat => "バイナリ stat",
        Question::Version
        | Question::KeySample
        | Question::Stats
        | Question::StatsSettings
        | Question::StatsItems
        | Question::StatsConns
        | Question::MetaNoop => question.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (51_200, "51,200"),
            (1_234_567, "1,234,567"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ];
        for (number, expected) in cases {
            assert_eq!(grouped(number), expected);
        }
        assert_eq!(counted(1, "datagram"), "1 datagram");
        assert_eq!(counted(0, "datagram"), "0 datagrams");
    }
}
