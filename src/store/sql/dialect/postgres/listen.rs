//! The one connection that listens, made anew when it drops.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Shared;
use super::pool::Use;
use super::statements::Sql;

/// How long it may take until a listener is ready and has heard its own test.
const OPEN: Duration = Duration::from_secs(5);

/// A listener that heard nothing for so long is tried, and how long it has to answer: a connection that was
/// dropped silently hears nothing either.
const CHECK: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(3);

/// The first pause before a lost listener is made anew; doubles up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// The first pause after a test note that was not heard; doubles up to the longest. A server may be too busy
/// for one note; one that passes none on is asked rarely.
const FIRST_UNHEARD: Duration = Duration::from_secs(1);
const LONGEST_UNHEARD: Duration = Duration::from_secs(300);

/// After so many in a row it is said that none come through.
const DEAF: u32 = 4;

/// What the watcher hears.
pub(super) struct Ears {
    state: State,
    retry: Duration,
    unheard: u32,
    said: bool,
}

enum State {
    /// The table announces nothing.
    Off,
    /// To be tried at this time.
    Lost { retry_at: Instant },
    /// Listening.
    On {
        listener: Box<PgListener>,
        channel: String,
        check_at: Instant,
    },
}

/// What came over the connection.
pub(super) enum Note {
    /// Rows of this queue came or became free; of any queue when it is empty.
    Queue(String),
    /// The connection is gone.
    Lost,
}

impl Ears {
    pub(super) fn new() -> Self {
        Self {
            state: State::Off,
            retry: FIRST_RETRY,
            unheard: 0,
            said: false,
        }
    }

    /// Whether announcements are heard.
    pub(super) fn are_open(&self) -> bool {
        matches!(self.state, State::On { .. })
    }

    /// When the connection is to be looked after, whatever is heard.
    pub(super) fn check_at(&self) -> Option<Instant> {
        match &self.state {
            State::On { check_at, .. } => Some(*check_at),
            State::Off | State::Lost { .. } => None,
        }
    }

    /// When to look at the table so that a lost connection is made anew.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        match &self.state {
            State::Lost { retry_at } => Some(*retry_at),
            State::Off | State::On { .. } => None,
        }
    }

    /// The next note; never while nothing is listened to. Cancellation safe.
    pub(super) async fn next(&mut self) -> Note {
        let State::On {
            listener,
            channel,
            check_at,
        } = &mut self.state
        else {
            return std::future::pending().await;
        };
        loop {
            match listener.try_recv().await {
                Ok(Some(note)) if note.channel() == channel => {
                    *check_at = Instant::now() + CHECK;
                    return Note::Queue(note.payload().to_owned());
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    self.lose();
                    return Note::Lost;
                }
            }
        }
    }

    /// Tries a connection that has been quiet; says whether it is still good.
    pub(super) async fn check(&mut self) -> bool {
        let State::On {
            listener, check_at, ..
        } = &mut self.state
        else {
            return true;
        };
        // What an operator sees in pg_stat_activity as the last thing it said.
        let ask = sqlx::raw_sql("select 'listening'").execute(&mut **listener);
        let is_good = matches!(tokio::time::timeout(ANSWER, ask).await, Ok(Ok(_)));
        *check_at = Instant::now() + CHECK;
        if !is_good {
            self.lose();
        }
        is_good
    }

    fn lose(&mut self) {
        debug!("The connection that listens for new jobs is gone");
        self.state = State::Lost {
            retry_at: Instant::now(),
        };
    }

    /// Listens on `channel`, or no longer; says whether announcements are heard from now on that were not
    /// before.
    pub(super) async fn tune(&mut self, db: &Shared, channel: Option<&str>) -> bool {
        // Behind a pooler of transactions the order to listen would stay with a session that others use next,
        // and they would get what they did not ask for.
        let Some(wanted) = channel.filter(|_| !db.pool.door().is_pooled()) else {
            self.state = State::Off;
            return false;
        };
        match &self.state {
            State::On { channel, .. } if channel == wanted => return false,
            State::Lost { retry_at } if *retry_at > Instant::now() => return false,
            State::On { .. } | State::Lost { .. } | State::Off => {}
        }
        let opened = tokio::time::timeout(OPEN, open(db, wanted)).await;
        let pause = match opened {
            Ok(Ok(Some(listener))) => {
                debug!("Listening for new jobs");
                self.retry = FIRST_RETRY;
                self.unheard = 0;
                self.state = State::On {
                    listener: Box::new(listener),
                    channel: wanted.to_owned(),
                    check_at: Instant::now() + CHECK,
                };
                return true;
            }
            Ok(Ok(None)) => self.not_heard(db),
            Ok(Err(error)) => self.later(&error.to_string()),
            Err(_elapsed) => self.later("no answer in time"),
        };
        self.state = State::Lost {
            retry_at: Instant::now() + pause,
        };
        false
    }

    /// The pause before the next try.
    fn later(&mut self, why: &str) -> Duration {
        debug!("Cannot listen for new jobs yet: {why}");
        let pause = self.retry;
        self.retry = (self.retry * 2).min(LONGEST_RETRY);
        pause
    }

    /// The pause after a test note that was not heard.
    fn not_heard(&mut self, db: &Shared) -> Duration {
        self.unheard = self.unheard.saturating_add(1);
        if self.unheard >= DEAF && !std::mem::replace(&mut self.said, true) {
            warn!(
                "New jobs are announced, but no announcement comes through; looking for jobs every {} s at least \
                 (WORKER_SLEEP)",
                db.sleep.as_secs_f64()
            );
        }
        let doublings = (self.unheard - 1).min(16);
        (FIRST_UNHEARD * 2_u32.pow(doublings)).min(LONGEST_UNHEARD)
    }
}

/// A listener that has heard a note sent to itself over another connection; `None` when it did not hear it.
async fn open(db: &Shared, channel: &str) -> Result<Option<PgListener>, sqlx::Error> {
    let mut listener = db.pool.door().listener().await?;
    let test = format!("{channel}_{:016x}", fastrand::u64(..));
    listener.listen_all([channel, &test]).await?;
    let note = Sql::new("select pg_notify($1, '')".to_owned());
    let sent = db
        .pool
        .fetch_all(Use::Keep, note.query().bind(test.clone()))
        .await;
    if sent.is_err() {
        return Err(sqlx::Error::PoolTimedOut);
    }
    let hear = async {
        loop {
            match listener.try_recv().await {
                Ok(Some(note)) if note.channel() == test => return Ok(true),
                Ok(Some(_)) => {}
                Ok(None) => return Err(sqlx::Error::PoolClosed),
                Err(error) => return Err(error),
            }
        }
    };
    let heard = tokio::time::timeout(ANSWER, hear).await;
    Ok(heard.unwrap_or(Ok(false))?.then_some(listener))
}
