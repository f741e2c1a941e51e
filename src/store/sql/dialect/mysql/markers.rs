//! Markers: jobs that are inserted once.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::mysql::MySqlRow;

use super::super::{JobRecord, MARKER_DAYS, OnceRecord};
use super::claim::bytes;
use super::error::is_duplicate;
use super::insert::insert;
use super::names::{NOW, Names};
use super::session::Session;
use super::text::text;
use super::verb::Verb;

/// How often it is tried again when someone else writes the same markers at the same time.
const COLLISIONS: usize = 5;

/// Inserts jobs unless their markers are there.
pub(super) struct PushOnce {
    pub(super) names: Arc<Names>,
    pub(super) jobs: Vec<OnceRecord>,
}

#[async_trait::async_trait]
impl Verb for PushOnce {
    type Out = Vec<bool>;

    fn action(&self) -> String {
        match self.jobs.as_slice() {
            [once] => format!("push once to queue {:?}", once.job.queue),
            jobs => format!("push {} jobs once", jobs.len()),
        }
    }

    /// Whoever's markers are not yet to be seen writes them first, and is then found by the next try.
    async fn run(&self, session: &mut Session) -> Result<Vec<bool>, sqlx::Error> {
        let mut collisions = 0;
        loop {
            match self.push(session).await {
                Err(error) if is_duplicate(&error) && collisions < COLLISIONS => {
                    session.execute("rollback".to_owned()).await?;
                    collisions += 1;
                }
                outcome => return outcome,
            }
        }
    }
}

impl PushOnce {
    async fn push(&self, session: &mut Session) -> Result<Vec<bool>, sqlx::Error> {
        let Names { jobs, markers, .. } = &*self.names;
        let all = self.jobs.iter().map(|once| once.marker.as_str());
        let rows = session
            .rows(format!(
                "delete from {markers} where created_at < {NOW} - {MARKER_DAYS} * 86400; start transaction; \
                 select cast(marker as binary) from {markers} where marker in ({})",
                list(all)
            ))
            .await?;
        let mut known = texts(&rows)?;
        let mut new = Vec::new();
        let mut records: Vec<JobRecord> = Vec::new();
        let mut pushed = Vec::with_capacity(self.jobs.len());
        for once in &self.jobs {
            let is_new = known.insert(once.marker.clone());
            if is_new {
                new.push(once.marker.as_str());
                records.push(once.job.clone());
            }
            pushed.push(is_new);
        }
        if !new.is_empty() {
            session.execute(mark(markers, new, "")).await?;
            insert(session, jobs, &records).await?;
        }
        session.execute("commit".to_owned()).await?;
        Ok(pushed)
    }
}

/// The statement that writes markers, in one order for everyone.
pub(super) fn mark<'a>(
    table: &str,
    markers: impl IntoIterator<Item = &'a str>,
    unless_there: &str,
) -> String {
    let mut markers: Vec<&str> = markers.into_iter().collect();
    markers.sort_unstable();
    let rows: Vec<String> = markers
        .into_iter()
        .map(|marker| format!("({}, {NOW})", text(marker)))
        .collect();
    format!(
        "insert {unless_there} into {table} (marker, created_at) values {}",
        rows.join(", ")
    )
}

/// The statement that removes markers.
pub(super) fn unmark<'a>(table: &str, markers: impl IntoIterator<Item = &'a str>) -> String {
    format!("delete from {table} where marker in ({})", list(markers))
}

/// Texts separated by commas; `null` when there are none, which is in no list.
fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(text).collect();
    if texts.is_empty() {
        return "null".to_owned();
    }
    texts.join(",")
}

/// The first column of each row.
pub(super) fn texts(rows: &[MySqlRow]) -> Result<HashSet<String>, sqlx::Error> {
    let read = |row: &MySqlRow| Ok(String::from_utf8_lossy(&bytes(row, 0)?).into_owned());
    rows.iter().map(read).collect()
}

/// Removes markers.
pub(super) struct DropMarkers {
    pub(super) names: Arc<Names>,
    pub(super) markers: Vec<String>,
}

#[async_trait::async_trait]
impl Verb for DropMarkers {
    type Out = ();

    fn action(&self) -> String {
        "forget markers".to_owned()
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    async fn run(&self, session: &mut Session) -> Result<(), sqlx::Error> {
        let markers = self.markers.iter().map(String::as_str);
        session
            .execute(unmark(&self.names.markers, markers))
            .await
            .map(drop)
    }
}
