//! Plays a history on a store and on its model, and compares the two after every step.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use worker::clock::{Clock, SystemClock};
use worker::store::port::{FailedJob, Held, Queue, QueueName, Receipt, Settle, Settlement};

use super::history::{Fresh, LEAP, QUEUES, Step, TICK, Verdict};
use super::reference::{Fate, Lists, New, Reference, Table};
use super::world::World;
use crate::store::engine::{job, once};

/// Histories must be short against the distance of a leap and a tick.
const LONGEST: Duration = Duration::from_secs(60);

/// One of the two processes that use the store.
struct Process {
    queue: Arc<dyn Queue>,
    /// Whether time was moved since it was opened.
    is_late: bool,
    /// Everything it was given, the newest last.
    held: Vec<Holding>,
}

#[derive(Clone)]
struct Holding {
    receipt: Receipt,
    number: usize,
    queue: usize,
    name: String,
}

struct Play<'a> {
    world: &'a World,
    reference: Box<dyn Reference>,
    processes: Vec<Process>,
    active: usize,
    /// Seconds by which time was moved.
    moved: i64,
    markers: BTreeSet<u8>,
    failures: BTreeSet<String>,
}

/// Plays a history on an empty store.
///
/// # Errors
/// The first difference.
pub(super) async fn play(world: &World, steps: &[Step]) -> Result<(), String> {
    world.empty().await;
    let mut processes = Vec::new();
    for _ in 0..2 {
        let queue = world.open(0).await;
        processes.push(Process {
            queue,
            is_late: false,
            held: Vec::new(),
        });
    }
    let mut play = Play {
        world,
        reference: if world.is_redis() {
            Box::new(Lists::default())
        } else {
            Box::new(Table::new())
        },
        processes,
        active: 0,
        moved: 0,
        markers: BTreeSet::new(),
        failures: BTreeSet::new(),
    };
    let began = Instant::now();
    for (number, step) in steps.iter().enumerate() {
        let done = play.step(step).await;
        done.map_err(|what| format!("{what}\nafter step {} ({step:?})", number + 1))?;
    }
    same(
        "failures",
        &play.failures.into_iter().collect(),
        &world.failures().await,
    )?;
    assert!(
        began.elapsed() < LONGEST,
        "the machine is too slow to compare times"
    );
    Ok(())
}

fn now() -> i64 {
    i64::try_from(SystemClock.now().as_secs()).expect("a time of our century")
}

fn name(queue: usize) -> QueueName {
    QueueName::new(QUEUES[queue])
}

fn ticks(ticks: u8) -> Duration {
    Duration::from_secs(u64::from(ticks) * TICK.unsigned_abs())
}

fn seconds(ticks: u8) -> i64 {
    i64::from(ticks) * TICK
}

fn same<T: PartialEq + Debug>(what: &str, model: &T, store: &T) -> Result<(), String> {
    if model == store {
        return Ok(());
    }
    Err(format!("{what}: the model says {model:?}, the store {store:?}"))
}

