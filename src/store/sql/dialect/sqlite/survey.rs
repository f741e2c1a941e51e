//! A look at an SQLite file, for `worker doctor`. It is never made, and opened with `query_only`: a connection that is
//! opened read-only leaves the files of a write-ahead log behind, and cannot read after a crash.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection};

use super::error::store_error;
use super::open;
use crate::store::Error;
use crate::store::port::survey::{
    Ask, Column, Failures, Holds, Index, Product, QUEUES_MOST, QueueState, SAMPLE_MOST, Server, SqlSurvey,
    Survey, TableState,
};
use crate::store::port::{Process, QueueName};
use crate::store::sql::names::{TableName, Tables};
use crate::store::sql::survey::{PINGS, SAMPLE_LARGEST, grouped, median};

/// Looks at one file.
#[derive(Debug)]
pub(in crate::store::sql) struct SqliteSurvey {
    connect: SqliteConnectOptions,
    tables: Tables,
}

type Asked<T> = Result<T, sqlx::Error>;

impl SqliteSurvey {
    /// A look at the file at `path`. It is not opened yet.
    pub(in crate::store::sql) fn new(path: &Path, busy_timeout: Duration, tables: &Tables) -> Self {
        Self {
            connect: SqliteConnectOptions::new()
                .filename(path)
                .pragma("query_only", "1")
                .busy_timeout(busy_timeout)
                .disable_statement_logging(),
            tables: tables.clone(),
        }
    }

    /// Asks on a connection of its own.
    async fn ask<T>(
        &self,
        action: &str,
        question: impl AsyncFnOnce(&mut SqliteConnection, &Tables) -> Asked<T>,
    ) -> Result<T, Error> {
        let mut connection = open::connect(&self.connect).await?;
        let answer = question(&mut connection, &self.tables).await;
        let closed = connection.close().await;
        answer
            .and_then(|answer| closed.map(|()| answer))
            .map_err(|error| store_error(action, &error))
    }
}

#[async_trait::async_trait]
impl Survey for SqliteSurvey {
    async fn server(&self) -> Result<Server, Error> {
        self.ask("open the database", async |connection, _| {
            server(connection).await
        })
        .await
    }

    async fn queues(&self, ask: &Ask) -> Result<Vec<QueueState>, Error> {
        self.ask("look at the queues", async |connection, tables| {
            queues(connection, tables, ask).await
        })
        .await
    }

    async fn processes(&self) -> Result<Option<Vec<Process>>, Error> {
        self.ask("list the worker processes", async |connection, tables| {
            if columns(connection, &tables.processes).await?.is_empty() {
                return Ok(None);
            }
            let table = tables.processes.quoted('"');
            let rows = all(
                connection,
                format!("select beat from {table} where expires_at > unixepoch()"),
            )
            .await?;
            let process = |row: &SqliteRow| serde_json::from_str(row.try_get(0).ok()?).ok();
            Ok(Some(rows.iter().filter_map(process).collect()))
        })
        .await
    }
}

#[async_trait::async_trait]
impl SqlSurvey for SqliteSurvey {
    async fn tables(&self) -> Result<Vec<TableState>, Error> {
        self.ask("look at the tables", async |connection, tables| {
            let mut states = Vec::new();
            for (role, name) in tables.by_role() {
                states.push(table(connection, role, name).await?);
            }
            Ok(states)
        })
        .await
    }

    async fn failures(&self) -> Result<Failures, Error> {
        self.ask("look at the failed jobs", async |connection, tables| {
            let table = tables.failed_jobs.quoted('"');
            let text = format!(
                "select count(*), count(*) filter (where uuid is null or uuid = ''), (select count(*) from \
                 (select 1 from {table} where uuid <> '' group by uuid having count(*) > 1)) from {table}"
            );
            let rows = all(connection, text).await?;
            let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
            Ok(Failures {
                rows: number(row, 0)?,
                without_uuid: number(row, 1)?,
                duplicates: number(row, 2)?,
            })
        })
        .await
    }
}

async fn all(connection: &mut SqliteConnection, text: String) -> Asked<Vec<SqliteRow>> {
    // Holds nothing from outside but checked and quoted table names, and numbers.
    sqlx::query(AssertSqlSafe(text)).fetch_all(connection).await
}

fn number(row: &SqliteRow, place: usize) -> Asked<u64> {
    Ok(u64::try_from(row.try_get_unchecked::<i64, _>(place)?).unwrap_or(0))
}

fn seconds(row: &SqliteRow, place: usize) -> Asked<Option<u64>> {
    let seconds: Option<i64> = row.try_get_unchecked(place)?;
    Ok(seconds.map(|seconds| u64::try_from(seconds).unwrap_or(0)))
}

async fn server(connection: &mut SqliteConnection) -> Asked<Server> {
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let asked = Instant::now();
        all(connection, "select 1 from sqlite_master".to_owned()).await?;
        times.push(asked.elapsed());
    }
    let rows = all(connection, "select sqlite_version()".to_owned()).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok(Server {
        product: Product::Sqlite,
        version: row.try_get(0)?,
        round_trip: median(times),
        ahead_ms: None,
        read_only: false,
        redis: None,
    })
}

