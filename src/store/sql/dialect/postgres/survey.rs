//! A look at a PostgreSQL database, for `worker doctor`: every question in a transaction that may only read.

use std::time::Instant;

use bytes::Bytes;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::connect::Door;
use super::error::Failure;
use super::statements::NOW;
use crate::clock::{Clock, SystemClock};
use crate::store::Error;
use crate::store::port::survey::{
    Ask, Column, Failures, Holds, Index, Product, QUEUES_MOST, QueueState, SAMPLE_MOST, Server, SqlSurvey,
    Survey, TableState,
};
use crate::store::port::{Process, QueueName};
use crate::store::sql::names::{TableName, Tables};
use crate::store::sql::options::PostgresOptions;
use crate::store::sql::survey::{PINGS, SAMPLE_LARGEST, grouped, median};

/// Looks at one database.
#[derive(Debug)]
pub(in crate::store::sql) struct PostgresSurvey {
    door: Door,
    tables: Tables,
}

type Asked<T> = Result<T, sqlx::Error>;

impl PostgresSurvey {
    /// A look at the database that `options` name. Nothing is sent yet.
    pub(in crate::store::sql) fn new(options: &PostgresOptions, tables: &Tables) -> Self {
        Self {
            door: Door::new(options),
            tables: tables.clone(),
        }
    }

    /// Asks on a connection of its own. The server gives up on what takes too long, too.
    async fn ask<T>(
        &self,
        action: &str,
        question: impl AsyncFnOnce(&mut PgConnection, &Tables) -> Asked<T>,
    ) -> Result<T, Error> {
        let failed = |failure: Failure| failure.during(action);
        let link = self.door.connect().await.map_err(failed)?;
        let mut connection = link.connection;
        let begin = match link.pid {
            Some(_) => "begin".to_owned(),
            None => self.door.begin_pooled(),
        };
        let begin = format!("{begin}; set transaction read only; set local statement_timeout to '10s'");
        let answer = async {
            sqlx::raw_sql(AssertSqlSafe(begin))
                .execute(&mut connection)
                .await?;
            let answer = question(&mut connection, &self.tables).await?;
            sqlx::raw_sql("rollback").execute(&mut connection).await?;
            connection.close().await?;
            Ok(answer)
        };
        answer.await.map_err(|error| failed(Failure::Run(error)))
    }
}

#[async_trait::async_trait]
impl Survey for PostgresSurvey {
    async fn server(&self) -> Result<Server, Error> {
        self.ask("ask the database what it is", async |connection, _| {
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
            let text = format!("select beat from {table} where expires_at > {NOW}");
            let rows = all(connection, text).await?;
            let process = |row: &PgRow| serde_json::from_str(row.try_get(0).ok()?).ok();
            Ok(Some(rows.iter().filter_map(process).collect()))
        })
        .await
    }
}

#[async_trait::async_trait]
impl SqlSurvey for PostgresSurvey {
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
                "select count(*), count(*) filter (where uuid is null or uuid::text = ''), (select count(*) from \
                 (select 1 from {table} where uuid::text <> '' group by uuid having count(*) > 1) as d) from {table}"
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

/// Statements are not kept: a pooler would hand the next one to another session.
async fn all(connection: &mut PgConnection, text: String) -> Asked<Vec<PgRow>> {
    // Holds nothing from outside but checked and quoted table names, and numbers.
    let query = sqlx::query(AssertSqlSafe(text)).persistent(false);
    query.fetch_all(connection).await
}

fn number(row: &PgRow, place: usize) -> Asked<u64> {
    Ok(u64::try_from(row.try_get::<i64, _>(place)?).unwrap_or(0))
}

fn seconds(row: &PgRow, place: usize) -> Asked<Option<u64>> {
    let seconds: Option<i64> = row.try_get(place)?;
    Ok(seconds.map(|seconds| u64::try_from(seconds).unwrap_or(0)))
}

async fn server(connection: &mut PgConnection) -> Asked<Server> {
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let asked = Instant::now();
        sqlx::raw_sql("select 1").execute(&mut *connection).await?;
        times.push(asked.elapsed());
    }
    let before = SystemClock.now();
    let text = "select current_setting('server_version'), \
        pg_is_in_recovery() or current_setting('default_transaction_read_only') = 'on', \
        (extract(epoch from clock_timestamp()) * 1000)::bigint";
    let rows = all(connection, text.to_owned()).await?;
    let here = i64::try_from((before + SystemClock.now()).as_millis() / 2).unwrap_or(i64::MAX);
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok(Server {
        product: Product::Postgres,
        version: row.try_get(0)?,
        round_trip: median(times),
        ahead_ms: Some(row.try_get::<i64, _>(2)? - here),
        read_only: row.try_get(1)?,
        redis: None,
    })
}

