//! Inserting jobs.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

use super::super::JobRecord;
use super::form::Form;
use super::names::{LATEST, NOW};
use super::session::Session;

/// Rows of one statement, where there are many.
const ROWS: usize = 32;

/// Bytes of payload in one statement of several rows; servers take a megabyte at least.
const BYTES: usize = 512 << 10;

/// Inserts jobs, their ids in their order. Several statements; the caller has a transaction around them.
pub(super) async fn insert(
    session: &mut Session,
    table: &str,
    jobs: &[JobRecord],
) -> Result<(), sqlx::Error> {
    let (one, many) = (statement(table, 1), statement(table, ROWS));
    let (groups, rest) = jobs.as_chunks::<ROWS>();
    for group in groups {
        let bytes: usize = group.iter().map(|job| job.payload.len()).sum();
        if bytes <= BYTES {
            insert_rows(session, &many, group).await?;
            continue;
        }
        for job in group {
            insert_rows(session, &one, std::slice::from_ref(job)).await?;
        }
    }
    for job in rest {
        insert_rows(session, &one, std::slice::from_ref(job)).await?;
    }
    Ok(())
}

/// Runs one statement; again with other characters where the column does not hold these.
async fn insert_rows(session: &mut Session, sql: &Arc<str>, jobs: &[JobRecord]) -> Result<(), sqlx::Error> {
    let mut form = Form::default();
    let most_attempts = session.most_attempts();
    loop {
        let mut push = sqlx::query(AssertSqlSafe(Arc::clone(sql)));
        for job in jobs {
            push = push.bind(job.queue.as_str().to_owned());
            push = match std::str::from_utf8(&job.payload) {
                Ok(text) => push.bind(form.json(text).into_owned()),
                // Only a column of bytes holds these.
                Err(_) => push.bind(job.payload.to_vec()),
            };
            push = push
                .bind(i64::from(job.attempts).min(most_attempts))
                .bind(job.delay_s);
        }
        match push.execute(session.connection()).await {
            Ok(_) => return Ok(()),
            Err(error) => form.adapt(error)?,
        }
    }
}

fn statement(table: &str, rows: usize) -> Arc<str> {
    let row = format!("(?, ?, ?, null, least({NOW} + ?, {LATEST}), {NOW})");
    let rows = vec![row; rows].join(", ");
    let columns = "queue, payload, attempts, reserved_at, available_at, created_at";
    format!("insert into {table} ({columns}) values {rows}").into()
}
