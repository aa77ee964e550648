//! What the store needs of a database, so that its SQL is written once.
//!
//! Statements use what SQLite and PostgreSQL have in common, with `?1`, `?2` … for values. Nothing
//! that comes from outside ever stands in a statement itself.

use std::borrow::Cow;
use std::ops::ControlFlow;

use crate::StoreError;

/// A value of a column or of a placeholder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
}

/// Where the two databases differ in what they call things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// A table that rows are appended to in numbers.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [(&'static str, ColumnType)],
}

/// What a column holds; any may be absent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ColumnType {
    Integer,
    Real,
    Text,
    Bytes,
}

/// A row that was read.
pub(crate) type Row = Vec<Value<'static>>;

/// Told of each row; can end the reading.
pub(crate) type EachRow<'a> = &'a mut dyn FnMut(Row) -> Result<ControlFlow<()>, StoreError>;

/// A connection to a database.
pub(crate) trait Database {
    const DIALECT: Dialect;

    /// Runs a statement and says how many rows it changed.
    fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError>;

    /// Reads rows one by one, without holding all of them.
    fn query(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        each: EachRow<'_>,
    ) -> Result<(), StoreError>;

    /// Appends a row. It need not be there before [`Database::flush`].
    fn append(&mut self, table: &'static Table, row: Vec<Value<'_>>) -> Result<(), StoreError>;

    /// Writes what [`Database::append`] still holds.
    fn flush(&mut self) -> Result<(), StoreError>;

    /// Begins a transaction that writes: there is one writer at a time, and the others wait.
    fn begin(&mut self) -> Result<(), StoreError>;

    /// Begins a transaction that reads: all of it sees the same state.
    fn begin_reading(&mut self) -> Result<(), StoreError>;

    /// Ends a transaction: all of it happened.
    fn commit(&mut self) -> Result<(), StoreError>;

    /// Ends a transaction: nothing of it happened.
    fn rollback(&mut self);

    /// Takes the indexes away from a table that is empty, as long as it is filled: one made of all
    /// rows at once costs a fraction of one that each row is put into. Gives what makes them again.
    fn without_indexes(&mut self, table: &'static Table) -> Result<Vec<String>, StoreError>;

    /// Lets the planner see what the tables hold now.
    fn analyse(&mut self) -> Result<(), StoreError>;
}

/// All rows of a query whose answer is known to be short.
pub(crate) fn rows<D: Database>(
    database: &mut D,
    sql: &str,
    values: &[Value<'_>],
) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    database.query(sql, values, &mut |row| {
        rows.push(row);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(rows)
}

/// The one number that a query answers, if it answers.
pub(crate) fn number<D: Database>(
    database: &mut D,
    sql: &str,
    values: &[Value<'_>],
) -> Result<Option<i64>, StoreError> {
    let rows = rows(database, sql, values)?;
    Ok(rows
        .first()
        .and_then(|row| row.first())
        .and_then(Value::integer))
}

/// Does something as a whole or not at all.
pub(crate) fn transaction<D: Database, T>(
    database: &mut D,
    work: impl FnOnce(&mut D) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    database.begin()?;
    let result = work(database).and_then(|result| database.commit().map(|()| result));
    if result.is_err() {
        database.rollback();
    }
    result
}

/// Reads in several steps that see the same state.
pub(crate) fn snapshot<D: Database, T>(
    database: &mut D,
    work: impl FnOnce(&mut D) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    database.begin_reading()?;
    let result = work(database);
    database.rollback();
    result
}

impl<'a> Value<'a> {
    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Value<'a> {
        Value::Text(text.into())
    }

    pub(crate) fn optional_text(text: Option<impl Into<Cow<'a, str>>>) -> Value<'a> {
        text.map_or(Value::Null, Value::text)
    }

    pub(crate) fn optional_integer(number: Option<i64>) -> Value<'a> {
        number.map_or(Value::Null, Value::Integer)
    }

    pub(crate) fn bytes(bytes: impl Into<Cow<'a, [u8]>>) -> Value<'a> {
        Value::Bytes(bytes.into())
    }

    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Integer(number) => Value::Integer(number),
            Value::Real(number) => Value::Real(number),
            Value::Text(text) => Value::text(text.into_owned()),
            Value::Bytes(bytes) => Value::bytes(bytes.into_owned()),
        }
    }

    pub(crate) fn flag(flag: bool) -> Value<'a> {
        Value::Integer(i64::from(flag))
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }
}

/// Takes the columns of a row from left to right.
pub(crate) struct Columns(std::vec::IntoIter<Value<'static>>);

impl Columns {
    pub(crate) fn of(row: Row) -> Columns {
        Columns(row.into_iter())
    }

    pub(crate) fn integer(&mut self) -> Result<i64, StoreError> {
        self.optional_integer()?
            .ok_or_else(|| Columns::damaged("a number"))
    }

    pub(crate) fn optional_integer(&mut self) -> Result<Option<i64>, StoreError> {
        match self.0.next() {
            Some(Value::Integer(number)) => Ok(Some(number)),
            Some(Value::Null) => Ok(None),
            _ => Err(Columns::damaged("a number")),
        }
    }

    pub(crate) fn text(&mut self) -> Result<String, StoreError> {
        self.optional_text()?
            .ok_or_else(|| Columns::damaged("a text"))
    }

    pub(crate) fn optional_text(&mut self) -> Result<Option<String>, StoreError> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(Some(text.into_owned())),
            Some(Value::Null) => Ok(None),
            _ => Err(Columns::damaged("a text")),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        match self.0.next() {
            Some(Value::Bytes(bytes)) => Ok(bytes.into_owned()),
            _ => Err(Columns::damaged("bytes")),
        }
    }

    fn damaged(expected: &str) -> StoreError {
        StoreError::Damaged(format!("{expected} was expected in a column"))
    }
}
