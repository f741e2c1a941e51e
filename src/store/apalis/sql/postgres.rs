//! PostgreSQL: each verb one statement, over the connections of the dialect, and one more that listens to the
//! trigger of the stock layout.

mod news;
mod statements;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use apalis_postgres::Config;
use bytes::Bytes;
use sqlx::Row;
use sqlx::postgres::PgRow;

use self::news::News;
use self::statements as sql;
use super::table::{AsideAsk, AsideRow, Claim, Fate, Hold, NewTask, REACH, Ready, Table, TaskRow};
use crate::store::Error;
use crate::store::port::{AsideEnd, Depth, QueueName, Waiting};
use crate::store::sql::PostgresOptions;
use crate::store::sql::dialect::postgres::connect::Door;
use crate::store::sql::dialect::postgres::error::Failure;
use crate::store::sql::dialect::postgres::pool::{Pool, Use};
use crate::store::sql::dialect::postgres::statements::PgQuery;
use crate::wire::task::Task;

/// Tasks given back at once.
const GIVE_BACK: i64 = 500;
/// How often a statement is tried again at once when another transaction was in its way.
const COLLISIONS: usize = 5;

/// The tables in the schema `apalis` of one database.
#[derive(Debug)]
pub(super) struct PostgresTable {
    pool: Arc<Pool>,
    news: News,
}

impl PostgresTable {
    /// The tables in this database; no connection is made yet.
    pub(super) fn new(options: &PostgresOptions) -> Self {
        // The type `hstore` stands where the extension was made, which is `public` unless someone moved it.
        let mut options = options.clone();
        options.search_path = format!("{} public", options.search_path);
        let pool = Arc::new(Pool::new(Door::new(&options)));
        Self {
            news: News::new(Arc::clone(&pool)),
            pool,
        }
    }

    async fn rows(
        &self,
        purpose: Use,
        action: impl Into<String>,
        query: impl Fn() -> PgQuery,
    ) -> Result<Vec<PgRow>, Error> {
        let mut collisions = 0;
        loop {
            match self.pool.fetch_all(purpose, query()).await {
                Err(failure) if failure.is_collision() && collisions < COLLISIONS => collisions += 1,
                outcome => return outcome.map_err(|failure| failure.during(action)),
            }
        }
    }
}

fn read<T>(action: &str, read: impl FnOnce() -> Result<T, sqlx::Error>) -> Result<T, Error> {
    read().map_err(|error| Failure::from(error).during(action))
}

fn task_of(row: &PgRow) -> Result<(i64, TaskRow), sqlx::Error> {
    let metadata: Option<String> = row.try_get(7)?;
    let max_attempts: i32 = row.try_get(4)?;
    let data: Vec<u8> = row.try_get(2)?;
    let task = Task {
        id: row.try_get(1)?,
        data: Bytes::from(data),
        max_attempts: u32::try_from(max_attempts).unwrap_or_default(),
        priority: row.try_get::<Option<i32>, _>(5)?.unwrap_or_default(),
        idempotency_key: row.try_get(6)?,
        metadata: metadata.map_or_else(BTreeMap::new, |text| words(&text)),
    };
    let attempts = row.try_get(3)?;
    Ok((row.try_get(0)?, TaskRow { task, attempts }))
}

/// A map of texts; nulls in it are left out.
fn words(text: &str) -> BTreeMap<String, String> {
    let read: Result<BTreeMap<String, Option<String>>, _> = serde_json::from_str(text);
    let words = read.unwrap_or_default().into_iter();
    words.filter_map(|(name, word)| Some((name, word?))).collect()
}

fn held(query: PgQuery, holds: &[&Hold]) -> PgQuery {
    query
        .bind(holds.iter().map(|hold| hold.id.clone()).collect::<Vec<_>>())
        .bind(holds.iter().map(|hold| hold.worker.clone()).collect::<Vec<_>>())
        .bind(holds.iter().map(|hold| hold.attempts).collect::<Vec<_>>())
}

fn ids(rows: &[PgRow]) -> Result<HashSet<String>, sqlx::Error> {
    rows.iter().map(|row| row.try_get(0)).collect()
}

fn count(rows: &[PgRow]) -> u64 {
    u64::try_from(rows.len()).unwrap_or(u64::MAX)
}

#[async_trait::async_trait]
impl Table for PostgresTable {
    async fn claim(&self, claim: &Claim) -> Result<Vec<TaskRow>, Error> {
        let action = format!("reserve from apalis queue {:?}", claim.queue);
        let query = || {
            sqlx::query(sql::CLAIM)
                .bind(claim.queue.as_str().to_owned())
                .bind(claim.worker.clone())
                .bind(claim.max)
                .bind(claim.max_bytes)
                .bind(claim.lease_s)
        };
        let rows = self.rows(Use::Take, &*action, query).await?;
        let mut taken = read(&action, || {
            rows.iter().map(task_of).collect::<Result<Vec<_>, _>>()
        })?;
        taken.sort_unstable_by_key(|(place, _)| *place);
        Ok(taken.into_iter().map(|(_, row)| row).collect())
    }

