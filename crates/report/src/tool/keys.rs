//! A key a line, as it comes: nothing is held, so a listing may have any number of rows.

use model::{KeyRow, Language};

use super::json;
use super::pattern::{key_text, shortened_key};
use super::units::{human_bytes, short_duration};
use super::{ToolFormat, ToolOptions};
use crate::layout::pad_left;
use crate::text::page::{Ink, Page};
use crate::values::{Object, set, set_some};
use crate::words::pick;

/// Columns before the name; they hold every size and every span up to years. The name comes last
/// and is never cut.
const SIZE_COLUMNS: usize = 9;
const SPAN_COLUMNS: usize = 10;
const CLASS_COLUMNS: usize = 6;
const READ_COLUMNS: usize = 6;

/// The head of a listing; empty in the forms that have none.
pub fn keys_head(options: &ToolOptions) -> Vec<u8> {
    match options.format {
        ToolFormat::MemcachedTool | ToolFormat::Json => Vec::new(),
        ToolFormat::Table => {
            let text_options = options.text_options();
            let mut out = Vec::new();
            let mut page = Page::new(&mut out, &text_options);
            let words = |en, ja| pick(options.language, en, ja).to_owned();
            let cells = [
                words("size", "サイズ"),
                words("idle", "未使用"),
                words("expires in", "期限まで"),
                words("class", "クラス"),
                words("read", "読出し"),
            ];
            let head = page.ink(Ink::Faint, &line(&cells, &words("key", "キー")));
            page.line(&head);
            out
        }
    }
}

/// One key on a line, its end included.
///
/// Without `full`, names are shortened as [`shortened_key`] does, except in memcached-tool's form:
/// that is read by scripts which ask for the names they read, so it has them whole or not at all,
/// and the caller decides whether to give it. `now_unix_s` is the clock that ages are counted
/// from, in seconds since the Unix epoch.
pub fn key_line(key: &KeyRow, now_unix_s: i64, full: bool, options: &ToolOptions) -> Vec<u8> {
    match options.format {
        ToolFormat::MemcachedTool => metadump_line(key),
        ToolFormat::Json => json::line(key_object(key, full)),
        ToolFormat::Table => table_line(key, now_unix_s, full, options.language),
    }
}

fn table_line(key: &KeyRow, now_unix_s: i64, full: bool, language: Language) -> Vec<u8> {
    let words = |en, ja| pick(language, en, ja).to_owned();
    let span = |seconds: i64| short_duration(language, u64::try_from(seconds).unwrap_or(0));
    let size = key.size_bytes.map(human_bytes);
    let idle = key
        .last_access_unix_s
        .map(|used| span(now_unix_s.saturating_sub(used)));
    let expires = match key.expires_unix_s {
        None => words("never", "なし"),
        Some(expires) if expires <= now_unix_s => words("expired", "期限切れ"),
        Some(expires) => span(expires.saturating_sub(now_unix_s)),
    };
    let read = key.fetched.map(|read| match read {
        true => words("yes", "あり"),
        false => words("no", "なし"),
    });
    let cells = [
        size.unwrap_or_default(),
        idle.unwrap_or_default(),
        expires,
        key.class.map(|class| class.to_string()).unwrap_or_default(),
        read.unwrap_or_default(),
    ];
    let name = if full {
        key_text(&key.name)
    } else {
        shortened_key(&key.name)
    };
    let mut out = line(&cells, &name).into_bytes();
    out.push(b'\n');
    out
}

fn line(cells: &[String; 5], name: &str) -> String {
    let columns = [
        SIZE_COLUMNS,
        SPAN_COLUMNS,
        SPAN_COLUMNS,
        CLASS_COLUMNS,
        READ_COLUMNS,
    ];
    let mut line = String::new();
    for (cell, columns) in cells.iter().zip(columns) {
        line.push_str(&pad_left(cell, columns));
        line.push_str("  ");
    }
    line.push_str(name);
    line
}

