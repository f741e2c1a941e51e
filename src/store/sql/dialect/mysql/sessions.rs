//! The connections of one database.
//!
//! At most [`MOST`] at a time, made when they are needed: lanes that claim, verdicts, failures, renewals,
//! looks for new jobs, and what an operator asks. Claims have [`CLAIMS`] of them between them, so that however
//! many lanes there are, what ends a job always finds a connection. They are few because a server has 151
//! for everyone by default, and because a batch needs one or two round trips.
//!
//! A connection whose verb did not end well is not used again unless the server itself said what was wrong;
//! one that rested is asked whether it lives, so that a server that was restarted, that closed it, or that
//! fell silent is found out before anything is sent.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::Failure;
use super::session::{Door, Session};
use super::verb::Verb;
use crate::store::Error;

/// Connections at a time.
const MOST: usize = 6;

/// Of these, for claims.
const CLAIMS: usize = 3;

/// How long a free connection is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that rested for longer is asked whether it lives.
const RESTED: Duration = Duration::from_secs(1);

/// A connection that rested for longer is closed; less than the `wait_timeout` that we set.
const TIRED: Duration = Duration::from_secs(30);

/// A connection that is older is closed, so that a server behind a name can be replaced.
const OLD: Duration = Duration::from_secs(600);

/// Tries after a deadlock, which cost milliseconds.
const CONFLICTS: u32 = 12;

/// Of these, after waits for a lock, which cost seconds.
const LOCK_WAITS: u32 = 3;

/// The connections.
pub(super) struct Sessions {
    door: Door,
    resting: Mutex<Vec<Resting>>,
    all: Semaphore,
    claims: Semaphore,
}

/// A connection that nobody uses.
struct Resting {
    session: Session,
    made: Instant,
    since: Instant,
}

/// A connection in use.
struct Busy<'a> {
    session: Session,
    made: Instant,
    _permits: (Option<SemaphorePermit<'a>>, SemaphorePermit<'a>),
}

impl Sessions {
    pub(super) fn new(door: Door) -> Self {
        Self {
            door,
            resting: Mutex::default(),
            all: Semaphore::new(MOST),
            claims: Semaphore::new(CLAIMS),
        }
    }

    /// Carries out a verb; again when another transaction was in the way, and once again on a new connection
    /// when its connection broke and the verb may be repeated.
    pub(super) async fn run<V: Verb>(&self, verb: &V) -> Result<V::Out, Error> {
        let mut conflicts = 0;
        let mut lock_waits = 0;
        let mut repeated = false;
        let mut pause = Duration::from_millis(2);
        loop {
            let failure = match self.try_run(verb).await {
                Ok(out) => return Ok(out),
                Err(failure) => failure,
            };
            lock_waits += u32::from(failure.is_lock_wait());
            if failure.is_conflict() && conflicts < CONFLICTS && lock_waits < LOCK_WAITS {
                conflicts += 1;
                tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                pause = (pause * 2).min(Duration::from_millis(200));
            } else if !repeated && failure.is_broken() && verb.is_repeatable() {
                repeated = true;
            } else {
                return Err(failure.into_error(verb.action()));
            }
        }
    }

    async fn try_run<V: Verb>(&self, verb: &V) -> Result<V::Out, Failure> {
        let mut busy = self.take(verb.is_claim()).await?;
        let running = verb.run(&mut busy.session);
        let failure = match tokio::time::timeout(verb.patience(), running).await {
            Ok(Ok(out)) => {
                self.put_back(busy);
                return Ok(out);
            }
            Ok(Err(error)) => Failure::Said(error),
            Err(_elapsed) => Failure::Silent(verb.patience()),
        };
        if failure.is_end_of_connection() {
            // The others go the same way, or lead to the wrong server.
            self.resting().clear();
        } else if busy.session.undo().await {
            self.put_back(busy);
        }
        Err(failure)
    }

    /// A connection that lives.
    async fn take(&self, is_claim: bool) -> Result<Busy<'_>, Failure> {
        let permits = async {
            let claim = match is_claim {
                true => Some(self.claims.acquire().await),
                false => None,
            };
            (claim, self.all.acquire().await)
        };
        let (claim, one) = tokio::time::timeout(PATIENCE, permits)
            .await
            .map_err(|_elapsed| Failure::Busy(PATIENCE))?;
        let closed = |_| Failure::Unreached(sqlx::Error::PoolClosed);
        let permits = (claim.transpose().map_err(closed)?, one.map_err(closed)?);
        loop {
            let Some(mut resting) = self.next_resting() else {
                break;
            };
            if resting.since.elapsed() < RESTED || resting.session.lives().await {
                return Ok(Busy {
                    session: resting.session,
                    made: resting.made,
                    _permits: permits,
                });
            }
            self.resting().clear();
        }
        let session = Session::connect(&self.door).await?;
        Ok(Busy {
            session,
            made: Instant::now(),
            _permits: permits,
        })
    }

    fn next_resting(&self) -> Option<Resting> {
        self.resting().pop()
    }

    fn put_back(&self, busy: Busy<'_>) {
        let mut resting = self.resting();
        resting.retain(|resting| resting.since.elapsed() < TIRED);
        if busy.made.elapsed() < OLD {
            resting.push(Resting {
                session: busy.session,
                made: busy.made,
                since: Instant::now(),
            });
        }
    }

    fn resting(&self) -> std::sync::MutexGuard<'_, Vec<Resting>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