    async fn renew(&self, holds: &[&Hold], lease_s: f64) -> Result<HashSet<String>, Error> {
        let action = "renew leases";
        let query = || held(sqlx::query(sql::RENEW), holds).bind(lease_s);
        let rows = self.rows(Use::Keep, action, query).await?;
        read(action, || ids(&rows))
    }

    async fn settle(&self, batch: &[(&Hold, &Fate)]) -> Result<HashSet<String>, Error> {
        let action = format!("settle {} tasks", batch.len());
        let holds: Vec<&Hold> = batch.iter().map(|(hold, _)| *hold).collect();
        let query = || {
            let (mut verbs, mut delays, mut results) = (Vec::new(), Vec::new(), Vec::new());
            for (_, fate) in batch {
                let (verb, delay, result) = match fate {
                    Fate::Done => ("done", None, Some(crate::store::apalis::DONE_TEXT)),
                    Fate::Failed(result) => ("failed", None, Some(result.as_str())),
                    Fate::Free {
                        counted: true,
                        delay_s,
                    } => ("free", *delay_s, None),
                    Fate::Free {
                        counted: false,
                        delay_s,
                    } => ("return", *delay_s, None),
                };
                verbs.push(verb);
                delays.push(delay);
                results.push(result.map(str::to_owned));
            }
            held(sqlx::query(sql::SETTLE), &holds)
                .bind(verbs)
                .bind(delays)
                .bind(results)
        };
        let rows = self.rows(Use::Keep, &*action, query).await?;
        read(&action, || ids(&rows))
    }

    async fn push(&self, tasks: &[NewTask]) -> Result<Vec<bool>, Error> {
        let action = format!("push {} tasks", tasks.len());
        let query = || {
            let texts = |of: fn(&NewTask) -> String| tasks.iter().map(of).collect::<Vec<_>>();
            sqlx::query(sql::PUSH)
                .bind(texts(|new| new.task.id.clone()))
                .bind(texts(|new| new.queue.as_str().to_owned()))
                .bind(tasks.iter().map(|new| new.task.data.to_vec()).collect::<Vec<_>>())
                .bind(
                    tasks
                        .iter()
                        .map(|new| i32::try_from(new.task.max_attempts).unwrap_or(i32::MAX))
                        .collect::<Vec<_>>(),
                )
                .bind(tasks.iter().map(|new| new.delay_s).collect::<Vec<_>>())
                .bind(tasks.iter().map(|new| new.task.priority).collect::<Vec<_>>())
                .bind(texts(|new| {
                    serde_json::to_string(&new.task.metadata).unwrap_or_default()
                }))
                .bind(tasks.iter().map(|new| new.marker.clone()).collect::<Vec<_>>())
                .bind(
                    tasks
                        .iter()
                        .map(|new| i32::try_from(new.attempts).unwrap_or(i32::MAX))
                        .collect::<Vec<_>>(),
                )
        };
        let rows = self.rows(Use::Keep, &*action, query).await?;
        let added = read(&action, || ids(&rows))?;
        Ok(tasks.iter().map(|new| added.contains(&new.task.id)).collect())
    }

    async fn unmark(&self, queue: Option<&QueueName>, markers: &[String]) -> Result<(), Error> {
        let query = || {
            sqlx::query(sql::UNMARK)
                .bind(queue.map(|queue| queue.as_str().to_owned()))
                .bind(markers.to_vec())
        };
        self.rows(Use::Keep, "forget markers", query).await.map(drop)
    }

    async fn set_aside(&self, ask: &AsideAsk) -> Result<Vec<AsideRow>, Error> {
        let action = format!("set tasks of {} aside", ask.queue);
        let queue = || ask.queue.as_str().to_owned();
        let known = || {
            sqlx::query(sql::ASIDE_WORKER)
                .bind(ask.worker.clone())
                .bind(queue())
                .bind(ask.hold_s)
        };
        self.rows(Use::Keep, &*action, known).await?;
        let text = match ask.which {
            Waiting::Left => sql::ASIDE_LEFT,
            Waiting::Ready => sql::ASIDE_READY,
            Waiting::Delayed => sql::ASIDE_DELAYED,
        };
        let set = || {
            sqlx::query(text)
                .bind(queue())
                .bind(ask.worker.clone())
                .bind(ask.max)
                .bind(ask.max_bytes)
                .bind(ask.hold_s)
        };
        let rows = self.rows(Use::Take, &*action, set).await?;
        let mut aside = read(&action, || {
            let rows = rows.iter().map(|row| {
                let (place, task) = task_of(row)?;
                let delay_s = row.try_get(8)?;
                Ok((place, AsideRow { row: task, delay_s }))
            });
            rows.collect::<Result<Vec<_>, sqlx::Error>>()
        })?;
        aside.sort_unstable_by_key(|(place, _)| *place);
        Ok(aside.into_iter().map(|(_, row)| row).collect())
    }