/// The line of `lru_crawler metadump`, which memcached-tool prints as it comes.
fn metadump_line(key: &KeyRow) -> Vec<u8> {
    let mut line = format!("key={}", uri_encoded(&key.name));
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            line.push_str(&format!(" {name}={value}"));
        }
    };
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    field("exp", Some(key.expires_unix_s.unwrap_or(-1).to_string()));
    field("la", key.last_access_unix_s.map(|used| used.to_string()));
    field("cas", number(key.cas));
    field(
        "fetch",
        key.fetched
            .map(|read| if read { "yes" } else { "no" }.to_owned()),
    );
    field("cls", number(key.class.map(u64::from)));
    field("size", number(key.size_bytes));
    line.push('\n');
    line.into_bytes()
}

/// As memcached's `uriencode`: everything but letters, digits and `-._~` as `%XX`.
fn uri_encoded(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name {
        match byte {
            b'-' | b'.' | b'_' | b'~' => text.push(char::from(*byte)),
            _ if byte.is_ascii_alphanumeric() => text.push(char::from(*byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// The row as an object. A name that is no text has its bytes encoded as in a URI, under a key of
/// its own.
fn key_object(key: &KeyRow, full: bool) -> Object {
    let mut object = Object::new();
    match std::str::from_utf8(&key.name) {
        _ if !full => set(&mut object, "key_shortened", shortened_key(&key.name)),
        Ok(name) => set(&mut object, "key", name),
        Err(_) => set(&mut object, "key_percent_encoded", uri_encoded(&key.name)),
    }
    match key.expires_unix_s {
        Some(expires) => set(&mut object, "expires_unix_s", expires),
        None => set(&mut object, "never_expires", true),
    }
    set_some(&mut object, "last_access_unix_s", key.last_access_unix_s);
    set_some(&mut object, "cas", key.cas);
    set_some(&mut object, "fetched", key.fetched);
    set_some(&mut object, "class", key.class);
    set_some(&mut object, "size_bytes", key.size_bytes);
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> KeyRow {
        KeyRow {
            name: b"session:4f9a8b7c6d5e4f3a".to_vec(),
            expires_unix_s: Some(1_795_371_134),
            last_access_unix_s: Some(1_795_367_534),
            cas: Some(3),
            fetched: Some(false),
            class: Some(1),
            size_bytes: Some(94),
        }
    }

    #[track_caller]
    fn check(key: &KeyRow, full: bool, format: ToolFormat, expected: &str) {
        let options = ToolOptions {
            format,
            width_columns: 80,
            color: false,
            language: Language::English,
        };
        let bytes = key_line(key, 1_795_367_715, full, &options);
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn a_key_is_one_line_in_every_form() {
        check(
            &row(),
            false,
            ToolFormat::Table,
            "     94 B       3m 1s     56m 59s       1      no  session:4f…(16)\n",
        );
        check(
            &row(),
            true,
            ToolFormat::MemcachedTool,
            "key=session%3A4f9a8b7c6d5e4f3a exp=1795371134 la=1795367534 cas=3 fetch=no cls=1 size=94\n",
        );
        check(
            &row(),
            true,
            ToolFormat::Json,
            "{\"key\":\"session:4f9a8b7c6d5e4f3a\",\"expires_unix_s\":1795371134,\
             \"last_access_unix_s\":1795367534,\"cas\":3,\"fetched\":false,\"class\":1,\
             \"size_bytes\":94}\n",
        );
        check(
            &row(),
            false,
            ToolFormat::Json,
            "{\"key_shortened\":\"session:4f…(16)\",\"expires_unix_s\":1795371134,\
             \"last_access_unix_s\":1795367534,\"cas\":3,\"fetched\":false,\"class\":1,\
             \"size_bytes\":94}\n",
        );
    }

    #[test]
    fn what_is_unknown_is_blank() {
        let key = KeyRow {
            name: b"a b\xff\n".to_vec(),
            ..KeyRow::default()
        };
        check(
            &key,
            true,
            ToolFormat::Table,
            "                            never                  a b\\xff\\x0a\n",
        );
        check(
            &key,
            true,
            ToolFormat::MemcachedTool,
            "key=a%20b%FF%0A exp=-1\n",
        );
        check(
            &key,
            true,
            ToolFormat::Json,
            "{\"key_percent_encoded\":\"a%20b%FF%0A\",\"never_expires\":true}\n",
        );
    }
}