impl Play<'_> {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        let began = now();
        self.reference.begin(began);
        match step {
            Step::Push(jobs) => self.push(jobs).await,
            Step::PushOnce(marker, job) => self.push_once(*marker, job).await?,
            Step::Reserve { queues, max, lease } => self.reserve(queues, *max, *lease).await?,
            Step::Renew(receipts, lease) => self.renew(receipts, *lease).await?,
            Step::Settle { batch, heard } => self.settle(batch, *heard).await?,
            Step::Clear(queue) => {
                let cleared = self.queue().clear(&name(*queue)).await.expect("clear");
                same("cleared", &self.reference.clear(*queue), &cleared)?;
            }
            Step::Crash => {
                self.process().held.clear();
                self.open_anew().await;
            }
            Step::Other => {
                self.active = 1 - self.active;
                if self.world.remembers() || self.process().is_late {
                    self.open_anew().await;
                }
            }
            Step::Time(leaps) => self.pass(i64::from(*leaps) * LEAP).await,
        }
        // What the store calls a second may be the next one by now, and a lease in Redis ends up to one later.
        self.reference
            .compare(&self.world.seen().await, now() - began + 2)?;
        self.look().await
    }

    fn process(&mut self) -> &mut Process {
        &mut self.processes[self.active]
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.processes[self.active].queue)
    }

    /// Gives the active process another driver.
    async fn open_anew(&mut self) {
        self.process().queue = self.world.open(self.moved).await;
        self.process().is_late = false;
    }

    async fn pass(&mut self, seconds: i64) {
        self.world.pass(seconds).await;
        self.reference.pass(seconds);
        self.moved += seconds;
        self.processes
            .iter_mut()
            .for_each(|process| process.is_late = true);
        self.open_anew().await;
    }

    /// What an operator sees.
    async fn look(&mut self) -> Result<(), String> {
        let (queue, names) = (self.queue(), [name(0), name(1)]);
        self.reference.begin(now());
        let depths = queue.depth(&names).await.expect("depth");
        let mut filled = Vec::new();
        for (number, depth) in depths.iter().enumerate() {
            let expected = self.reference.depth(number);
            let counted = [depth.pending, depth.delayed, depth.reserved];
            same(QUEUES[number], &expected, &counted)?;
            if expected != [0; 3] {
                filled.push(name(number));
            }
        }
        same("queues", &filled, &queue.queues().await.expect("queues"))
    }

    fn new_job(&self, fresh: &Fresh) -> (worker::store::port::NewJob, New) {
        let mut job = job(
            &*self.queue(),
            QUEUES[fresh.queue],
            &format!("n{:02}", fresh.name),
        );
        job.delay = fresh.delay.map(ticks);
        let new = New {
            queue: fresh.queue,
            text: String::from_utf8(job.payload.to_vec()).expect("UTF-8"),
            delay: fresh.delay.map(seconds),
        };
        (job, new)
    }

    async fn push(&mut self, jobs: &[Fresh]) {
        let (jobs, new): (Vec<_>, Vec<_>) = jobs.iter().map(|fresh| self.new_job(fresh)).unzip();
        self.queue().push(&jobs).await.expect("push");
        new.into_iter().for_each(|new| self.reference.push(new));
    }

    async fn push_once(&mut self, marker: u8, fresh: &Fresh) -> Result<(), String> {
        let (job, new) = self.new_job(fresh);
        let once = once(&format!("m{marker}"), &job);
        let pushed = self.queue().push_once(&[once]).await.expect("push");
        let is_new = self.markers.insert(marker);
        if is_new {
            self.reference.push_once(new);
        }
        same("pushed once", &vec![is_new], &pushed)
    }

    async fn reserve(&mut self, queues: &[usize], max: usize, lease: u8) -> Result<(), String> {
        let names: Vec<QueueName> = queues.iter().map(|queue| name(*queue)).collect();
        let reserved = self
            .queue()
            .reserve(&names, max, ticks(lease))
            .await
            .expect("reserve");
        let given = self.reference.reserve(queues, max, seconds(lease));
        let answers: Vec<_> = (reserved.iter())
            .map(|job| {
                let text = String::from_utf8_lossy(&job.payload).into_owned();
                (job.queue.as_str(), text, job.attempts, job.row)
            })
            .collect();
        let expected = (given.iter()).map(|job| (QUEUES[job.queue], job.text.clone(), job.attempts, job.row));
        same("reserved", &expected.collect(), &answers)?;
        for (job, given) in reserved.into_iter().zip(given) {
            let payload: serde_json::Value = serde_json::from_slice(&job.payload).expect("JSON");
            self.process().held.push(Holding {
                receipt: job.receipt,
                number: given.receipt,
                queue: given.queue,
                name: payload["uuid"].to_string(),
            });
        }
        Ok(())
    }

    /// The receipts that numbers mean, if there are any.
    fn chosen<'a>(&self, numbers: impl Iterator<Item = &'a u8>) -> Vec<Holding> {
        let held = &self.processes[self.active].held;
        let choose = |number: &u8| {
            let back = usize::from(*number).checked_rem(held.len())?;
            held.iter().rev().nth(back).cloned()
        };
        numbers.filter_map(choose).collect()
    }

    async fn renew(&mut self, receipts: &[u8], lease: u8) -> Result<(), String> {
        let chosen = self.chosen(receipts.iter());
        let asked: Vec<_> = chosen
            .iter()
            .map(|it| (name(it.queue), it.receipt.clone()))
            .collect();
        let answers = self.queue().renew(&asked, ticks(lease)).await.expect("renew");
        let numbers: Vec<usize> = chosen.iter().map(|it| it.number).collect();
        same(
            "renewed",
            &self.reference.renew(&numbers, seconds(lease)),
            &answers,
        )
    }

    async fn settle(&mut self, batch: &[(u8, Verdict)], heard: bool) -> Result<(), String> {
        let chosen = self.chosen(batch.iter().map(|(number, _)| number));
        let keeps_failures = self.queue().records_failures();
        let (mut settlements, mut fates) = (Vec::new(), Vec::new());
        for (holding, (_, verdict)) in chosen.iter().zip(batch) {
            let (settle, fate) = match verdict {
                Verdict::Delete => (Settle::Delete, Fate::Delete),
                Verdict::Release(delay) => (
                    Settle::Release { delay: ticks(*delay) },
                    Fate::Release(seconds(*delay)),
                ),
                Verdict::Refund(delay) => (
                    Settle::Refund {
                        delay: delay.map(ticks),
                    },
                    Fate::Refund(delay.map(seconds)),
                ),
                Verdict::Fail if keeps_failures => (holding.failure(), Fate::Delete),
                Verdict::Fail => (Settle::Delete, Fate::Delete),
            };
            settlements.push(Settlement {
                queue: name(holding.queue),
                receipt: holding.receipt.clone(),
                settle,
            });
            fates.push((holding.number, fate));
        }
        let answers = if heard {
            Some(self.queue().settle(&settlements).await.expect("settle"))
        } else {
            self.settle_unheard(&settlements).await
        };
        let expected = self.reference.settle(&fates, answers.is_some());
        for ((holding, (_, verdict)), held) in chosen.iter().zip(batch).zip(&expected) {
            if keeps_failures && *verdict == Verdict::Fail && *held == Held::Yes {
                self.failures.insert(holding.name.clone());
            }
        }
        if let Some(answers) = answers {
            return same("settled", &expected, &answers);
        }
        // A refund makes the old bytes current again: by the port's rule it is not sent twice.
        let refunded = |fate: &Fate| matches!(fate, Fate::Refund(_));
        let refunded: Vec<usize> = (fates.iter().filter(|(_, fate)| refunded(fate)))
            .map(|(number, _)| *number)
            .collect();
        self.process().held.retain(|it| !refunded.contains(&it.number));
        if self.world.remembers() {
            self.open_anew().await;
        }
        Ok(())
    }

    /// Drops the call when the store has done what it was asked and before it could be heard. The answers when they
    /// were heard all the same.
    async fn settle_unheard(&self, batch: &[Settlement]) -> Option<Vec<Held>> {
        let before = self.world.seen().await;
        let queue = self.queue();
        let mut settling = pin!(queue.settle(batch));
        loop {
            let polled = poll_fn(|context| Poll::Ready(settling.as_mut().poll(context))).await;
            match polled {
                Poll::Ready(answers) => return Some(answers.expect("settle")),
                Poll::Pending if self.world.seen().await != before => return None,
                Poll::Pending => {}
            }
        }
    }
}

impl Holding {
    fn failure(&self) -> Settle {
        Settle::Fail(Box::new(FailedJob {
            uuid: self.name.clone(),
            connection: "c".to_owned(),
            queue: name(self.queue),
            payload: "{}".into(),
            exception: "E".to_owned(),
        }))
    }
}
