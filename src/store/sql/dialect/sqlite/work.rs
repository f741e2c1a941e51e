//! What the writer is asked for, and what a change to the database looks like.

use sqlx::SqliteConnection;
use tokio::sync::oneshot;

use super::error::store_error;
use super::heads::Heads;
use super::statements::Statements;
use crate::store::Error;
use crate::store::port::QueueName;

/// Where an outcome goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// Where an outcome comes from.
pub(super) type Answer<T> = oneshot::Receiver<Result<T, Error>>;

/// What the writer is asked for.
pub(super) enum Ask {
    Work(Box<dyn Work>),
    Wait(Waiter),
}

/// Someone who waits for jobs.
pub(super) struct Waiter {
    pub(super) queues: Vec<QueueName>,
    pub(super) reply: Reply<()>,
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

/// A write, its outcome once there is one, and where the outcome goes.
pub(super) struct Task<W: Write> {
    write: W,
    out: Option<W::Out>,
    reply: Reply<W::Out>,
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

    /// A write with the caller that waits for its outcome.
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
