//! Values out of JSON objects, with errors that name the line and the key.

use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::ImportError;

/// An object on a line of a file.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    line: u64,
    object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(line: u64, object: &'a Map<String, Value>) -> Fields<'a> {
        Fields { line, object }
    }

    pub(crate) fn line(self) -> u64 {
        self.line
    }

    pub(crate) fn contains(self, key: &str) -> bool {
        self.object.contains_key(key)
    }

    /// The error of a value that cannot be what its key says.
    pub(crate) fn wrong(self, key: &'static str, expected: &'static str) -> ImportError {
        ImportError::WrongValue {
            line: self.line,
            key,
            expected,
        }
    }

    /// The error of a key that is not there.
    pub(crate) fn missing(self, key: &'static str) -> ImportError {
        ImportError::MissingKey {
            line: self.line,
            key,
        }
    }

    /// A value that must be there and be what `read` reads.
    pub(crate) fn required<T>(
        self,
        key: &'static str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, ImportError> {
        self.optional(key, expected, read)?
            .ok_or_else(|| self.missing(key))
    }

    /// A value that may be missing, but not be something else.
    pub(crate) fn optional<T>(
        self,
        key: &'static str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ImportError> {
        let Some(value) = self.object.get(key) else {
            return Ok(None);
        };
        read(value)
            .ok_or_else(|| self.wrong(key, expected))
            .map(Some)
    }

    pub(crate) fn str(self, key: &'static str) -> Result<&'a str, ImportError> {
        self.required(key, "a text", Value::as_str)
    }

    pub(crate) fn text(self, key: &'static str) -> Result<String, ImportError> {
        self.str(key).map(str::to_owned)
    }

    pub(crate) fn optional_text(self, key: &'static str) -> Result<Option<String>, ImportError> {
        self.optional(key, "a text", text)
    }

    pub(crate) fn integer(self, key: &'static str) -> Result<u64, ImportError> {
        self.required(key, "an integer of 64 bits", Value::as_u64)
    }

    pub(crate) fn integer_of_32_bits(self, key: &'static str) -> Result<u32, ImportError> {
        self.required(key, "an integer of 32 bits", |value| {
            u32::try_from(value.as_u64()?).ok()
        })
    }

    pub(crate) fn flag(self, key: &'static str) -> Result<bool, ImportError> {
        self.required(key, "true or false", Value::as_bool)
    }

    /// A moment in RFC 3339.
    pub(crate) fn moment(self, key: &'static str) -> Result<SystemTime, ImportError> {
        let moment: Timestamp = self.required(key, "a time in RFC 3339", |value| {
            value.as_str()?.parse().ok()
        })?;
        Ok(moment.into())
    }

    pub(crate) fn texts(self, key: &'static str) -> Result<Vec<String>, ImportError> {
        self.optional_texts(key)?.ok_or_else(|| self.missing(key))
    }

    pub(crate) fn optional_texts(
        self,
        key: &'static str,
    ) -> Result<Option<Vec<String>>, ImportError> {
        self.optional(key, "an array of texts", |value| {
            value.as_array()?.iter().map(text).collect()
        })
    }

    /// The texts of an array as they stand there; none if the key is missing.
    pub(crate) fn strs(self, key: &'static str) -> Result<Vec<&'a str>, ImportError> {
        let texts = self.optional(key, "an array of texts", |value| {
            value.as_array()?.iter().map(Value::as_str).collect()
        })?;
        Ok(texts.unwrap_or_default())
    }

    /// An object inside this one.
    pub(crate) fn object(self, key: &'static str) -> Result<Fields<'a>, ImportError> {
        self.optional_object(key)?.ok_or_else(|| self.missing(key))
    }

    /// An object inside this one, if it is there.
    pub(crate) fn optional_object(
        self,
        key: &'static str,
    ) -> Result<Option<Fields<'a>>, ImportError> {
        let object = self.optional(key, "an object", Value::as_object)?;
        Ok(object.map(|object| Fields::new(self.line, object)))
    }

    /// The objects of an array; none if the key is missing.
    pub(crate) fn objects(self, key: &'static str) -> Result<Vec<Fields<'a>>, ImportError> {
        let objects = self.optional(key, "an array of objects", |value| {
            value
                .as_array()?
                .iter()
                .map(Value::as_object)
                .collect::<Option<Vec<_>>>()
        })?;
        Ok(objects
            .unwrap_or_default()
            .into_iter()
            .map(|one| Fields::new(self.line, one))
            .collect())
    }
}

/// A text, for [`Fields::required`] and its like.
pub(crate) fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
