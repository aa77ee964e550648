//! PostgreSQL: an inventory that several people and machines share.
//!
//! The address of a server holds a password. It goes into the connection and nowhere else: what is
//! shown of it comes from [`shown`].

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;

use bytes::BytesMut;

use postgres::binary_copy::BinaryCopyInWriter;
use postgres::config::{Host, SslMode};
use postgres::fallible_iterator::FallibleIterator;

use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, Config, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::database::{ColumnType, Database, Dialect, EachRow, Row, Table, Value, number};
use crate::{StoreError, migrations};

/// Statements that stay prepared.
const STATEMENTS_MAX: usize = 128;
/// Rows that are held until they go to the server together.
const HELD_ROWS_MAX: usize = 5_000;
/// The number of our advisory lock, "memsweep" in bytes: one process writes or migrates at a time.
const LOCK: i64 = i64::from_be_bytes(*b"memsweep");

/// A connection to a PostgreSQL server.
pub(crate) struct Postgres {
    client: Client,
    statements: HashMap<String, Statement>,
    held: Vec<Held>,
    held_rows: usize,
}

/// Rows of a table that wait.
struct Held {
    table: &'static Table,
    rows: Vec<Vec<Value<'static>>>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Postgres")
    }
}

/// Hosts and database of an address, without names and passwords.
pub(crate) fn shown(url: &str) -> String {
    let Ok(config) = url.parse::<Config>() else {
        return "postgres://…".to_owned();
    };
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(index, host)| {
            let ports = config.get_ports();
            let port = ports.get(index).or(ports.first());
            match (host, port) {
                (Host::Tcp(name), Some(port)) => format!("{name}:{port}"),
                (Host::Tcp(name), None) => name.clone(),
                (Host::Unix(folder), _) => folder.display().to_string(),
            }
        })
        .collect();
    let database = config.get_dbname().unwrap_or_default();
    format!("postgres://{}/{database}", hosts.join(","))
}

impl Postgres {
    /// Connects, and brings the database up to this version.
    pub(crate) fn open(url: &str) -> Result<Postgres, StoreError> {
        // We always verify, so what libpq calls its stricter modes is what we do anyway.
        let known = url
            .replace("sslmode=verify-full", "sslmode=require")
            .replace("sslmode=verify-ca", "sslmode=require");
        let config: Config = known
            .parse()
            .map_err(|error| StoreError::Url(chain(&error)))?;
        let is_local = config
            .get_hosts()
            .iter()
            .all(|host| matches!(host, Host::Unix(_)));
        let connected = if is_local || config.get_ssl_mode() == SslMode::Disable {
            config.connect(NoTls)
        } else {
            config.connect(MakeRustlsConnect::new(tls()?))
        };
        let client = connected.map_err(|error| StoreError::Unreachable {
            place: shown(url),
            reason: chain(&error),
        })?;
        let mut postgres = Postgres {
            client,
            statements: HashMap::new(),
            held: Vec::new(),
            held_rows: 0,
        };
        postgres.migrate(url)?;
        Ok(postgres)
    }

    fn migrate(&mut self, url: &str) -> Result<(), StoreError> {
        if self.version(url)? == migrations::newest() {
            return Ok(());
        }
        crate::database::transaction(self, |postgres| {
            // Whoever held the lock before us may have done it.
            let version = postgres.version(url)?;
            if version == 0 {
                // Only under the lock: otherwise these may be what another process just made.
                if postgres.has_table("runs")? || postgres.has_table("observations")? {
                    return Err(StoreError::Foreign { place: shown(url) });
                }
                postgres
                    .client
                    .batch_execute("CREATE TABLE memsweep_inventory (version BIGINT NOT NULL)")?;
                postgres
                    .client
                    .batch_execute("INSERT INTO memsweep_inventory VALUES (0)")?;
            }
            for (number, sql) in migrations::after(Dialect::Postgres, version) {
                postgres.client.batch_execute(sql)?;
                let set = "UPDATE memsweep_inventory SET version = ?1";
                postgres.execute(set, &[Value::Integer(number)])?;
            }
            Ok(())
        })
    }

    /// The version of the database; 0 if nothing is there.
    fn version(&mut self, url: &str) -> Result<i64, StoreError> {
        if !self.has_table("memsweep_inventory")? {
            return Ok(0);
        }
        let version = number(self, "SELECT version FROM memsweep_inventory", &[])?.unwrap_or(0);
        let known = migrations::newest();
        if version > known {
            return Err(StoreError::TooNew {
                place: shown(url),
                found: version,
                known,
            });
        }
        Ok(version)
    }

    fn has_table(&mut self, name: &str) -> Result<bool, StoreError> {
        // A table is read for this, and not a function asked, because only the lock of a table
        // makes a server look for what others have made since the transaction began.
        let sql = "SELECT count(*) FROM pg_catalog.pg_tables \
                   WHERE schemaname = ANY (current_schemas(false)) \
                   AND CAST(tablename AS TEXT) = ?1";
        let found = number(self, sql, &[Value::text(name.to_owned())])?;
        Ok(found == Some(1))
    }

