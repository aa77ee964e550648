//! Remedies of files: the variable that a shell or systemd reads, Debian's memcached.conf, and a
//! path of PHP sessions. Text in, mended text out.

use std::ops::Range;

use super::words::{Token, carry_out, narrow, tokens};
use super::{Change, ending_of};

/// Mends the last assignment of a variable that holds options of memcached, such as `OPTIONS` of
/// `/etc/sysconfig/memcached` or `memcached_flags` of `/etc/rc.conf`; adds one if there is none.
/// `None` if the assignment is written in a way that cannot be changed safely: over several
/// lines, in mixed quotes, or with expansions.
pub fn variable(text: &str, name: &str, change: &Change, adds: bool) -> Option<String> {
    let Some(raw) = last_assignment(text, name) else {
        let (_, additions) = narrow(&[], change, adds);
        if additions.is_empty() {
            return Some(text.to_owned());
        }
        return Some(with_line(
            text,
            &format!("{name}=\"{}\"", additions.join(" ")),
        ));
    };
    let (inner, quote) = simple_value(text, raw.clone())?;
    let value = &text[inner.clone()];
    let (cuts, additions) = narrow(&tokens(value, 0..value.len()), change, adds);
    if cuts.is_empty() && additions.is_empty() {
        return Some(text.to_owned());
    }
    let mut mended = carry_out(value, cuts);
    for addition in additions {
        if !mended.is_empty() && !mended.ends_with(' ') {
            mended.push(' ');
        }
        mended.push_str(&addition);
    }
    let quote = quote.unwrap_or('"');
    let mut result = text.to_owned();
    let end = inner.end + usize::from(text[inner.end..raw.end].starts_with(quote));
    result.replace_range(raw.start..end, &format!("{quote}{mended}{quote}"));
    Some(result)
}

/// Where the value of the last assignment stands: from behind the `=` to the end of its line.
fn last_assignment(text: &str, name: &str) -> Option<Range<usize>> {
    let mut found = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let rest = trimmed.strip_prefix("export ").unwrap_or(trimmed);
        if let Some(value) = rest
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='))
        {
            let start = at + line.len() - value.len();
            found = Some(start..at + line.trim_end_matches(['\r', '\n']).len());
        }
        at += line.len();
    }
    found
}

/// The value inside its quotes, and the quote, if it is one word on one line without expansions.
fn simple_value(text: &str, raw: Range<usize>) -> Option<(Range<usize>, Option<char>)> {
    let value = &text[raw.clone()];
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let (inner, rest) = match quote {
        Some(quote) => {
            let length = value[1..].find(quote)?;
            (raw.start + 1..raw.start + 1 + length, &value[length + 2..])
        }
        None => {
            let length = value.find(char::is_whitespace).unwrap_or(value.len());
            (raw.start..raw.start + length, &value[length..])
        }
    };
    let is_comment =
        |rest: &str| rest.trim_start().is_empty() || rest.trim_start().starts_with('#');
    let ends = rest.is_empty() || (rest.starts_with(char::is_whitespace) && is_comment(rest));
    let odd = |c: char| matches!(c, '\\' | '$' | '`' | '"' | '\'');
    (ends && !text[inner.clone()].contains(odd)).then_some((inner, quote))
}

/// Mends `/etc/memcached.conf`: lines of `-l` and `-U` are replaced where they stand, or added at
/// the end.
pub fn conf(text: &str, change: &Change, adds: bool) -> String {
    let mut found: Vec<Token> = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let end = comment_at(line).unwrap_or(line.len());
        let option = line[..end].trim_start();
        if option.starts_with('-') && !option.starts_with("-d") && !option.starts_with("-h") {
            found.extend(tokens(text, at..at + end));
        }
        at += line.len();
    }
    let (cuts, additions) = narrow(&found, change, adds);
    let mut mended = carry_out(text, cuts);
    for addition in additions {
        mended = with_line(&mended, &addition);
    }
    mended
}

fn comment_at(line: &str) -> Option<usize> {
    let mut before = None;
    for (index, character) in line.char_indices() {
        if character == '#' && before != Some('\\') {
            return Some(index);
        }
        before = Some(character);
    }
    None
}

/// Points PHP's sessions to where the server listens from now on: on one line of a php.ini or
/// pool, the server `host:port` becomes another host at the same port.
pub fn save_path(text: &str, line: u32, server: &str, host: &str) -> String {
    let Some((_, port)) = server.rsplit_once(':') else {
        return text.to_owned();
    };
    let mended = text
        .split_inclusive('\n')
        .zip(1_u32..)
        .map(|(content, number)| {
            if number == line {
                content.replacen(server, &format!("{host}:{port}"), 1)
            } else {
                content.to_owned()
            }
        });
    mended.collect()
}

