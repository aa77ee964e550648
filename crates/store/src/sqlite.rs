//! SQLite: an inventory in one file.

use std::collections::HashMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::functions::FunctionFlags;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::database::{Columns, Database, Dialect, EachRow, Row, Table, Value, number, rows};
use crate::{StoreError, migrations};

/// How long to wait for another process that writes. An import of millions takes a while.
const BUSY_TIMEOUT: Duration = Duration::from_secs(120);
/// Pages that SQLite keeps in memory, in KiB.
const CACHE_KIB: i64 = 128 * 1024;
/// Statements that stay prepared.
const STATEMENTS_MAX: usize = 64;
/// What every SQLite database begins with (the format's section 1.3.1).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// `application_id` of an inventory: "mswp".
const APPLICATION_ID: i64 = 0x6d73_7770;

/// A connection to an SQLite file.
#[derive(Debug)]
pub(crate) struct Sqlite {
    connection: Connection,
    /// The statement that appends to each table.
    inserts: HashMap<&'static str, String>,
}

impl Sqlite {
    /// Opens or creates the file, and brings it up to this version.
    pub(crate) fn open(path: &Path) -> Result<Sqlite, StoreError> {
        prepare_file(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let mut sqlite = Sqlite {
            connection,
            inserts: HashMap::new(),
        };
        sqlite.settle(path).map_err(|error| match error {
            StoreError::Sqlite(inner)
                if inner.sqlite_error_code() == Some(ErrorCode::NotADatabase) =>
            {
                StoreError::NotADatabase {
                    path: path.to_owned(),
                }
            }
            other => other,
        })?;
        Ok(sqlite)
    }

    fn settle(&mut self, path: &Path) -> Result<(), StoreError> {
        let connection = &self.connection;
        // Asked first, so that a database of somebody else is left as it is.
        self.refuse_foreign(path)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // In WAL mode a power cut can cost the last transactions, never the database; the logs
        // have them.
        connection.pragma_update(None, "synchronous", "normal")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "foreign_keys", false)?;
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        connection.create_scalar_function("any_line_like", 2, flags, |context| {
            let lines = context.get_raw(0).as_str_or_null()?.unwrap_or_default();
            let pattern = context.get_raw(1).as_str()?;
            let mut lines = lines.split('\n').skip(1).peekable();
            Ok(std::iter::from_fn(|| {
                // What follows the last line feed is no line.
                let line = lines.next()?;
                lines.peek().map(|_| line)
            })
            .any(|line| inventory::glob_matches(pattern, line)))
        })?;
        self.migrate(path)
    }

    fn version(&self) -> Result<i64, StoreError> {
        let version = self
            .connection
            .pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok(version)
    }

    fn refuse_foreign(&self, path: &Path) -> Result<(), StoreError> {
        // One statement, so that it is all from one moment: another process may be making it.
        let sql = "SELECT (SELECT count(*) FROM sqlite_schema), \
                   (SELECT user_version FROM pragma_user_version), \
                   (SELECT application_id FROM pragma_application_id)";
        let (tables, version, id): (i64, i64, i64) = self
            .connection
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let place = || path.display().to_string();
        if id != APPLICATION_ID && (tables > 0 || version != 0) {
            return Err(StoreError::Foreign { place: place() });
        }
        let known = migrations::newest();
        if version > known {
            return Err(StoreError::TooNew {
                place: place(),
                found: version,
                known,
            });
        }
        Ok(())
    }

    fn migrate(&mut self, path: &Path) -> Result<(), StoreError> {
        if self.version()? == migrations::newest() {
            return Ok(());
        }
        crate::database::transaction(self, |sqlite| {
            // Whoever held the lock before us may have done it.
            sqlite.refuse_foreign(path)?;
            let version = sqlite.version()?;
            for (number, sql) in migrations::after(Dialect::Sqlite, version) {
                sqlite.connection.execute_batch(sql)?;
                sqlite
                    .connection
                    .pragma_update(None, "user_version", number)?;
            }
            sqlite
                .connection
                .pragma_update(None, "application_id", APPLICATION_ID)?;
            Ok(())
        })
    }
}

/// Makes the folder and an empty file that only their owner can read: an inventory holds what an
/// outsider learns of servers. SQLite gives its own files beside it the same mode.
fn prepare_file(path: &Path) -> Result<(), StoreError> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(StoreError::file("create the folder", folder))?;
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(StoreError::file("open the inventory", path))?;
    let mut head = Vec::new();
    let read = io::Read::by_ref(&mut file)
        .take(MAGIC.len() as u64)
        .read_to_end(&mut head);
    read.map_err(StoreError::file("read the inventory", path))?;
    if head.is_empty() || head == MAGIC {
        Ok(())
    } else {
        Err(StoreError::NotADatabase {
            path: path.to_owned(),
        })
    }
}

impl Database for Sqlite {
    const DIALECT: Dialect = Dialect::Sqlite;

    fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let changed = statement.execute(rusqlite::params_from_iter(values))?;
        Ok(changed as u64)
    }

    fn query(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        each: EachRow<'_>,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            let values: Row = (0..columns)
                .map(|index| Ok(owned(row.get_ref(index)?)))
                .collect::<Result<_, rusqlite::Error>>()?;
            if each(values)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn append(&mut self, table: &'static Table, row: Vec<Value<'_>>) -> Result<(), StoreError> {
        let connection = &self.connection;
        let sql = self.inserts.entry(table.name).or_insert_with(|| {
            let places: Vec<String> = (1..=row.len()).map(|index| format!("?{index}")).collect();
            format!("INSERT INTO {} VALUES ({})", table.name, places.join(", "))
        });
        let mut statement = connection.prepare_cached(sql)?;
        statement.execute(rusqlite::params_from_iter(&row))?;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        Ok(self.connection.execute_batch("BEGIN IMMEDIATE")?)
    }

    fn begin_reading(&mut self) -> Result<(), StoreError> {
        Ok(self.connection.execute_batch("BEGIN")?)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    fn rollback(&mut self) {
        // After some errors SQLite has rolled back by itself, and says that there is nothing to.
        let _ = self.connection.execute_batch("ROLLBACK");
    }

    fn without_indexes(&mut self, table: &'static Table) -> Result<Vec<String>, StoreError> {
        let first = format!("SELECT id FROM {} LIMIT 1", table.name);
        if number(self, &first, &[])?.is_some() {
            return Ok(Vec::new());
        }
        let indexes = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' \
                       AND tbl_name = ?1 AND sql IS NOT NULL ORDER BY rowid";
        let mut makers = Vec::new();
        for row in rows(self, indexes, &[Value::text(table.name)])? {
            let mut columns = Columns::of(row);
            // Names that our own migrations gave.
            let drop = format!("DROP INDEX {}", columns.text()?);
            makers.push(columns.text()?);
            self.connection.execute_batch(&drop)?;
        }
        Ok(makers)
    }

    fn analyse(&mut self) -> Result<(), StoreError> {
        Ok(self
            .connection
            .execute_batch("PRAGMA analysis_limit = 1000; ANALYZE")?)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Real(number) => ValueRef::Real(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn owned(value: ValueRef<'_>) -> Value<'static> {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::bytes(bytes.to_owned()),
    }
}
