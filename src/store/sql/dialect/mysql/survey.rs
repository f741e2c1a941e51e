//! A look at a MySQL or MariaDB database, for `worker doctor`: every question in a transaction that may only read.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use sqlx::Row;
use sqlx::mysql::MySqlRow;

use super::error::Failure;
use super::names::{NOW, schema_and_name};
use super::session::{Door, Session, setup};
use super::text::exactly;
use crate::clock::{Clock, SystemClock};
use crate::store::Error;
use crate::store::port::survey::{
    Ask, Column, Failures, Holds, Product, QUEUES_MOST, QueueState, SAMPLE_MOST, Server, SqlSurvey, Survey,
    TableState,
};
use crate::store::port::{Process, QueueName};
use crate::store::sql::names::{TableName, Tables};
use crate::store::sql::options::MysqlOptions;
use crate::store::sql::survey::{PINGS, SAMPLE_LARGEST, grouped, median};

/// Looks at one database.
pub(in crate::store::sql) struct MysqlSurvey {
    door: Door,
    tables: Tables,
}

impl fmt::Debug for MysqlSurvey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlSurvey").finish_non_exhaustive()
    }
}

type Asked<T> = Result<T, sqlx::Error>;

impl MysqlSurvey {
    /// A look at the database that `options` name. Nothing is sent yet.
    pub(in crate::store::sql) fn new(options: &MysqlOptions, tables: &Tables) -> Self {
        let (schema, name) = schema_and_name(&tables.jobs);
        Self {
            door: Door::new(options, setup(&schema, &name)),
            tables: tables.clone(),
        }
    }

    /// Asks on a connection of its own.
    async fn ask<T>(
        &self,
        action: &str,
        question: impl AsyncFnOnce(&mut Session, &Tables) -> Asked<T>,
    ) -> Result<T, Error> {
        let failed = |failure: Failure| failure.into_error(action.to_owned());
        let session = Session::connect(&self.door).await;
        let mut session = session.map_err(failed)?;
        let answer = async {
            session.execute("start transaction read only".to_owned()).await?;
            let answer = question(&mut session, &self.tables).await?;
            session.close().await?;
            Ok(answer)
        };
        answer.await.map_err(|error| failed(Failure::Said(error)))
    }
}

#[async_trait::async_trait]
impl Survey for MysqlSurvey {
    async fn server(&self) -> Result<Server, Error> {
        self.ask("ask the database what it is", async |session, _| {
            server(session).await
        })
        .await
    }

    async fn queues(&self, ask: &Ask) -> Result<Vec<QueueState>, Error> {
        self.ask("look at the queues", async |session, tables| {
            queues(session, tables, ask).await
        })
        .await
    }

    async fn processes(&self) -> Result<Option<Vec<Process>>, Error> {
        self.ask("list the worker processes", async |session, tables| {
            if columns(session, &tables.processes).await?.is_empty() {
                return Ok(None);
            }
            let table = tables.processes.quoted('`');
            let text = format!("select beat from {table} where expires_at > {NOW}");
            let rows = session.rows(text).await?;
            let process = |row: &MySqlRow| serde_json::from_slice(bytes(row, 0).ok()?).ok();
            Ok(Some(rows.iter().filter_map(process).collect()))
        })
        .await
    }
}

#[async_trait::async_trait]
impl SqlSurvey for MysqlSurvey {
    async fn tables(&self) -> Result<Vec<TableState>, Error> {
        self.ask("look at the tables", async |session, tables| {
            let mut states = Vec::new();
            for (role, name) in tables.by_role() {
                states.push(table(session, role, name).await?);
            }
            Ok(states)
        })
        .await
    }

