//! Our few connections: who may use them, for how long, and what becomes of broken ones.
//!
//! Two kinds of work share them. What takes jobs or looks at tables may be slow, on a table without an
//! index above all; what keeps jobs (settling, renewing, pushing) must not wait for that, or leases would
//! end. So each kind has its own three places: at most six connections, two when idle, and one more to
//! listen. More would not make a server of a few cores faster.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connect::{Door, Link};
use super::error::Failure;
use super::statements::PgQuery;

/// Connections in use at the same time for each kind of work.
const PLACES: usize = 3;

/// How long work waits for a place.
const QUEUED: Duration = Duration::from_secs(10);

/// How long a statement may be silent before we ask whether the server still works on it.
const SILENCE: Duration = Duration::from_secs(5);

/// How long a statement may take behind a pooler, where that cannot be asked.
const LONGEST_POOLED: Duration = Duration::from_secs(60);

/// A connection that was idle for so long is tried before it is used, and how long it has to answer.
const IDLE: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(3);

/// Connections that nobody needed for so long are closed.
const SURPLUS: Duration = Duration::from_secs(60);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Use {
    /// Taking jobs, looking for them, what operators ask.
    Take,
    /// Settling, renewing, pushing, signals: never behind the others.
    Keep,
}

/// The connections of one database.
#[derive(Debug)]
pub(in crate::store) struct Pool {
    door: Door,
    idle: Mutex<Vec<(Link, Instant)>>,
    taking: Arc<Semaphore>,
    keeping: Arc<Semaphore>,
}

impl Pool {
    pub(in crate::store) fn new(door: Door) -> Self {
        Self {
            door,
            idle: Mutex::default(),
            taking: Arc::new(Semaphore::new(PLACES)),
            keeping: Arc::new(Semaphore::new(PLACES)),
        }
    }

    pub(in crate::store) fn door(&self) -> &Door {
        &self.door
    }

    /// A session for one or several statements. Behind a pooler it is a transaction.
    pub(in crate::store) async fn open(self: &Arc<Self>, purpose: Use) -> Result<Session, Failure> {
        let mut session = self.open_bare(purpose).await?;
        if self.door.is_pooled() {
            let begin = self.door.begin_pooled();
            session.raw(&begin).await?;
            session.in_transaction = true;
        }
        Ok(session)
    }

    /// A session in which each statement is by itself, behind a pooler too: for what cannot be done in a
    /// transaction.
    pub(in crate::store) async fn open_bare(self: &Arc<Self>, purpose: Use) -> Result<Session, Failure> {
        let places = match purpose {
            Use::Take => &self.taking,
            Use::Keep => &self.keeping,
        };
        let place = tokio::time::timeout(QUEUED, Arc::clone(places).acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(Failure::Busy);
        };
        let link = match self.idle_link().await {
            Some(link) => link,
            None => self.door.connect().await?,
        };
        Ok(Session {
            pool: Arc::clone(self),
            link: Some(link),
            in_transaction: false,
            _place: place,
        })
    }

    /// Runs one statement that returns rows.
    pub(in crate::store) async fn fetch_all(
        self: &Arc<Self>,
        purpose: Use,
        query: PgQuery,
    ) -> Result<Vec<PgRow>, Failure> {
        let mut session = self.open(purpose).await?;
        let rows = session.fetch_all(query).await?;
        session.close().await?;
        Ok(rows)
    }

    /// Runs one statement; how many rows it touched.
    pub(in crate::store) async fn execute(
        self: &Arc<Self>,
        purpose: Use,
        query: PgQuery,
    ) -> Result<u64, Failure> {
        let mut session = self.open(purpose).await?;
        let touched = session.execute(query).await?;
        session.close().await?;
        Ok(touched)
    }

    /// The connection that was used last and still answers.
    async fn idle_link(&self) -> Option<Link> {
        loop {
            let (mut link, since) = self.links().pop()?;
            if since.elapsed() < IDLE {
                return Some(link);
            }
            let answer = tokio::time::timeout(ANSWER, link.connection.ping()).await;
            if matches!(answer, Ok(Ok(()))) {
                return Some(link);
            }
            // What broke this one broke those that were idle for longer.
            self.distrust();
        }
    }

    /// Gives up the connections that are idle: something suggests that they are dead.
    pub(super) fn distrust(&self) {
        self.links().clear();
    }

