//! A table of jobs: rows that are free or held, in the order of their times and numbers.

use harness::JobRow;
use worker::store::port::Held;

use super::{Fate, Given, New, Reference, When, same};
use crate::model::history::QUEUES;
use crate::model::world::{Seen, retry_after};

/// A lease is written one second longer, since the column has whole seconds.
const SPARE: i64 = 1;

/// One table.
#[derive(Debug)]
pub(crate) struct Table {
    now: i64,
    /// By how much time was moved.
    moved: i64,
    /// In the order of their ids.
    rows: Vec<Row>,
    receipts: Vec<Ticket>,
    /// Rows so far: each has a number of its own before its id is known.
    pushed: usize,
}

#[derive(Debug)]
struct Row {
    number: usize,
    id: Option<i64>,
    queue: usize,
    text: String,
    attempts: u32,
    reserved_at: Option<When>,
    available_at: When,
}

#[derive(Debug)]
struct Ticket {
    number: usize,
    attempts: u32,
    reserved_at: When,
    /// Used up, and its process knows.
    spent: bool,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            now: 0,
            moved: 0,
            rows: Vec::new(),
            receipts: Vec::new(),
            pushed: 0,
        }
    }

    fn has_lapsed(&self, row: &Row) -> bool {
        let last = self.now - retry_after(self.moved);
        row.reserved_at.is_some_and(|at| at.is_over(last))
    }

    fn is_pending(&self, row: &Row) -> bool {
        (row.reserved_at.is_none() && row.available_at.is_over(self.now)) || self.has_lapsed(row)
    }

    /// What a reservation is written with that begins now.
    fn reserved_at(&self, lease: i64) -> When {
        When::about(self.now + lease + SPARE - retry_after(self.moved))
    }

    /// The place of the row that a receipt holds.
    fn held(&self, receipt: usize) -> Option<usize> {
        let ticket = &self.receipts[receipt];
        let is_held = |row: &Row| {
            row.number == ticket.number
                && row.attempts == ticket.attempts
                && row.reserved_at.is_some_and(|at| at.at >= ticket.reserved_at.at)
        };
        if ticket.spent {
            return None;
        }
        self.rows.iter().position(is_held)
    }
}

impl Row {
    fn compare(&mut self, seen: &JobRow, late: i64) -> Result<(), String> {
        let id = *self.id.get_or_insert(seen.id);
        let place = format!("row {id}");
        same(
            &place,
            &(id, QUEUES[self.queue], self.text.as_str()),
            &(seen.id, seen.queue.as_str(), seen.payload.as_str()),
        )?;
        same(
            &format!("attempts of {place}"),
            &i64::from(self.attempts),
            &seen.attempts,
        )?;
        let held = (self.reserved_at.is_some(), seen.reserved_at.is_some());
        same(&format!("whether {place} is held"), &held.0, &held.1)?;
        let available_at = self.available_at;
        if !self.available_at.learn(exact(seen.available_at), late) {
            return Err(format!(
                "{place} is available at {}, not {available_at:?}",
                seen.available_at
            ));
        }
        let Some((when, at)) = self.reserved_at.as_mut().zip(seen.reserved_at) else {
            return Ok(());
        };
        let reserved_at = *when;
        match when.learn(exact(at), late) {
            true => Ok(()),
            false => Err(format!("{place} is reserved at {at}, not {reserved_at:?}")),
        }
    }
}

/// A second as the model counts them.
fn exact(second: i64) -> f64 {
    When::about(second).at
}

impl Reference for Table {
    fn begin(&mut self, now: i64) {
        self.now = now;
    }

    fn pass(&mut self, seconds: i64) {
        self.moved += seconds;
        self.rows
            .iter_mut()
            .for_each(|row| row.available_at.shift(seconds));
    }

    fn push(&mut self, job: New) {
        self.pushed += 1;
        self.rows.push(Row {
            number: self.pushed,
            id: None,
            queue: job.queue,
            text: job.text,
            attempts: 0,
            reserved_at: None,
            available_at: When::about(self.now + job.delay.unwrap_or(0)),
        });
    }

    fn push_once(&mut self, job: New) {
        self.push(job);
    }

