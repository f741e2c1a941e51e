//! Renewing, settling and pushing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use sqlx::Row;
use sqlx::mysql::MySqlRow;

use super::super::{Fate, Hold, JobRecord};
use super::failures::upsert;
use super::insert::insert;
use super::names::{LATEST, NOW, Names};
use super::session::Session;
use super::text::numbers;
use super::verb::Verb;

/// Moves the ends of reservations.
pub(super) struct Renew {
    pub(super) names: Arc<Names>,
    pub(super) holds: Vec<Hold>,
    pub(super) lease_s: i64,
}

#[async_trait::async_trait]
impl Verb for Renew {
    type Out = Vec<Option<i64>>;

    fn action(&self) -> String {
        format!("renew {} reservations", self.holds.len())
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run(&self, session: &mut Session) -> Result<Self::Out, sqlx::Error> {
        let Names {
            jobs, retry_after_s, ..
        } = &*self.names;
        let held = held(&self.holds, session.most_attempts());
        let to = format!("greatest({NOW} + {} - {retry_after_s}, 0)", self.lease_s);
        // The time is taken once, so that what is told is what is written.
        let rows = session.rows(format!(
            "start transaction; set @worker_to = {to}; \
             select cast(id as signed), cast(greatest(reserved_at, @worker_to) as signed) \
             from {jobs} where {held} for update; \
             update {jobs} set reserved_at = greatest(reserved_at, @worker_to) where {held}; commit"
        ));
        let mut renewed: HashMap<i64, i64> = HashMap::with_capacity(self.holds.len());
        for row in rows.await? {
            renewed.insert(row.try_get_unchecked(0)?, row.try_get_unchecked(1)?);
        }
        Ok(self
            .holds
            .iter()
            .map(|hold| renewed.get(&hold.id).copied())
            .collect())
    }
}

/// Writes what becomes of held rows.
pub(super) struct Settle {
    pub(super) names: Arc<Names>,
    pub(super) batch: Vec<(Hold, Fate)>,
}

#[async_trait::async_trait]
impl Verb for Settle {
    type Out = Vec<bool>;

    fn action(&self) -> String {
        format!("settle {} jobs", self.batch.len())
    }

    /// Everything in one text: the rows that are held are locked and told first; they stay as they are until the
    /// same conditions find them again. Failures are written in between, when there are any.
    async fn run(&self, session: &mut Session) -> Result<Vec<bool>, sqlx::Error> {
        let most_attempts = session.most_attempts();
        let (lock, rest) = (self.lock(most_attempts), self.rest(most_attempts));
        let fails = |(_, fate): &(Hold, Fate)| matches!(fate, Fate::Fail(_));
        let held = if self.batch.iter().any(fails) {
            let held = ids(&session.rows(lock).await?)?;
            for (hold, fate) in &self.batch {
                match fate {
                    Fate::Fail(record) if held.contains(&hold.id) => {
                        upsert(session, &self.names.failed_jobs, record).await?;
                    }
                    _ => {}
                }
            }
            session.execute(rest).await?;
            held
        } else {
            ids(&session.rows(format!("{lock}; {rest}")).await?)?
        };
        Ok(self
            .batch
            .iter()
            .map(|(hold, _)| held.contains(&hold.id))
            .collect())
    }
}

impl Settle {
    /// Begins, and tells the ids of the rows that are held.
    fn lock(&self, most_attempts: i64) -> String {
        let all = self.batch.iter().map(|(hold, _)| hold);
        format!(
            "start transaction; select cast(id as signed) from {} where {} for update",
            self.names.jobs,
            held(all, most_attempts)
        )
    }

    /// Deletes and frees the rows that are held, and commits.
    fn rest(&self, most_attempts: i64) -> String {
        let jobs = &self.names.jobs;
        let mut leaving = Vec::new();
        let mut freed: BTreeMap<(bool, Option<i64>), Vec<&Hold>> = BTreeMap::new();
        for (hold, fate) in &self.batch {
            match fate {
                Fate::Delete | Fate::Fail(_) => leaving.push(hold),
                Fate::Free { uncount, delay_s } => freed.entry((*uncount, *delay_s)).or_default().push(hold),
            }
        }
        let mut statements = Vec::with_capacity(freed.len() + 2);
        if !leaving.is_empty() {
            statements.push(format!(
                "delete from {jobs} where {}",
                held(leaving, most_attempts)
            ));
        }
        for ((uncount, delay_s), holds) in freed {
            let attempts = match uncount {
                true => "greatest(cast(attempts as signed) - 1, 0)",
                false => "attempts",
            };
            let available_at = match delay_s {
                Some(delay_s) => format!("least({NOW} + {delay_s}, {LATEST})"),
                None => "available_at".to_owned(),
            };
            statements.push(format!(
                "update {jobs} set reserved_at = null, attempts = {attempts}, available_at = {available_at} \
                 where {}",
                held(holds, most_attempts)
            ));
        }
        statements.push("commit".to_owned());
        statements.join("; ")
    }
}

fn ids(rows: &[MySqlRow]) -> Result<HashSet<i64>, sqlx::Error> {
    rows.iter().map(|row| row.try_get_unchecked(0)).collect()
}

/// The condition that a row is held by one of `holds`.
///
/// A row whose attempts can grow no more looks the same in other hands but for `reserved_at`, which then must
/// be the very same.
fn held<'a>(holds: impl IntoIterator<Item = &'a Hold>, most_attempts: i64) -> String {
    let mut alike: BTreeMap<(i64, i64), Vec<i64>> = BTreeMap::new();
    for hold in holds {
        let alike = alike.entry((hold.attempts, hold.reserved_at)).or_default();
        alike.push(hold.id);
    }
    let mut conditions = vec!["false".to_owned()];
    for ((attempts, reserved_at), ids) in alike {
        let is = if attempts < most_attempts { ">=" } else { "=" };
        conditions.push(format!(
            "(id in ({}) and attempts = {attempts} and reserved_at {is} {reserved_at})",
            numbers(ids)
        ));
    }
    format!("({})", conditions.join(" or "))
}

/// Inserts jobs.
pub(super) struct Push {
    pub(super) names: Arc<Names>,
    pub(super) jobs: Vec<JobRecord>,
}

#[async_trait::async_trait]
impl Verb for Push {
    type Out = ();

    fn action(&self) -> String {
        match self.jobs.as_slice() {
            [job] => format!("push to queue {:?}", job.queue),
            jobs => format!("push {} jobs", jobs.len()),
        }
    }

    async fn run(&self, session: &mut Session) -> Result<(), sqlx::Error> {
        if let [job] = self.jobs.as_slice() {
            return insert(session, &self.names.jobs, std::slice::from_ref(job)).await;
        }
        session.execute("start transaction".to_owned()).await?;
        insert(session, &self.names.jobs, &self.jobs).await?;
        session.execute("commit".to_owned()).await.map(drop)
    }
}
