//! Looking where queues begin, without any lock: one text for all of them.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::mysql::MySqlRow;

use super::head::{Look, Place};
use super::heads::{Seen, Sight};
use super::names::{NOW, Names};
use super::session::Session;
use super::text::exactly;
use super::verb::Verb;
use crate::store::port::QueueName;

/// Ids may be given out in another order than rows become visible: so many are looked at again.
const OVERLAP: i64 = 1000;

/// New rows of one queue seen at once.
const NEWER: usize = 1000;

/// The place of a row that tells the time.
const CLOCK: i64 = -1;

/// A look at the first rows of queues.
pub(super) struct LookAt {
    pub(super) names: Arc<Names>,
    pub(super) queues: Vec<(QueueName, Look)>,
    /// The highest id that was seen before.
    pub(super) highest: i64,
    /// How long the server may take.
    pub(super) patience: Duration,
}

#[async_trait::async_trait]
impl Verb for LookAt {
    type Out = Sight;

    fn action(&self) -> String {
        let names: Vec<&str> = self.queues.iter().map(|(queue, _)| queue.as_str()).collect();
        format!("look for jobs on queue {:?}", names.join(","))
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    async fn run(&self, session: &mut Session) -> Result<Sight, sqlx::Error> {
        let rows = session.rows(self.sql()).await?;
        self.read(&rows)
    }
}

impl LookAt {
    /// A row that tells the time before, between and after the rows of the queues, so that what each costs is
    /// known. Rows are (place of the queue or `CLOCK`, id, `available_at`).
    fn sql(&self) -> String {
        let jobs = &self.names.jobs;
        let clock = format!("select {CLOCK}, cast(unix_timestamp(sysdate(6)) * 1000000 as signed)");
        let mut statements = vec![format!("{clock}, (select cast(max(id) as signed) from {jobs})")];
        for (place, (queue, look)) in self.queues.iter().enumerate() {
            let queue = exactly("queue", queue.as_str());
            let select = format!(
                "select {place}, cast(id as signed), cast(if(reserved_at is null, available_at, \
                 least(available_at, {NOW})) as signed) from {jobs} where {queue}"
            );
            let from = self.highest - OVERLAP;
            let unheld = self.names.unheld();
            let rest = match look {
                Look::First(limit) => format!("and {unheld} order by available_at, id limit {limit}"),
                Look::Newer => {
                    format!("and reserved_at is null and id > {from} order by id desc limit {NEWER}")
                }
            };
            statements.push(format!("{select} {rest}"));
            statements.push(format!("{clock}, null"));
        }
        statements.join("; ")
    }

    fn read(&self, rows: &[MySqlRow]) -> Result<Sight, sqlx::Error> {
        let mut found: Vec<Vec<Place>> = self.queues.iter().map(|_| Vec::new()).collect();
        let mut clocks = Vec::with_capacity(self.queues.len() + 1);
        let mut highest = 0;
        for row in rows {
            let place: i64 = row.try_get_unchecked(0)?;
            let first: i64 = row.try_get_unchecked(1)?;
            let second: Option<i64> = row.try_get_unchecked(2)?;
            match usize::try_from(place).ok().and_then(|place| found.get_mut(place)) {
                Some(rows) => rows.push((second.unwrap_or(0), first)),
                None => {
                    clocks.push(first);
                    highest = highest.max(second.unwrap_or(0));
                }
            }
        }
        let cost = |place: usize| {
            let between = clocks.get(place).zip(clocks.get(place + 1));
            let micros = between.map_or(0, |(before, after)| after - before);
            Duration::from_micros(u64::try_from(micros).unwrap_or(0))
        };
        let seen = (self.queues.iter().zip(found).enumerate()).map(|(place, ((queue, look), rows))| Seen {
            queue: queue.clone(),
            look: *look,
            rows,
            cost: cost(place),
        });
        Ok(Sight {
            seen: seen.collect(),
            clock: clocks.last().copied().unwrap_or(0),
            highest,
        })
    }
}
