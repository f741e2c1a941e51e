//! Puts a task on a queue that the worker serves, with the stock storages of apalis 1.0.
//!
//! ```text
//! cargo run -p producer -- redis    redis://127.0.0.1/3
//! cargo run -p producer -- postgres postgres://user@127.0.0.1/app
//! cargo run -p producer -- sqlite   sqlite:tasks.sqlite?mode=rwc
//! ```
//!
//! Then `QUEUE_CONNECTION=apalis-redis worker run --queue worker-demo-slow`, or `apalis-database` with
//! `DB_CONNECTION=pgsql` or `sqlite`. The queue's name says which job it is: a native job's class, or one of its
//! `NAMES`.

use anyhow::{Context, bail};
use apalis::prelude::{MetadataStore, TaskBuilder, TaskSink};
use apalis_postgres::PostgresStorage;
use apalis_redis::RedisStorage;
use apalis_sqlite::SqliteStorage;
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, SqlitePool};

/// The queue, which is the name of the job.
const QUEUE: &str = "worker-demo-slow";

/// The job's data, as the worker's own struct has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Slow {
    sleep_ms: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let store = args.next().context("name a store: redis, postgres or sqlite")?;
    let url = args.next().context("name its URL")?;
    match store.as_str() {
        "redis" => redis(&url).await,
        "postgres" => postgres(&url).await,
        "sqlite" => sqlite(&url).await,
        other => bail!("{other} is none of redis, postgres, sqlite"),
    }
}

async fn redis(url: &str) -> anyhow::Result<()> {
    let connection = apalis_redis::connect(url).await?;
    let config = apalis_redis::Config::default().queue(QUEUE);
    let mut storage = RedisStorage::new(connection).with_config(config);
    storage.push(Slow { sleep_ms: 100 }).await?;
    Ok(())
}

async fn postgres(url: &str) -> anyhow::Result<()> {
    let pool = PgPool::connect(url).await?;
    PostgresStorage::setup(&pool).await?;
    let config = apalis_postgres::Config::default().queue(QUEUE);
    let mut storage = PostgresStorage::new(&pool).with_config(config);
    storage.push(Slow { sleep_ms: 100 }).await?;
    Ok(())
}

/// With a limit of five attempts, a minute between them: what columns do not say goes into the metadata.
async fn sqlite(url: &str) -> anyhow::Result<()> {
    let pool = SqlitePool::connect(url).await?;
    SqliteStorage::setup(&pool).await?;
    let mut metadata = MetadataStore::new();
    metadata
        .insert("worker.backoff", "60")
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let config = apalis_sqlite::Config::default().queue(QUEUE);
    let mut storage = SqliteStorage::new(&pool).with_config(config);
    let task = TaskBuilder::new(Slow { sleep_ms: 100 })
        .max_attempts(5)
        .with_metadata(metadata);
    storage.push_task(task.build()).await?;
    Ok(())
}
