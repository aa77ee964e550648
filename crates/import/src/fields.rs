//! Values out of JSON objects, with errors that name the line and the key.

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

    /// A value that must be there and be what `read` reads.
    pub(crate) fn required<T>(
        self,
        key: &'static str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, ImportError> {
        self.optional(key, expected, read)?
            .ok_or(ImportError::MissingKey {
                line: self.line,
                key,
            })
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
        let wrong = ImportError::WrongValue {
            line: self.line,
            key,
            expected,
        };
        read(value).ok_or(wrong).map(Some)
    }

    pub(crate) fn text(self, key: &'static str) -> Result<String, ImportError> {
        self.required(key, "a text", text)
    }

    pub(crate) fn integer(self, key: &'static str) -> Result<u64, ImportError> {
        self.required(key, "an integer of 64 bits", Value::as_u64)
    }

    pub(crate) fn flag(self, key: &'static str) -> Result<bool, ImportError> {
        self.required(key, "true or false", Value::as_bool)
    }

    pub(crate) fn texts(self, key: &'static str) -> Result<Vec<String>, ImportError> {
        self.required(key, "an array of texts", |value| {
            value.as_array()?.iter().map(text).collect()
        })
    }

    /// An object inside this one.
    pub(crate) fn object(self, key: &'static str) -> Result<Fields<'a>, ImportError> {
        let object = self.required(key, "an object", Value::as_object)?;
        Ok(Fields::new(self.line, object))
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
