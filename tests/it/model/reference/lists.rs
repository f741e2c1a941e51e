//! Redis: a list, and two sorted sets that hold each text once.

use std::collections::{BTreeMap, VecDeque};

use harness::{QueueDump, Scored};
use worker::store::port::Held;

use super::{Fate, Given, New, Reference, When, same};
use crate::model::history::QUEUES;
use crate::model::world::Seen;

/// All queues of one Redis.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    now: i64,
    queues: [Queue; QUEUES.len()],
    receipts: Vec<Ticket>,
    /// Calls that took jobs: each has a fraction of its own.
    calls: usize,
}

#[derive(Debug, Default)]
struct Queue {
    list: VecDeque<String>,
    delayed: BTreeMap<String, When>,
    reserved: BTreeMap<String, Lease>,
}

/// When a reservation ends, and the call whose it is; nobody's for a twin that waits.
#[derive(Debug, Clone, Copy)]
struct Lease {
    until: When,
    call: Option<usize>,
}

#[derive(Debug, Clone)]
struct Ticket {
    queue: usize,
    original: String,
    copy: String,
    call: usize,
}

impl Queue {
    /// What is due and what has lapsed goes to the end of the list, by time and then by bytes.
    fn promote(&mut self, now: i64) {
        let due = self.delayed.iter().filter(|(_, due)| due.is_over(now));
        let mut due: Vec<(f64, String)> = due.map(|(text, due)| (due.at, text.clone())).collect();
        due.sort_by(|a, b| a.partial_cmp(b).expect("times are numbers"));
        let lapsed = self.reserved.iter().map(|(text, lease)| (text, lease.until));
        let lapsed = lapsed.filter(|(_, until)| until.is_over(now));
        let mut lapsed: Vec<(f64, String)> = lapsed.map(|(text, until)| (until.at, text.clone())).collect();
        lapsed.sort_by(|a, b| a.partial_cmp(b).expect("times are numbers"));
        for (_, text) in due {
            self.delayed.remove(&text);
            self.list.push_back(text);
        }
        for (_, text) in lapsed {
            self.reserved.remove(&text);
            self.list.push_back(text);
        }
    }

    /// Takes the first text of the list, from `place` on, whose copy nobody has reserved.
    fn take(&mut self, until: When, call: usize) -> Option<(String, String, u32)> {
        for place in 0..self.list.len() {
            let (copy, attempts) = counted(&self.list[place]);
            if self.reserved.contains_key(&copy) {
                continue;
            }
            let lease = Lease {
                until,
                call: Some(call),
            };
            self.reserved.insert(copy.clone(), lease);
            let original = self.list.remove(place)?;
            return Some((original, copy, attempts));
        }
        None
    }

    /// Whether the reserved copy of this ticket is its own.
    fn holds(&self, ticket: &Ticket) -> bool {
        let lease = self.reserved.get(&ticket.copy);
        lease.is_some_and(|lease| lease.call == Some(ticket.call))
    }

    /// A twin waits among the reserved ones, and a third one does not wait.
    fn wait(&mut self, text: &str, until: When) {
        if !self.delayed.contains_key(text) {
            self.delayed.insert(text.to_owned(), until);
        } else if !self.reserved.contains_key(text) {
            self.reserved.insert(text.to_owned(), Lease { until, call: None });
        } else {
            self.list.push_back(text.to_owned());
        }
    }

    fn settle(&mut self, ticket: &Ticket, fate: Fate, now: i64) {
        match fate {
            Fate::Delete => drop(self.reserved.remove(&ticket.copy)),
            Fate::Release(delay) => {
                let until = When::about(now + delay);
                if self.delayed.contains_key(&ticket.copy) {
                    self.reserved
                        .insert(ticket.copy.clone(), Lease { until, call: None });
                } else {
                    self.reserved.remove(&ticket.copy);
                    self.delayed.insert(ticket.copy.clone(), until);
                }
            }
            Fate::Refund(None) => {
                self.list.push_front(ticket.original.clone());
                self.reserved.remove(&ticket.copy);
            }
            Fate::Refund(Some(delay)) => {
                self.wait(&ticket.original, When::about(now + delay));
                self.reserved.remove(&ticket.copy);
            }
        }
    }

    fn compare(&mut self, name: &str, seen: &QueueDump, late: i64) -> Result<(), String> {
        let list: Vec<&str> = seen.ready.iter().map(harness::Payload::text).collect();
        let expected: Vec<&str> = self.list.iter().map(String::as_str).collect();
        same(&format!("the list of {name}"), &expected, &list)?;
        same(&format!("the bells of {name}"), &self.list.len(), &seen.notify)?;
        compare_set(
            &format!("the delayed ones of {name}"),
            self.delayed.iter_mut(),
            &seen.delayed,
            late,
        )?;
        let reserved = (self.reserved.iter_mut()).map(|(text, lease)| (text, &mut lease.until));
        compare_set(
            &format!("the reserved ones of {name}"),
            reserved,
            &seen.reserved,
            late,
        )
    }
}