    fn reserve(&mut self, queues: &[usize], max: usize, lease: i64) -> Vec<Given> {
        let reserved_at = self.reserved_at(lease);
        let mut places = Vec::new();
        for queue in queues {
            let pending = (0..self.rows.len())
                .filter(|place| self.rows[*place].queue == *queue && self.is_pending(&self.rows[*place]));
            let mut pending: Vec<usize> = pending.collect();
            // Rows stand in the order of their ids, and this sort keeps that order.
            pending.sort_by(|a, b| {
                self.rows[*a]
                    .available_at
                    .at
                    .total_cmp(&self.rows[*b].available_at.at)
            });
            places.extend(pending);
        }
        places.truncate(max);
        let mut given = Vec::new();
        for place in places {
            let row = &mut self.rows[place];
            row.attempts += 1;
            row.reserved_at = Some(reserved_at);
            given.push(Given {
                queue: row.queue,
                text: row.text.clone(),
                attempts: row.attempts,
                row: row.id,
                receipt: self.receipts.len(),
            });
            self.receipts.push(Ticket {
                number: row.number,
                attempts: row.attempts,
                reserved_at,
                spent: false,
            });
        }
        given
    }

    fn renew(&mut self, receipts: &[usize], lease: i64) -> Vec<Held> {
        let until = self.reserved_at(lease);
        let mut answers = Vec::new();
        for &receipt in receipts {
            let Some(place) = self.held(receipt) else {
                answers.push(Held::Lost);
                continue;
            };
            let row = &mut self.rows[place];
            let later = row.reserved_at.filter(|at| at.at > until.at).unwrap_or(until);
            row.reserved_at = Some(later);
            self.receipts[receipt].reserved_at = later;
            answers.push(Held::Yes);
        }
        answers
    }

    fn settle(&mut self, batch: &[(usize, Fate)], heard: bool) -> Vec<Held> {
        let mut answers: Vec<Held> = Vec::new();
        for (index, &(receipt, fate)) in batch.iter().enumerate() {
            let is_first = !batch[..index].iter().any(|(before, _)| *before == receipt);
            let Some(place) = self.held(receipt).filter(|_| is_first) else {
                answers.push(Held::Lost);
                continue;
            };
            answers.push(Held::Yes);
            let now = self.now;
            let row = &mut self.rows[place];
            let (delay, uncounted) = match fate {
                Fate::Delete => {
                    drop(self.rows.remove(place));
                    continue;
                }
                Fate::Release(delay) => (Some(delay), 0),
                Fate::Refund(delay) => (delay, 1),
            };
            row.reserved_at = None;
            row.attempts -= uncounted;
            if let Some(delay) = delay {
                row.available_at = When::about(now + delay);
            }
        }
        for (receipt, _) in batch.iter().filter(|_| heard) {
            self.receipts[*receipt].spent = true;
        }
        answers
    }

    fn clear(&mut self, queue: usize) -> u64 {
        let before = self.rows.len();
        self.rows.retain(|row| row.queue != queue);
        (before - self.rows.len()) as u64
    }

    fn depth(&self, queue: usize) -> [u64; 3] {
        let count = |is: &dyn Fn(&Row) -> bool| {
            let rows = self.rows.iter().filter(|row| row.queue == queue && is(row));
            rows.count() as u64
        };
        let is_held = |row: &Row| row.reserved_at.is_some() && !self.has_lapsed(row);
        let is_delayed = |row: &Row| row.reserved_at.is_none() && !self.is_pending(row);
        [
            count(&|row| self.is_pending(row)),
            count(&is_delayed),
            count(&is_held),
        ]
    }

    fn compare(&mut self, seen: &Seen, late: i64) -> Result<(), String> {
        let Seen::Rows(rows) = seen else {
            return Err("the store is no table".to_owned());
        };
        let model: Vec<&str> = self.rows.iter().map(|row| row.text.as_str()).collect();
        let store: Vec<&str> = rows.iter().map(|row| row.payload.as_str()).collect();
        same("the rows by id", &model, &store)?;
        for (row, seen) in self.rows.iter_mut().zip(rows) {
            row.compare(seen, late)?;
        }
        for ticket in &mut self.receipts {
            let row = self.rows.iter().find(|row| row.number == ticket.number);
            let reserved_at = row.and_then(|row| row.reserved_at);
            if let Some(at) = reserved_at.filter(|_| !ticket.reserved_at.is_exact) {
                ticket.reserved_at = at;
            }
        }
        Ok(())
    }
}
