//! Hearing of new tasks: the stock layout has a trigger that announces each one that is due.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::debug;

use crate::store::sql::dialect::postgres::pool::Pool;

/// The channel of the stock trigger.
const CHANNEL: &str = "apalis::job::insert";
/// How long it may take until a listener is ready.
const OPEN: Duration = Duration::from_secs(5);
/// A listener that heard nothing for so long is tried, and how long it has to answer.
const CHECK: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(3);
/// The pause between two looks while nothing can be heard.
const DEAF: Duration = Duration::from_millis(25);
/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The connection that listens, made anew when it drops.
#[derive(Debug)]
pub(super) struct News {
    pool: Arc<Pool>,
    ears: Mutex<Ears>,
}

#[derive(Debug, Default)]
struct Ears {
    listener: Option<PgListener>,
    /// When it was last known to be good, or to fail.
    at: Option<Instant>,
}

impl News {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self {
            pool,
            ears: Mutex::default(),
        }
    }

    /// Returns when a task was announced, or when that cannot be known. Cancellation safe.
    pub(super) async fn next(&self) {
        let mut ears = self.ears.lock().await;
        if ears.listener.is_none() {
            // A pooler in transaction mode passes no notes on.
            if self.pool.door().is_pooled() {
                return tokio::time::sleep(DEAF).await;
            }
            if ears.at.is_some_and(|at| at.elapsed() < RETRY) {
                return tokio::time::sleep(DEAF).await;
            }
            ears.at = Some(Instant::now());
            match tokio::time::timeout(OPEN, self.open()).await {
                Ok(Ok(listener)) => ears.listener = Some(listener),
                Ok(Err(error)) => debug!("Failed to listen for new tasks, looking for them instead: {error}"),
                Err(_) => debug!("Failed to listen for new tasks in time, looking for them instead"),
            }
            // What came before there were ears was not heard.
            return;
        }
        if !ears.hear().await {
            ears.listener = None;
            ears.at = None;
        }
    }

    async fn open(&self) -> Result<PgListener, sqlx::Error> {
        let mut listener = self.pool.door().listener().await?;
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }
}

impl Ears {
    /// Waits for an announcement, and takes all that have come with it; whether the connection is good.
    async fn hear(&mut self) -> bool {
        let Some(listener) = &mut self.listener else {
            return false;
        };
        loop {
            match tokio::time::timeout(CHECK, listener.try_recv()).await {
                Ok(Ok(Some(_))) => {
                    while let Some(_more) = listener.next_buffered() {}
                    return true;
                }
                Ok(Ok(None) | Err(_)) => return false,
                Err(_) => {
                    let ask = sqlx::raw_sql("select 1").execute(&mut *listener);
                    if !matches!(tokio::time::timeout(ANSWER, ask).await, Ok(Ok(_))) {
                        return false;
                    }
                }
            }
        }
    }
}