    async fn end_aside(&self, worker: &str, ids: &[String], end: AsideEnd) -> Result<HashSet<String>, Error> {
        let action = "end setting tasks aside";
        let query = || {
            let text = match end {
                AsideEnd::Remove => sql::REMOVE,
                AsideEnd::PutBack => sql::PUT_BACK,
            };
            sqlx::query(text).bind(ids.to_vec()).bind(worker.to_owned())
        };
        let rows = self.rows(Use::Keep, action, query).await?;
        read(action, || self::ids(&rows))
    }

    async fn beat(&self, worker: &str, queue: &QueueName) -> Result<u64, Error> {
        let action = "make this worker known to apalis";
        let queue = || queue.as_str().to_owned();
        let beat = || sqlx::query(sql::BEAT).bind(worker.to_owned()).bind(queue());
        self.rows(Use::Keep, action, beat).await?;
        let dead_for = Config::default().orphaned_duration().as_secs_f64();
        let orphans = || {
            sqlx::query(sql::ORPHANS)
                .bind(queue())
                .bind(dead_for)
                .bind(GIVE_BACK)
        };
        let given_back = self.rows(Use::Take, action, orphans).await?;
        self.rows(Use::Take, action, || sqlx::query(sql::BURY)).await?;
        Ok(count(&given_back))
    }

    async fn lapse(&self, queue: &QueueName) -> Result<(), Error> {
        let lapse = || {
            sqlx::query(sql::LAPSE)
                .bind(queue.as_str().to_owned())
                .bind(GIVE_BACK)
        };
        let action = format!("take back lapsed tasks of {queue}");
        self.rows(Use::Take, action, lapse).await.map(drop)
    }

    async fn ready(&self, queues: &[QueueName]) -> Result<Vec<Ready>, Error> {
        let action = "watch for tasks";
        let names = || {
            queues
                .iter()
                .map(|queue| queue.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        let rows = self
            .rows(Use::Take, action, || sqlx::query(sql::NEXT).bind(names()))
            .await?;
        read(action, || {
            let ready = rows.iter().map(|row| {
                let seconds: Option<f64> = row.try_get(1)?;
                Ok(Ready {
                    queue: QueueName::new(row.try_get(0)?),
                    after: seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 3600.0))),
                })
            });
            ready.collect()
        })
    }

    async fn news(&self) {
        self.news.next().await;
    }

    async fn depth(&self, queue: &QueueName) -> Result<Depth, Error> {
        let action = "count tasks";
        let query = || sqlx::query(sql::DEPTH).bind(queue.as_str().to_owned());
        let rows = self.rows(Use::Take, action, query).await?;
        read(action, || {
            let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
            let number = |place: usize| {
                row.try_get::<i64, _>(place)
                    .map(|n| u64::try_from(n).unwrap_or(0))
            };
            let age: Option<i64> = row.try_get(3)?;
            Ok(Depth {
                queue: queue.clone(),
                pending: number(0)?,
                delayed: number(1)?,
                reserved: number(2)?,
                oldest_s: age.map(|age| u64::try_from(age).unwrap_or(0)),
            })
        })
    }

    async fn queues(&self) -> Result<Vec<QueueName>, Error> {
        let action = "list the apalis queues";
        let rows = self.rows(Use::Take, action, || sqlx::query(sql::QUEUES)).await?;
        read(action, || {
            let names = rows.iter().map(|row| Ok(QueueName::new(row.try_get(0)?)));
            let mut names = names.collect::<Result<Vec<_>, sqlx::Error>>()?;
            names.sort_unstable();
            Ok(names)
        })
    }

    async fn clear(&self, queue: &QueueName, limit: i64) -> Result<u64, Error> {
        let query = || {
            sqlx::query(sql::CLEAR)
                .bind(queue.as_str().to_owned())
                .bind(limit)
        };
        let action = format!("clear apalis queue {queue:?}");
        self.rows(Use::Take, action, query).await.map(|rows| count(&rows))
    }

    async fn ping(&self) -> Result<Option<String>, Error> {
        match self.pool.fetch_all(Use::Keep, sqlx::query(sql::PING)).await {
            Ok(_) => Ok(None),
            Err(Failure::Run(sqlx::Error::Database(said)))
                if matches!(said.code().as_deref(), Some("42P01" | "42703" | "3F000")) =>
            {
                Ok(Some(said.message().to_owned()))
            }
            Err(failure) => Err(failure.during(REACH)),
        }
    }

    fn name(&self) -> &'static str {
        "apalis.jobs"
    }
}
