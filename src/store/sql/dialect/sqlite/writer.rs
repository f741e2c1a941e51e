//! The one task that writes: groups what has arrived into one transaction, and watches for others' changes.

use std::sync::Arc;
use std::time::Duration;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::error::{is_broken, store_error};
use super::heads::Heads;
use super::open;
use super::statements::Statements;
use crate::store::port::QueueName;
use crate::store::{Error, Kind};

/// How often others' changes are looked for while someone waits for jobs.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Requests in one transaction at most.
const GROUP: usize = 256;

/// What the writer is asked for.
pub(super) enum Ask {
    Work(Box<dyn Work>),
    Wait {
        queues: Vec<QueueName>,
        reply: oneshot::Sender<Result<(), Error>>,
    },
}

/// What a write works with.
pub(super) struct Context<'a> {
    pub(super) connection: &'a mut SqliteConnection,
    pub(super) heads: &'a mut Heads,
    pub(super) sql: &'a Statements,
}

/// A change to the database. It may be run again after its transaction was rolled back.
#[async_trait::async_trait]
pub(super) trait Write: Send + Sync + 'static {
    /// What the caller gets.
    type Out: Send + 'static;

    /// What is being done, for errors.
    fn action(&self) -> String;

    /// The queues it takes jobs from, when it does: such writes run last.
    fn claims(&self) -> &[QueueName] {
        &[]
    }

    /// Does it, inside a transaction.
    async fn run(&self, cx: &mut Context<'_>) -> Result<Self::Out, sqlx::Error>;

    /// What to do when it was done and nobody took the outcome.
    fn undo(&self, _out: Self::Out) -> Option<Box<dyn Work>> {
        None
    }
}

/// A [`Write`] with its caller, of any kind.
#[async_trait::async_trait]
pub(super) trait Work: Send {
    fn is_wanted(&self) -> bool;
    fn claims(&self) -> &[QueueName];
    async fn run(&mut self, cx: &mut Context<'_>) -> Result<(), sqlx::Error>;
    fn succeed(self: Box<Self>) -> Option<Box<dyn Work>>;
    fn fail(self: Box<Self>, error: &sqlx::Error);
}

/// Where the outcome of a write arrives.
pub(super) type Answer<T> = oneshot::Receiver<Result<T, Error>>;

/// A write, its outcome once there is one, and where the outcome goes.
pub(super) struct Task<W: Write> {
    write: W,
    out: Option<W::Out>,
    reply: oneshot::Sender<Result<W::Out, Error>>,
    attended: bool,
}

impl<W: Write> Task<W> {
    /// A write whose outcome nobody waits for, and which is carried out all the same.
    pub(super) fn unattended(write: W) -> Box<dyn Work> {
        let (reply, _) = oneshot::channel();
        let task = Self {
            write,
            out: None,
            reply,
            attended: false,
        };
        Box::new(task)
    }

    /// A write and where its outcome will arrive.
    pub(super) fn attended(write: W) -> (Box<dyn Work>, Answer<W::Out>) {
        let (reply, answer) = oneshot::channel();
        let task = Self {
            write,
            out: None,
            reply,
            attended: true,
        };
        (Box::new(task), answer)
    }
}

#[async_trait::async_trait]
impl<W: Write> Work for Task<W> {
    fn is_wanted(&self) -> bool {
        !self.attended || !self.reply.is_closed()
    }

    fn claims(&self) -> &[QueueName] {
        self.write.claims()
    }

    async fn run(&mut self, cx: &mut Context<'_>) -> Result<(), sqlx::Error> {
        self.out = Some(self.write.run(cx).await?);
        Ok(())
    }

    fn succeed(self: Box<Self>) -> Option<Box<dyn Work>> {
        match self.reply.send(Ok(self.out?)) {
            Ok(()) | Err(Err(_)) => None,
            Err(Ok(out)) => self.write.undo(out),
        }
    }

    fn fail(self: Box<Self>, error: &sqlx::Error) {
        drop(self.reply.send(Err(store_error(self.write.action(), error))));
    }
}

/// Someone who waits until one of some queues holds a job.
type Waiter = (Vec<QueueName>, oneshot::Sender<Result<(), Error>>);

/// The task's state.
pub(super) struct Writer {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    heads: Heads,
    sql: Arc<Statements>,
    waiters: Vec<Waiter>,
}

impl Writer {
    pub(super) fn new(
        options: SqliteConnectOptions,
        connection: SqliteConnection,
        sql: Arc<Statements>,
    ) -> Self {
        Self {
            options,
            connection: Some(connection),
            heads: Heads::new(sql.retry_after_s),
            sql,
            waiters: Vec::new(),
        }
    }

    /// Serves until the last asker is gone.
    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut group = Vec::new();
        loop {
            let ask = if self.waiters.is_empty() {
                asks.recv().await
            } else {
                tokio::select! {
                    ask = asks.recv() => ask,
                    _ = look.tick() => {
                        self.look().await;
                        continue;
                    }
                }
            };
            let Some(ask) = ask else { return };
            let mut next = Some(ask);
            let mut waits = false;
            while let Some(ask) = next.take() {
                match ask {
                    Ask::Work(work) => group.push(work),
                    Ask::Wait { queues, reply } => {
                        self.waiters.push((queues, reply));
                        waits = true;
                    }
                }
                if group.len() < GROUP {
                    next = asks.try_recv().ok();
                }
            }
            while !group.is_empty() {
                group = self.carry_out(std::mem::take(&mut group)).await;
            }
            if waits || (self.heads.take_grown() && !self.waiters.is_empty()) {
                self.look().await;
            }
        }
    }