    fn statement(&mut self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        // Values never stand in a statement, so each question mark is a placeholder.
        let statement = self.client.prepare(&sql.replace('?', "$"))?;
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

/// TLS with the certificates that this system trusts.
fn tls() -> Result<rustls::ClientConfig, StoreError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Postgres(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

impl Database for Postgres {
    const DIALECT: Dialect = Dialect::Postgres;

    fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let statement = self.statement(sql)?;
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        Ok(self.client.execute(&statement, &values)?)
    }

    fn query(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        each: EachRow<'_>,
    ) -> Result<(), StoreError> {
        let statement = self.statement(sql)?;
        let mut rows = self.client.query_raw(&statement, values)?;
        while let Some(row) = rows.next()? {
            let values: Row = (0..row.len())
                .map(|index| owned(&row, index))
                .collect::<Result<_, StoreError>>()?;
            if each(values)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn append(&mut self, table: &'static Table, row: Vec<Value<'_>>) -> Result<(), StoreError> {
        let row = row.into_iter().map(Value::into_owned).collect();
        match self
            .held
            .iter_mut()
            .find(|held| held.table.name == table.name)
        {
            Some(held) => held.rows.push(row),
            None => self.held.push(Held {
                table,
                rows: vec![row],
            }),
        }
        self.held_rows += 1;
        if self.held_rows >= HELD_ROWS_MAX {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.held_rows = 0;
        for held in std::mem::take(&mut self.held) {
            copy(&mut self.client, &held)?;
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        let sql = format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})");
        Ok(self.client.batch_execute(&sql)?)
    }

    fn begin_reading(&mut self) -> Result<(), StoreError> {
        let sql = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        Ok(self.client.batch_execute(sql)?)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        Ok(self.client.batch_execute("COMMIT")?)
    }

    fn rollback(&mut self) {
        self.held.clear();
        self.held_rows = 0;
        // If the connection is lost, the server has rolled back by itself.
        let _ = self.client.batch_execute("ROLLBACK");
    }

    fn without_indexes(&mut self, _table: &'static Table) -> Result<Vec<String>, StoreError> {
        // It would keep all others from reading until the end, and COPY is fast enough.
        Ok(Vec::new())
    }

    fn analyse(&mut self) -> Result<(), StoreError> {
        Ok(self
            .client
            .batch_execute("ANALYZE kinds; ANALYZE places; ANALYZE observations")?)
    }
}

fn copy(client: &mut Client, held: &Held) -> Result<(), StoreError> {
    let columns = held.table.columns;
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let types: Vec<Type> = columns
        .iter()
        .map(|(_, column)| match column {
            ColumnType::Integer => Type::INT8,
            ColumnType::Real => Type::FLOAT8,
            ColumnType::Text => Type::TEXT,
            ColumnType::Bytes => Type::BYTEA,
        })
        .collect();
    let sql = format!(
        "COPY {} ({}) FROM STDIN BINARY",
        held.table.name,
        names.join(", ")
    );
    let mut writer = BinaryCopyInWriter::new(client.copy_in(&sql)?, &types);
    for row in &held.rows {
        let values: Vec<&(dyn ToSql + Sync)> = row.iter().map(|value| value as _).collect();
        writer.write(&values)?;
    }
    writer.finish()?;
    Ok(())
}

fn owned(row: &postgres::Row, index: usize) -> Result<Value<'static>, StoreError> {
    let column = &row.columns()[index];
    let value = match *column.type_() {
        Type::INT8 => row.try_get::<_, Option<i64>>(index)?.map(Value::Integer),
        Type::INT4 => row
            .try_get::<_, Option<i32>>(index)?
            .map(|number| Value::Integer(number.into())),
        Type::FLOAT8 => row.try_get::<_, Option<f64>>(index)?.map(Value::Real),
        Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(index)?.map(Value::bytes),
        _ => row.try_get::<_, Option<String>>(index)?.map(Value::text),
    };
    Ok(value.unwrap_or(Value::Null))
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(number) => number.to_sql(kind, out),
            Value::Real(number) => number.to_sql(kind, out),
            Value::Text(text) => text.as_ref().to_sql(kind, out),
            Value::Bytes(bytes) => bytes.as_ref().to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        // Each value is written as what it is, so the column has to be of that type: all columns
        // and placeholders of ours are of these.
        [Type::INT8, Type::FLOAT8, Type::TEXT, Type::BYTEA].contains(kind)
    }

    to_sql_checked!();
}

impl From<postgres::Error> for StoreError {
    fn from(error: postgres::Error) -> StoreError {
        StoreError::Postgres(chain(&error))
    }
}

/// An error with its causes: what PostgreSQL said is one of them.
fn chain(error: &postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