    async fn failures(&self) -> Result<Failures, Error> {
        self.ask("look at the failed jobs", async |session, tables| {
            let table = tables.failed_jobs.quoted('`');
            let text = format!(
                "select count(*), count(case when uuid is null or uuid = '' then 1 end), (select count(*) from \
                 (select 1 from {table} where uuid <> '' group by uuid having count(*) > 1) as d) from {table}"
            );
            let rows = session.rows(text).await?;
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

fn bytes(row: &MySqlRow, place: usize) -> Asked<&[u8]> {
    row.try_get_unchecked(place)
}

fn words(row: &MySqlRow, place: usize) -> Asked<String> {
    Ok(String::from_utf8_lossy(bytes(row, place)?).into_owned())
}

fn number(row: &MySqlRow, place: usize) -> Asked<u64> {
    Ok(u64::try_from(row.try_get_unchecked::<i64, _>(place)?).unwrap_or(0))
}

fn seconds(row: &MySqlRow, place: usize) -> Asked<Option<u64>> {
    let seconds: Option<i64> = row.try_get_unchecked(place)?;
    Ok(seconds.map(|seconds| u64::try_from(seconds).unwrap_or(0)))
}

async fn server(session: &mut Session) -> Asked<Server> {
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let asked = Instant::now();
        session.rows("select 1".to_owned()).await?;
        times.push(asked.elapsed());
    }
    let before = SystemClock.now();
    let text = "select version(), cast(@@global.read_only as char), \
                cast(unix_timestamp(now(6)) * 1000 as signed)";
    let rows = session.rows(text.to_owned()).await?;
    let here = i64::try_from((before + SystemClock.now()).as_millis() / 2).unwrap_or(i64::MAX);
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let said = words(row, 0)?;
    // Old clients took a 10 for nonsense, so MariaDB puts a MySQL's number in front.
    let version = said.strip_prefix("5.5.5-").unwrap_or(&said);
    Ok(Server {
        product: match version.to_lowercase().contains("mariadb") {
            true => Product::Mariadb,
            false => Product::Mysql,
        },
        version: version.to_owned(),
        round_trip: median(times),
        ahead_ms: Some(row.try_get_unchecked::<i64, _>(2)? - here),
        read_only: !matches!(words(row, 1)?.as_str(), "0" | "OFF"),
        redis: None,
    })
}

/// Names are compared by their bytes: a collation takes `Mail` and `mail` for the same.
async fn queues(session: &mut Session, tables: &Tables, ask: &Ask) -> Asked<Vec<QueueState>> {
    let (lapse, old) = (ask.retry_after.as_secs(), ask.old.as_secs());
    let table = tables.jobs.quoted('`');
    let due = "reserved_at is null and available_at <= now";
    let lapsed = format!("reserved_at <= now - {lapse}");
    let text = format!(
        "select name, \
         count(case when {due} then 1 end), \
         count(case when reserved_at is null and available_at > now then 1 end), \
         count(case when reserved_at > now - {lapse} then 1 end), \
         count(case when {lapsed} then 1 end), \
         max(case when {lapsed} then now - {lapse} - reserved_at end), \
         max(case when {due} then now - available_at end), \
         count(case when reserved_at is null and available_at < now - {old} then 1 end) \
         from (select cast(convert(queue using utf8mb4) as binary) as name, cast(available_at as signed) as available_at, \
             cast(reserved_at as signed) as reserved_at, {NOW} as now from {table}) as j \
         group by name order by name limit {QUEUES_MOST}"
    );
    let mut states = Vec::new();
    for row in session.rows(text).await? {
        let queue = QueueName::new(&words(&row, 0)?);
        states.push(QueueState {
            pending: number(&row, 1)?,
            delayed: number(&row, 2)?,
            reserved: number(&row, 3)?,
            lapsed: number(&row, 4)?,
            lapsed_s: seconds(&row, 5)?,
            oldest_s: seconds(&row, 6)?,
            old: number(&row, 7)?,
            old_at_least: false,
            samples: samples(session, &table, &queue).await?,
            queue,
        });
    }
    Ok(ask.complete(states))
}

/// Payloads from both ends of a queue, by id.
async fn samples(session: &mut Session, table: &str, queue: &QueueName) -> Asked<Vec<Bytes>> {
    let is_here = exactly("queue", queue.as_str());
    let end = |order: &str| {
        format!("(select id from {table} where {is_here} order by id {order} limit {SAMPLE_MOST})")
    };
    let text = format!(
        "select j.payload from {table} as j join ({} union {}) as s on s.id = j.id \
         where octet_length(j.payload) <= {SAMPLE_LARGEST} order by j.id",
        end("asc"),
        end("desc")
    );
    let rows = session.rows(text).await?;
    let payload = |row: &MySqlRow| Ok(Bytes::copy_from_slice(bytes(row, 0)?));
    rows.iter().map(payload).collect()
}

async fn table(session: &mut Session, role: &'static str, name: &TableName) -> Asked<TableState> {
    let columns = columns(session, name).await?;
    let (schema, table) = schema_and_name(name);
    let text = format!(
        "select index_name, non_unique, column_name from information_schema.statistics \
         where table_schema = {schema} and table_name = {table} order by index_name, seq_in_index"
    );
    let part = |row: &MySqlRow| {
        let column: Option<&[u8]> = row.try_get_unchecked(2)?;
        let column = String::from_utf8_lossy(column.unwrap_or_default()).into_owned();
        Ok((words(row, 0)?, row.try_get_unchecked::<i64, _>(1)? == 0, column))
    };
    let parts: Asked<Vec<_>> = session.rows(text).await?.iter().map(part).collect();
    Ok(TableState {
        role,
        name: name.as_str().to_owned(),
        columns: (!columns.is_empty()).then_some(columns),
        indexes: grouped(parts?),
    })
}

async fn columns(session: &mut Session, table: &TableName) -> Asked<Vec<Column>> {
    let (schema, table) = schema_and_name(table);
    let text = format!(
        "select column_name, column_type, is_nullable, coalesce(character_set_name, '') from information_schema.columns \
         where table_schema = {schema} and table_name = {table} order by ordinal_position"
    );
    let column = |row: &MySqlRow| {
        let declared = words(row, 1)?;
        let charset = words(row, 3)?;
        Ok(Column {
            name: words(row, 0)?,
            holds: holds(&declared),
            declared,
            nullable: words(row, 2)? == "YES",
            charset: (!charset.is_empty()).then_some(charset),
        })
    };
    session.rows(text).await?.iter().map(column).collect()
}

/// What a type holds, by the name that `information_schema` gives it.
fn holds(declared: &str) -> Holds {
    let kind = declared.split(['(', ' ']).next().unwrap_or_default();
    let signed: u64 = match kind {
        "tinyint" => i8::MAX.unsigned_abs().into(),
        "smallint" => i16::MAX.unsigned_abs().into(),
        "mediumint" => 0x7f_ffff,
        "int" => i32::MAX.unsigned_abs().into(),
        "bigint" => i64::MAX.unsigned_abs(),
        "tinytext" => return Holds::Text(Some(255)),
        "text" => return Holds::Text(Some(65_535)),
        "mediumtext" | "longtext" => return Holds::Text(None),
        "char" | "varchar" => {
            let digits: String = declared.chars().filter(char::is_ascii_digit).collect();
            return Holds::Text(digits.parse().ok());
        }
        "timestamp" | "datetime" | "date" | "time" => return Holds::Time,
        _ => return Holds::Other,
    };
    Holds::Integer(match declared.contains("unsigned") {
        true => signed.saturating_mul(2).saturating_add(1),
        false => signed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_what_they_hold() {
        assert_eq!(holds("tinyint(3) unsigned"), Holds::Integer(255));
        assert_eq!(holds("smallint"), Holds::Integer(32_767));
        assert_eq!(holds("int(11)"), Holds::Integer(2_147_483_647));
        assert_eq!(holds("bigint(20) unsigned"), Holds::Integer(u64::MAX));
        assert_eq!(holds("text"), Holds::Text(Some(65_535)));
        assert_eq!(holds("mediumtext"), Holds::Text(None));
        assert_eq!(holds("varchar(255)"), Holds::Text(Some(255)));
        assert_eq!(holds("timestamp"), Holds::Time);
        assert_eq!(holds("blob"), Holds::Other);
    }
}