async fn queues(connection: &mut PgConnection, tables: &Tables, ask: &Ask) -> Asked<Vec<QueueState>> {
    let (lapse, old) = (ask.retry_after.as_secs(), ask.old.as_secs());
    let table = tables.jobs.quoted('"');
    let text = format!(
        "with j as (select queue, available_at::bigint, reserved_at::bigint, {NOW} as now from {table}) select queue, \
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
        let queue = QueueName::new(row.try_get(0)?);
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
async fn samples(connection: &mut PgConnection, table: &str, queue: &QueueName) -> Asked<Vec<Bytes>> {
    let end = |order: &str| {
        format!("(select id from {table} where queue = $1 order by id {order} limit {SAMPLE_MOST})")
    };
    let text = format!(
        "select payload::text from {table} where id in ({} union {}) and octet_length(payload::text) <= {SAMPLE_LARGEST} order by id",
        end("asc"),
        end("desc")
    );
    let query = sqlx::query(AssertSqlSafe(text)).persistent(false);
    let rows = query.bind(queue.as_str()).fetch_all(connection).await?;
    let payload = |row: &PgRow| Ok(Bytes::from(row.try_get_unchecked::<String, _>(0)?));
    rows.iter().map(payload).collect()
}

async fn table(connection: &mut PgConnection, role: &'static str, name: &TableName) -> Asked<TableState> {
    let columns = columns(connection, name).await?;
    Ok(TableState {
        role,
        name: name.as_str().to_owned(),
        indexes: indexes(connection, name).await?,
        columns: (!columns.is_empty()).then_some(columns),
    })
}

async fn columns(connection: &mut PgConnection, table: &TableName) -> Asked<Vec<Column>> {
    let query = sqlx::query(
        "select attname::text, format_type(atttypid, atttypmod), attnotnull, \
         (select pg_encoding_to_char(encoding)::text from pg_database where datname = current_database()) \
         from pg_attribute where attrelid = to_regclass($1) and attnum > 0 and not attisdropped order by attnum",
    );
    let query = query.persistent(false).bind(table.quoted('"'));
    let column = |row: &PgRow| {
        let declared: String = row.try_get(1)?;
        let holds = holds(&declared);
        let charset: String = row.try_get(3)?;
        Ok(Column {
            name: row.try_get(0)?,
            charset: matches!(holds, Holds::Text(_)).then_some(charset),
            holds,
            declared,
            nullable: !row.try_get::<bool, _>(2)?,
        })
    };
    query.fetch_all(connection).await?.iter().map(column).collect()
}

/// What a type holds, by the name that `format_type` gives it.
fn holds(declared: &str) -> Holds {
    match declared {
        "smallint" => Holds::Integer(i16::MAX.unsigned_abs().into()),
        "integer" => Holds::Integer(i32::MAX.unsigned_abs().into()),
        "bigint" => Holds::Integer(i64::MAX.unsigned_abs()),
        "text" | "character varying" => Holds::Text(None),
        // Values of this type are texts to whoever writes them.
        "uuid" => Holds::Text(Some(36)),
        _ if declared.starts_with("timestamp") || declared == "date" => Holds::Time,
        _ => match declared.strip_prefix("character") {
            Some(rest) => {
                let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
                Holds::Text(digits.parse().ok())
            }
            None => Holds::Other,
        },
    }
}

async fn indexes(connection: &mut PgConnection, table: &TableName) -> Asked<Vec<Index>> {
    let query = sqlx::query(
        "select i.indexrelid::text, i.indisunique, coalesce(a.attname::text, '') from pg_index as i \
         cross join lateral unnest(i.indkey::int2[]) with ordinality as k(number, place) \
         left join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.number \
         where i.indrelid = to_regclass($1) and i.indisvalid and i.indpred is null order by i.indexrelid, k.place",
    );
    let query = query.persistent(false).bind(table.quoted('"'));
    let part = |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    let parts: Asked<Vec<_>> = query.fetch_all(connection).await?.iter().map(part).collect();
    Ok(grouped(parts?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_what_they_hold() {
        assert_eq!(holds("smallint"), Holds::Integer(32_767));
        assert_eq!(holds("character varying(255)"), Holds::Text(Some(255)));
        assert_eq!(holds("character varying"), Holds::Text(None));
        assert_eq!(holds("timestamp(0) without time zone"), Holds::Time);
        assert_eq!(holds("jsonb"), Holds::Other);
    }
}