    /// Answers the waits whose time has come.
    async fn look(&mut self) {
        self.waiters.retain(|(_, reply)| !reply.is_closed());
        if self.waiters.is_empty() {
            return;
        }
        let mut queues: Vec<QueueName> = self
            .waiters
            .iter()
            .flat_map(|(queues, _)| queues.clone())
            .collect();
        queues.sort_unstable();
        queues.dedup();
        let outcome = self.refresh(&queues).await;
        for (queues, reply) in std::mem::take(&mut self.waiters) {
            match &outcome {
                Err(e) => drop(reply.send(Err(store_error("watch for jobs", e)))),
                Ok(()) if self.heads.is_due(&queues) => drop(reply.send(Ok(()))),
                Ok(()) => self.waiters.push((queues, reply)),
            }
        }
    }

    async fn refresh(&mut self, queues: &[QueueName]) -> Result<(), sqlx::Error> {
        let refreshed = match connected(&mut self.connection, &self.options).await {
            Ok(connection) => self.heads.refresh(connection, &self.sql, queues).await,
            Err(e) => Err(e),
        };
        if let Err(e) = &refreshed {
            self.give_up(e);
        }
        refreshed
    }

    /// Runs a group in one transaction, or each by itself when one of them spoils it. Returns what is to
    /// be done because nobody took an outcome.
    async fn carry_out(&mut self, mut group: Vec<Box<dyn Work>>) -> Vec<Box<dyn Work>> {
        group.retain(|work| work.is_wanted());
        group.sort_by_key(|work| !work.claims().is_empty());
        match self.transact(&mut group).await {
            Ok(()) => return group.into_iter().filter_map(Work::succeed).collect(),
            Err(Spoiled { error, begun }) => {
                // What is wrong with the database is wrong for all of them.
                let shared = store_error("", &error).kind() != Kind::Refused;
                if group.len() < 2 || !begun || shared {
                    group.into_iter().for_each(|work| work.fail(&error));
                    return Vec::new();
                }
            }
        }
        let mut undo = Vec::new();
        for mut work in group {
            match self.transact(std::slice::from_mut(&mut work)).await {
                Ok(()) => undo.extend(work.succeed()),
                Err(Spoiled { error, .. }) => work.fail(&error),
            }
        }
        undo
    }

    async fn transact(&mut self, group: &mut [Box<dyn Work>]) -> Result<(), Spoiled> {
        let mut begun = false;
        self.heads.begin();
        let done = self.try_transact(group, &mut begun).await;
        done.map_err(|error| {
            self.give_up(&error);
            Spoiled { error, begun }
        })
    }

    async fn try_transact(
        &mut self,
        group: &mut [Box<dyn Work>],
        begun: &mut bool,
    ) -> Result<(), sqlx::Error> {
        let connection = connected(&mut self.connection, &self.options).await?;
        let mut cx = Context {
            connection,
            heads: &mut self.heads,
            sql: &self.sql,
        };
        let queues: Vec<QueueName> = group.iter().flat_map(|work| work.claims().to_vec()).collect();
        let writes = group
            .iter()
            .position(|work| !work.claims().is_empty())
            .unwrap_or(group.len());
        let (writes, claims) = group.split_at_mut(writes);
        if writes.is_empty() {
            cx.heads.refresh(cx.connection, cx.sql, &queues).await?;
            if !cx.heads.is_due(&queues) {
                return run_all(claims, &mut cx).await;
            }
        }
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut *cx.connection)
            .await?;
        *begun = true;
        let mut ran = run_all(writes, &mut cx).await;
        if ran.is_ok() && !claims.is_empty() {
            if !writes.is_empty() {
                ran = cx.heads.refresh(cx.connection, cx.sql, &queues).await;
            }
            if ran.is_ok() {
                ran = run_all(claims, &mut cx).await;
            }
        }
        if ran.is_ok() {
            ran = sqlx::query("COMMIT").execute(&mut *cx.connection).await.map(drop);
        }
        if ran.is_err() {
            // Fails when SQLite has rolled back by itself, as it does on a full disk.
            drop(sqlx::query("ROLLBACK").execute(&mut *cx.connection).await);
        }
        ran
    }

    /// After an error what we remember may be wrong, and the connection too.
    fn give_up(&mut self, error: &sqlx::Error) {
        if self.heads.is_touched() {
            self.heads.forget_all();
        }
        if is_broken(error) {
            self.heads.forget_all();
            self.connection = None;
        }
    }
}

/// A transaction that was not carried out.
struct Spoiled {
    error: sqlx::Error,
    begun: bool,
}

async fn run_all(group: &mut [Box<dyn Work>], cx: &mut Context<'_>) -> Result<(), sqlx::Error> {
    for work in group {
        work.run(cx).await?;
    }
    Ok(())
}

/// The connection, made anew when it broke.
async fn connected<'a>(
    connection: &'a mut Option<SqliteConnection>,
    options: &SqliteConnectOptions,
) -> Result<&'a mut SqliteConnection, sqlx::Error> {
    match connection {
        Some(connection) => Ok(connection),
        None => Ok(connection.insert(open::connect_again(options).await?)),
    }
}
