//! The one task that writes: groups what has arrived into one transaction, and watches for others' changes.

use std::sync::Arc;
use std::time::Duration;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::error::{is_broken, store_error};
use super::heads::Heads;
use super::lock::Lock;
use super::open;
use super::statements::Statements;
use super::watch::Watch;
use super::work::{Ask, Context, Waiter, Work};
use crate::store::Kind;
use crate::store::port::QueueName;

/// The shortest time between two looks at what others did, and the first pause after something was seen.
const SOON: Duration = Duration::from_millis(5);

/// The usual time from the first bytes of a commit to the moment that others see it.
const VISIBLE: Duration = Duration::from_millis(1);

/// The longest time without a look while someone waits: due times and lapsed reservations are seen then,
/// and changes that the watch on the file missed.
pub(super) const LATE: Duration = Duration::from_secs(1);

/// Requests in one transaction at most.
const GROUP: usize = 256;

/// The task's state.
pub(super) struct Writer {
    options: SqliteConnectOptions,
    lock: Lock,
    connection: Option<SqliteConnection>,
    heads: Heads,
    sql: Arc<Statements>,
    waiters: Vec<Waiter>,
}

impl Writer {
    pub(super) fn new(
        options: SqliteConnectOptions,
        lock: Lock,
        connection: SqliteConnection,
        sql: Arc<Statements>,
    ) -> Self {
        Self {
            options,
            lock,
            connection: Some(connection),
            heads: Heads::new(sql.retry_after_s),
            sql,
            waiters: Vec::new(),
        }
    }

    /// Serves until the last asker is gone.
    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        let mut watch = Watch::new(self.options.get_filename());
        let mut looks = Looks::new();
        loop {
            let ask = if self.waiters.is_empty() {
                asks.recv().await
            } else {
                tokio::select! {
                    ask = asks.recv() => ask,
                    () = watch.changed() => {
                        looks.changed();
                        continue;
                    }
                    () = tokio::time::sleep_until(looks.next) => {
                        watch.listen();
                        self.look().await;
                        looks.looked(watch.longest_pause());
                        continue;
                    }
                }
            };
            let Some(ask) = ask else { return };
            let (group, waits) = self.gather(ask, &mut asks);
            let mut rest = group;
            while !rest.is_empty() {
                rest = self.carry_out(rest).await;
            }
            if waits || (self.heads.take_grown() && !self.waiters.is_empty()) {
                watch.listen();
                self.look().await;
                looks.looked(watch.longest_pause());
            }
        }
    }

    /// Takes what has arrived: what is to be done, and whether someone new waits.
    fn gather(&mut self, first: Ask, asks: &mut mpsc::Receiver<Ask>) -> (Vec<Box<dyn Work>>, bool) {
        let mut group = Vec::new();
        let mut waits = false;
        let mut next = Some(first);
        while let Some(ask) = next.take() {
            match ask {
                Ask::Work(work) => group.push(work),
                Ask::Wait(waiter) => {
                    self.waiters.push(waiter);
                    waits = true;
                }
            }
            if group.len() < GROUP {
                next = asks.try_recv().ok();
            }
        }
        (group, waits)
    }

    /// Answers the waits whose time has come.
    async fn look(&mut self) {
        self.waiters.retain(|waiter| !waiter.reply.is_closed());
        if self.waiters.is_empty() {
            return;
        }
        let mut queues: Vec<QueueName> = (self.waiters.iter())
            .flat_map(|waiter| waiter.queues.clone())
            .collect();
        queues.sort_unstable();
        queues.dedup();
        let outcome = self.refresh(&queues).await;
        for waiter in std::mem::take(&mut self.waiters) {
            match &outcome {
                Err(e) => drop(waiter.reply.send(Err(store_error("watch for jobs", e)))),
                Ok(()) if self.heads.is_due(&waiter.queues) => drop(waiter.reply.send(Ok(()))),
                Ok(()) => self.waiters.push(waiter),
            }
        }
    }

    async fn refresh(&mut self, queues: &[QueueName]) -> Result<(), sqlx::Error> {
        let refreshed = match self.context().await {
            Ok(mut cx) => look(&mut cx, queues).await,
            Err(e) => Err(e),
        };
        if let Err(e) = &refreshed {
            self.give_up(e);
        }
        refreshed
    }

    async fn context(&mut self) -> Result<Context<'_>, sqlx::Error> {
        Ok(Context {
            connection: connected(&mut self.connection, &self.options).await?,
            heads: &mut self.heads,
            sql: &self.sql,
        })
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
        let lock = self.lock;
        let mut cx = self.context().await?;
        let queues: Vec<QueueName> = group.iter().flat_map(|work| work.claims().to_vec()).collect();
        let writes = group
            .iter()
            .position(|work| !work.claims().is_empty())
            .unwrap_or(group.len());
        let (writes, claims) = group.split_at_mut(writes);
        if writes.is_empty() && !cx.heads.is_due(&queues) {
            look(&mut cx, &queues).await?;
            if !cx.heads.is_due(&queues) {
                return run_all(claims, &mut cx).await;
            }
        }
        let rows = lock.begin(&mut cx).await?;
        *begun = true;
        cx.heads.looked(&rows)?;
        let mut ran = run_all(writes, &mut cx).await;
        if ran.is_ok() && !claims.is_empty() {
            ran = cx.heads.refresh(cx.connection, cx.sql, &queues).await;
        }
        if ran.is_ok() {
            ran = run_all(claims, &mut cx).await;
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

/// When to look next at what others did: soon after the file changed, since a commit shows only some time
/// after its bytes, then ever less often.
struct Looks {
    next: Instant,
    last: Instant,
    pause: Duration,
}

impl Looks {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            next: now,
            last: now,
            pause: SOON,
        }
    }

    fn changed(&mut self) {
        let visible = Instant::now() + VISIBLE;
        self.pause = SOON;
        self.next = self.next.min(visible.max(self.last + SOON));
    }

    fn looked(&mut self, longest: Duration) {
        self.last = Instant::now();
        self.next = self.last + self.pause.min(longest);
        self.pause = (self.pause * 2).min(longest);
    }
}

/// A transaction that was not carried out.
struct Spoiled {
    error: sqlx::Error,
    begun: bool,
}

/// Looks what others changed, outside of a transaction.
async fn look(cx: &mut Context<'_>, queues: &[QueueName]) -> Result<(), sqlx::Error> {
    let rows = cx.sql.look.query().fetch_all(&mut *cx.connection).await?;
    cx.heads.looked(&rows)?;
    cx.heads.refresh(cx.connection, cx.sql, queues).await
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
