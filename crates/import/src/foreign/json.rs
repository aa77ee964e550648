//! One JSON object, opened only as far as it is asked for.
//!
//! Records of others hold much that nobody here looks at. Of an object only the keys and the places
//! of their values are kept, and a value is read when its key is asked for. So memory stays in
//! proportion to the bytes, whatever is in them. A `null` counts as a missing key.

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::moments;
use crate::ImportError;

/// An object that began on a line of a file.
pub(super) struct Object<'a> {
    line: u64,
    entries: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Reads an object from its text.
    pub(super) fn parse(line: u64, text: &'a [u8]) -> Result<Object<'a>, ImportError> {
        let Entries(entries) =
            serde_json::from_slice(text).map_err(|problem| ImportError::NotJson {
                line,
                problem: problem.to_string(),
            })?;
        Ok(Object { line, entries })
    }

    pub(super) fn line(&self) -> u64 {
        self.line
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    fn get(&self, key: &str) -> Option<&'a RawValue> {
        let entry = self.entries.iter().find(|(name, _)| name == key);
        entry
            .map(|(_, value)| *value)
            .filter(|value| value.get() != "null")
    }

    /// Names and values as text: texts as they are, numbers and words of JSON as written. Values
    /// that are objects or arrays are passed over.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, Cow<'a, str>)> {
        self.entries.iter().filter_map(|(name, value)| {
            let value = match value.get().as_bytes().first() {
                Some(b'{' | b'[') => return None,
                Some(b'"') => text(value)?,
                _ => Cow::Borrowed(value.get()),
            };
            Some((name.as_ref(), value))
        })
    }

    pub(super) fn wrong(&self, key: &'static str, expected: &'static str) -> ImportError {
        ImportError::WrongValue {
            line: self.line,
            key,
            expected,
        }
    }

    fn read<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        read: impl FnOnce(&'a RawValue) -> Option<T>,
    ) -> Result<Option<T>, ImportError> {
        self.get(key)
            .map(|value| read(value).ok_or_else(|| self.wrong(key, expected)))
            .transpose()
    }

    pub(super) fn text(&self, key: &'static str) -> Result<Option<Cow<'a, str>>, ImportError> {
        self.read(key, "a text", text)
    }

    /// A text that is worth keeping.
    pub(super) fn owned_text(&self, key: &'static str) -> Result<Option<String>, ImportError> {
        let text = self.text(key)?.filter(|text| !text.is_empty());
        Ok(text.map(Cow::into_owned))
    }

    /// A port, as a number or as its digits.
    pub(super) fn port(&self, key: &'static str) -> Result<Option<u16>, ImportError> {
        self.read(key, "a port", |value| digits(value)?.parse().ok())
    }

    /// An integer of 32 bits, as a number or as its digits.
    pub(super) fn integer(&self, key: &'static str) -> Result<Option<u32>, ImportError> {
        let expected = "an integer of 32 bits";
        self.read(key, expected, |value| digits(value)?.parse().ok())
    }

    /// True or false, also as 1 or 0, or in words.
    pub(super) fn flag(&self, key: &'static str) -> Result<Option<bool>, ImportError> {
        self.read(key, "true or false", |value| match &*digits(value)? {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        })
    }

    /// A moment, in any of the forms that tools use.
    pub(super) fn moment(&self, key: &'static str) -> Result<Option<SystemTime>, ImportError> {
        self.read(key, "a time", |value| moments::parse(&digits(value)?))
    }

    /// An object inside this one.
    pub(super) fn object(&self, key: &'static str) -> Result<Option<Object<'a>>, ImportError> {
        self.read(key, "an object", |value| {
            let Entries(entries) = serde_json::from_str(value.get()).ok()?;
            Some(Object {
                line: self.line,
                entries,
            })
        })
    }

    /// The values of this object that are objects themselves.
    pub(super) fn children(&self, key: &'static str) -> Result<Vec<Object<'a>>, ImportError> {
        let objects = self.entries.iter().map(|(_, value)| *value);
        let objects = objects.filter(|value| value.get().starts_with('{'));
        objects
            .map(|value| {
                let Entries(entries) = serde_json::from_str(value.get())
                    .map_err(|_| self.wrong(key, "an object of objects"))?;
                Ok(Object {
                    line: self.line,
                    entries,
                })
            })
            .collect()
    }

    /// The objects of an array; none if the key is missing.
    pub(super) fn objects(&self, key: &'static str) -> Result<Vec<Object<'a>>, ImportError> {
        let objects = self.read(key, "an array of objects", |value| {
            let objects: Vec<Entries<'a>> = serde_json::from_str(value.get()).ok()?;
            Some(objects)
        })?;
        let objects = objects.unwrap_or_default().into_iter();
        Ok(objects
            .map(|Entries(entries)| Object {
                line: self.line,
                entries,
            })
            .collect())
    }

    /// The texts of an array; none if the key is missing.
    pub(super) fn texts(&self, key: &'static str) -> Result<Vec<String>, ImportError> {
        let texts = self.read(key, "an array of texts", |value| {
            serde_json::from_str(value.get()).ok()
        })?;
        Ok(texts.unwrap_or_default())
    }
}

fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let raw = value.get();
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// A number or a word of JSON as it is written, or what a text holds.
fn digits(value: &RawValue) -> Option<Cow<'_, str>> {
    match value.get().as_bytes().first()? {
        b'"' => text(value),
        b'{' | b'[' => None,
        _ => Some(Cow::Borrowed(value.get())),
    }
}

/// Keys and the places of their values.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entries<'de>, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            entries.push((key, map.next_value()?));
        }
        Ok(Entries(entries))
    }
}

/// A key, borrowed where it is written without escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key<'de>, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}