/// Compares texts and times, in the order of texts.
fn compare_set<'a>(
    what: &str,
    model: impl Iterator<Item = (&'a String, &'a mut When)>,
    seen: &[Scored],
    late: i64,
) -> Result<(), String> {
    let mut seen: Vec<(&str, f64)> = seen.iter().map(|it| (it.payload.text(), it.score)).collect();
    seen.sort_by(|a, b| a.0.cmp(b.0));
    let mut model: Vec<(&String, &mut When)> = model.collect();
    let texts: Vec<&str> = model.iter().map(|(text, _)| text.as_str()).collect();
    same(what, &texts, &seen.iter().map(|(text, _)| *text).collect())?;
    for ((text, when), (_, score)) in model.iter_mut().zip(seen) {
        let expected = **when;
        if !when.learn(score, late) {
            return Err(format!("{what}: {text} is there until {score}, not {expected:?}"));
        }
    }
    Ok(())
}

/// The text with one attempt more, and its number.
fn counted(text: &str) -> (String, u32) {
    const MEMBER: &str = "\"attempts\":";
    let (before, rest) = text.split_once(MEMBER).expect("the text counts attempts");
    let (digits, after) = rest.split_once(',').expect("something follows");
    let attempts = digits.parse::<u32>().expect("a number") + 1;
    (format!("{before}{MEMBER}{attempts},{after}"), attempts)
}

impl Reference for Lists {
    fn begin(&mut self, now: i64) {
        self.now = now;
    }

    fn pass(&mut self, seconds: i64) {
        for queue in &mut self.queues {
            let leases = queue.reserved.values_mut().map(|lease| &mut lease.until);
            queue
                .delayed
                .values_mut()
                .chain(leases)
                .for_each(|when| when.shift(seconds));
        }
    }

    fn push(&mut self, job: New) {
        let queue = &mut self.queues[job.queue];
        match job.delay {
            None => queue.list.push_back(job.text),
            Some(delay) => drop(queue.delayed.insert(job.text, When::about(self.now + delay))),
        }
    }

    fn push_once(&mut self, job: New) {
        match job.delay {
            None => self.push(job),
            Some(delay) => self.queues[job.queue].wait(&job.text, When::about(self.now + delay)),
        }
    }

    fn reserve(&mut self, queues: &[usize], max: usize, lease: i64) -> Vec<Given> {
        let until = When::about(self.now + lease);
        self.calls += 1;
        let mut given = Vec::new();
        for &number in queues {
            if given.len() == max {
                break;
            }
            let queue = &mut self.queues[number];
            queue.promote(self.now);
            while given.len() < max
                && let Some((original, copy, attempts)) = queue.take(until, self.calls)
            {
                given.push(Given {
                    queue: number,
                    text: original.clone(),
                    attempts,
                    row: None,
                    receipt: self.receipts.len(),
                });
                self.receipts.push(Ticket {
                    queue: number,
                    original,
                    copy,
                    call: self.calls,
                });
            }
        }
        given
    }

    fn renew(&mut self, receipts: &[usize], lease: i64) -> Vec<Held> {
        let until = When::about(self.now + lease);
        let renew = |receipt: &usize| {
            let ticket = &self.receipts[*receipt];
            let queue = &mut self.queues[ticket.queue];
            match queue.reserved.get_mut(&ticket.copy) {
                Some(lease) if lease.call == Some(ticket.call) => {
                    lease.until = until;
                    Held::Yes
                }
                _ => Held::Lost,
            }
        };
        receipts.iter().map(renew).collect()
    }

    /// From the last to the first; deletes of one call side by side are looked at before any is removed.
    fn settle(&mut self, batch: &[(usize, Fate)], _heard: bool) -> Vec<Held> {
        let mut answers = vec![Held::Lost; batch.len()];
        let run_of = |place: usize| {
            let (receipt, fate) = batch[place];
            let ticket = &self.receipts[receipt];
            (fate == Fate::Delete).then_some((ticket.queue, ticket.call))
        };
        let mut end = batch.len();
        while end > 0 {
            let run = run_of(end - 1);
            let mut start = end - 1;
            while run.is_some() && start > 0 && run_of(start - 1) == run {
                start -= 1;
            }
            for place in start..end {
                let ticket = &self.receipts[batch[place].0];
                if self.queues[ticket.queue].holds(ticket) {
                    answers[place] = Held::Yes;
                }
            }
            for place in start..end {
                if answers[place] == Held::Yes {
                    let ticket = &self.receipts[batch[place].0];
                    self.queues[ticket.queue].settle(ticket, batch[place].1, self.now);
                }
            }
            end = start;
        }
        answers
    }

    fn clear(&mut self, queue: usize) -> u64 {
        let all = self.depth(queue).iter().sum();
        self.queues[queue] = Queue::default();
        all
    }

    fn depth(&self, queue: usize) -> [u64; 3] {
        let queue = &self.queues[queue];
        [queue.list.len(), queue.delayed.len(), queue.reserved.len()].map(|count| count as u64)
    }

    fn compare(&mut self, seen: &Seen, late: i64) -> Result<(), String> {
        let Seen::Lists(dumps) = seen else {
            return Err("the store is no Redis".to_owned());
        };
        for ((name, queue), dump) in QUEUES.iter().zip(&mut self.queues).zip(dumps) {
            queue.compare(name, dump, late)?;
        }
        Ok(())
    }
}