async fn queues(connection: &mut SqliteConnection, tables: &Tables, ask: &Ask) -> Asked<Vec<QueueState>> {
    let (lapse, old) = (ask.retry_after.as_secs(), ask.old.as_secs());
    let table = tables.jobs.quoted('"');
    let text = format!(
        "with j as (select queue, available_at, reserved_at, unixepoch() as now from {table}) select queue, \
         count(*) filter (where reserved_at is null and available_at <= now), \
         count(*) filter (where reserved_at is null and available_at > now), \
         count(*) filter (where reserved_at > now - {lapse}), \
         count(*) filter (where reserved_at <= now - {lapse}), \
         max(now - {lapse} - reserved_at) filter (where reserved_at <= now - {lapse}), \
         max(now - available_at) filter (where reserved_at is null and available_at <= now), \
         count(*) filter (where reserved_at is null and available_at < now - {old}) \
         from j group by queue order by queue limit {QUEUES_MOST}"
    );
    let mut states = Vec::new();
    for row in all(connection, text).await? {
        let queue = QueueName::new(&String::from_utf8_lossy(row.try_get_unchecked(0)?));
        states.push(QueueState {
            pending: number(&row, 1)?,
            delayed: number(&row, 2)?,
            reserved: number(&row, 3)?,
            lapsed: number(&row, 4)?,
            lapsed_s: seconds(&row, 5)?,
            oldest_s: seconds(&row, 6)?,
            old: number(&row, 7)?,
            old_at_least: false,
            samples: samples(connection, &table, &queue).await?,
            queue,
        });
    }
    Ok(ask.complete(states))
}

/// Payloads from both ends of a queue, by id.
async fn samples(connection: &mut SqliteConnection, table: &str, queue: &QueueName) -> Asked<Vec<Bytes>> {
    let end = |order: &str| {
        format!(
            "select id from (select id from {table} where queue = ?1 order by id {order} limit {SAMPLE_MOST})"
        )
    };
    let text = format!(
        "select payload from {table} where id in ({} union {}) and octet_length(payload) <= {SAMPLE_LARGEST} order by id",
        end("asc"),
        end("desc")
    );
    let query = sqlx::query(AssertSqlSafe(text)).bind(queue.as_str().to_owned());
    let rows = query.fetch_all(connection).await?;
    let payload = |row: &SqliteRow| Ok(Bytes::from(row.try_get_unchecked::<Vec<u8>, _>(0)?));
    rows.iter().map(payload).collect()
}

async fn table(connection: &mut SqliteConnection, role: &'static str, name: &TableName) -> Asked<TableState> {
    let columns = columns(connection, name).await?;
    Ok(TableState {
        role,
        name: name.as_str().to_owned(),
        indexes: indexes(connection, name).await?,
        columns: (!columns.is_empty()).then_some(columns),
    })
}

async fn columns(connection: &mut SqliteConnection, table: &TableName) -> Asked<Vec<Column>> {
    let query = sqlx::query("select name, type, \"notnull\" from pragma_table_info(?1)");
    let rows = query
        .bind(table.as_str().to_owned())
        .fetch_all(connection)
        .await?;
    let column = |row: &SqliteRow| {
        let declared: String = row.try_get(1)?;
        Ok(Column {
            name: row.try_get(0)?,
            holds: holds(&declared),
            declared,
            nullable: row.try_get_unchecked::<i64, _>(2)? == 0,
            charset: None,
        })
    };
    rows.iter().map(column).collect()
}

/// What a declared type means to SQLite, which knows no widths.
fn holds(declared: &str) -> Holds {
    let declared = declared.to_ascii_lowercase();
    let has = |part: &str| declared.contains(part);
    if has("int") {
        Holds::Integer(i64::MAX.unsigned_abs())
    } else if has("char") || has("text") || has("clob") {
        Holds::Text(None)
    } else if has("date") || has("time") {
        Holds::Time
    } else {
        Holds::Other
    }
}

async fn indexes(connection: &mut SqliteConnection, table: &TableName) -> Asked<Vec<Index>> {
    let query = sqlx::query(
        "select l.name, l.\"unique\", i.name from pragma_index_list(?1) as l, pragma_index_info(l.name) as i \
         order by l.seq, i.seqno",
    );
    let rows = query
        .bind(table.as_str().to_owned())
        .fetch_all(&mut *connection)
        .await?;
    let part = |row: &SqliteRow| {
        let column: Option<String> = row.try_get(2)?;
        Ok((
            row.try_get(0)?,
            row.try_get_unchecked::<i64, _>(1)? != 0,
            column.unwrap_or_default(),
        ))
    };
    let parts: Asked<Vec<_>> = rows.iter().map(part).collect();
    Ok(grouped(parts?))
}