/// The text with one more line, in the line endings that it has.
fn with_line(text: &str, line: &str) -> String {
    let ending = ending_of(text);
    let mut result = text.to_owned();
    if !result.is_empty() && !result.ends_with('\n') {
        result.push_str(ending);
    }
    result.push_str(line);
    result.push_str(ending);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> Change {
        Change {
            listen: Some("127.0.0.1,::1".to_owned()),
            udp_off: true,
            tcp_port: None,
        }
    }

    /// What becomes of a file; a second time nothing changes any more.
    #[track_caller]
    fn check(mend: impl Fn(&str) -> Option<String>, cases: &[(&str, Option<&str>)]) {
        for (text, expected) in cases {
            let mended = mend(text);
            assert_eq!(mended.as_deref(), *expected, "{text:?}");
            if let Some(mended) = mended {
                assert_eq!(
                    mend(&mended).as_deref(),
                    Some(mended.as_str()),
                    "again: {text:?}"
                );
            }
        }
    }

    #[test]
    fn variables() {
        let mended = "OPTIONS=\"-l 127.0.0.1,::1 -U 0\"\n";
        let cases: [(&str, Option<&str>); 16] = [
            ("OPTIONS=\"\"\n", Some(mended)),
            ("OPTIONS=\n", Some(mended)),
            ("", Some(mended)),
            ("OPTIONS=\"-l 0.0.0.0\"\n", Some(mended)),
            (
                "OPTIONS=\"-U 11211 -l 0.0.0.0\"\n",
                Some("OPTIONS=\"-U 0 -l 127.0.0.1,::1\"\n"),
            ),
            ("OPTIONS='-v'", Some("OPTIONS='-v -l 127.0.0.1,::1 -U 0'")),
            (
                "OPTIONS=-v # why\nA=1\n",
                Some("OPTIONS=\"-v -l 127.0.0.1,::1 -U 0\" # why\nA=1\n"),
            ),
            (
                "# OPTIONS=\"\"\r\nPORT=\"11211\"\r\n",
                Some("# OPTIONS=\"\"\r\nPORT=\"11211\"\r\nOPTIONS=\"-l 127.0.0.1,::1 -U 0\"\r\n"),
            ),
            (
                "OPTIONS=\"-v\"\r\n",
                Some("OPTIONS=\"-v -l 127.0.0.1,::1 -U 0\"\r\n"),
            ),
            (
                "OPTIONS=\"-v\"\nOPTIONS=\"\"\n",
                Some("OPTIONS=\"-v\"\nOPTIONS=\"-l 127.0.0.1,::1 -U 0\"\n"),
            ),
            (
                "OPTIONSX=1\n",
                Some("OPTIONSX=1\nOPTIONS=\"-l 127.0.0.1,::1 -U 0\"\n"),
            ),
            ("A=1", Some("A=1\nOPTIONS=\"-l 127.0.0.1,::1 -U 0\"\n")),
            ("OPTIONS=\"$MORE -v\"\n", None),
            ("OPTIONS=\"-v \\\n -l 0.0.0.0\"\n", None),
            ("OPTIONS=\"-v\"' -c 9'\n", None),
            ("OPTIONS=-v\\ -c\n", None),
        ];
        check(|text| variable(text, "OPTIONS", &loopback(), true), &cases);
        check(
            |text| variable(text, "OPTIONS", &loopback(), false),
            &[
                ("OPTIONS=\"-v -l 0.0.0.0 -U 1\"\n", Some("OPTIONS=\"-v\"\n")),
                ("", Some("")),
            ],
        );
    }

    #[test]
    fn debian() {
        let cases: [(&str, Option<&str>); 6] = [
            ("", Some("-l 127.0.0.1,::1\n-U 0\n")),
            (
                "# -l 1.2.3.4\n-d\n-m 64\n-l 0.0.0.0 # all\n\n-v\n",
                Some("# -l 1.2.3.4\n-d\n-m 64\n-l 127.0.0.1,::1 # all\n\n-v\n-U 0\n"),
            ),
            (
                "-l 0.0.0.0\r\n-l 10.0.0.1\r\n-U 11211\r\n-v\r\n",
                Some("-l 127.0.0.1,::1\r\n-U 0\r\n-v\r\n"),
            ),
            ("-m 64", Some("-m 64\n-l 127.0.0.1,::1\n-U 0\n")),
            (
                "  --listen \"0.0.0.0\" -U 1\n",
                Some("  -l 127.0.0.1,::1 -U 0\n"),
            ),
            (
                "-dU 5\n-l 0.0.0.0\n",
                Some("-dU 5\n-l 127.0.0.1,::1\n-U 0\n"),
            ),
        ];
        check(|text| Some(conf(text, &loopback(), true)), &cases);
    }

    #[test]
    fn sessions_follow() {
        let text = "session.save_handler = memcached\r\nsession.save_path = \"10.0.0.5:11211\"\r\n";
        let expected = text.replace("10.0.0.5", "127.0.0.1");
        assert_eq!(save_path(text, 2, "10.0.0.5:11211", "127.0.0.1"), expected);
        assert_eq!(save_path(text, 1, "10.0.0.5:11211", "127.0.0.1"), text);
    }
}