    fn put_back(&self, link: Link) {
        let mut idle = self.links();
        idle.retain(|(_, since)| since.elapsed() < SURPLUS);
        // Those from before a pooler was recognised have settings of their own.
        if link.pid.is_none() == self.door.is_pooled() {
            idle.push((link, Instant::now()));
        }
    }

    fn links(&self) -> std::sync::MutexGuard<'_, Vec<(Link, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `work`, for as long as the server works on it too: a connection whose other end is gone
    /// says nothing of that by itself.
    async fn attend<T>(
        &self,
        pid: Option<i32>,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        let mut work = pin!(work);
        let began = Instant::now();
        loop {
            if let Ok(done) = tokio::time::timeout(SILENCE, &mut work).await {
                return done;
            }
            if !self.is_working(pid).await || (pid.is_none() && began.elapsed() > LONGEST_POOLED) {
                self.distrust();
                let why = "the server does not answer";
                return Err(sqlx::Error::Io(std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    why,
                )));
            }
        }
    }

    /// Whether the server's process `pid` is at work, asked over a connection of its own. Behind a pooler:
    /// whether the pooler answers.
    async fn is_working(&self, pid: Option<i32>) -> bool {
        let ask = async {
            let mut link = self.door.connect().await.ok()?;
            let pid = pid.unwrap_or_default();
            let sql = format!("select count(*) from pg_stat_activity where pid = {pid} and state <> 'idle'");
            let row = sqlx::raw_sql(AssertSqlSafe(sql))
                .fetch_one(&mut link.connection)
                .await;
            row.ok()?.try_get::<i64, _>(0).ok()
        };
        let found = tokio::time::timeout(ANSWER * 2, ask).await.ok().flatten();
        found.is_some_and(|found| found > 0 || pid.is_none())
    }
}

/// A connection in use. Given up unless [`Session::close`] ends it well: dropping one closes the connection,
/// and the server rolls back what was begun.
#[derive(Debug)]
pub(in crate::store) struct Session {
    pool: Arc<Pool>,
    link: Option<Link>,
    in_transaction: bool,
    _place: OwnedSemaphorePermit,
}

impl Session {
    /// Begins a transaction, unless there is one.
    pub(in crate::store) async fn begin(&mut self) -> Result<(), Failure> {
        if !self.in_transaction {
            self.raw("begin isolation level read committed").await?;
            self.in_transaction = true;
        }
        Ok(())
    }

    /// Runs a statement that returns rows.
    pub(in crate::store) async fn fetch_all(&mut self, query: PgQuery) -> Result<Vec<PgRow>, Failure> {
        let query = query.persistent(!self.pool.door.is_pooled());
        self.run(async |connection| query.fetch_all(connection).await)
            .await
    }

    /// Runs a statement; how many rows it touched.
    pub(in crate::store) async fn execute(&mut self, query: PgQuery) -> Result<u64, Failure> {
        let query = query.persistent(!self.pool.door.is_pooled());
        let done = self
            .run(async |connection| query.execute(connection).await)
            .await?;
        Ok(done.rows_affected())
    }

    /// Runs SQL of our own that has no values, of one or several statements.
    pub(in crate::store) async fn raw(&mut self, sql: &str) -> Result<Vec<PgRow>, Failure> {
        // Holds nothing from outside but checked and quoted table names.
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        self.run(async |connection| query.fetch_all(connection).await)
            .await
    }

    /// Commits when there is a transaction, and hands the connection back.
    pub(in crate::store) async fn close(mut self) -> Result<(), Failure> {
        if self.in_transaction {
            self.raw("commit").await?;
        }
        if let Some(link) = self.link.take() {
            self.pool.put_back(link);
        }
        Ok(())
    }

    async fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Failure> {
        // Taken out: when this future is dropped or fails, the connection goes with it.
        let Some(mut link) = self.link.take() else {
            return Err(Failure::Run(sqlx::Error::PoolClosed));
        };
        let done = self.pool.attend(link.pid, work(&mut link.connection)).await;
        match done {
            Ok(done) => {
                self.link = Some(link);
                Ok(done)
            }
            Err(error) => {
                let failure = Failure::Run(error);
                if failure.is_of_a_pooler() {
                    self.pool.door.found_a_pooler();
                }
                Err(failure)
            }
        }
    }
}
