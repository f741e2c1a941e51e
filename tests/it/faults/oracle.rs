//! What must be true after every fault: every job is somewhere, once, and nobody ran it at the same time as
//! somebody else.

use std::collections::{BTreeMap, BTreeSet};

use super::stage::{Lying, Note, Stage};

/// What a test allows beyond the strict rule. The default allows nothing: each job has run once and ended well.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expect {
    /// Jobs in the hands of a process when it was killed may have run again.
    pub(crate) again_after_kills: bool,
    /// These may have run again, whatever happened to them.
    pub(crate) again: BTreeSet<String>,
    /// These were held by someone who does not renew for longer than that was good for: they may have run again,
    /// and meanwhile.
    pub(crate) outlasted: BTreeSet<String>,
    /// Any may have run again: the fault hit all of them.
    pub(crate) again_any: bool,
    /// These may have been given back uncounted: such a run is followed by one of the same number.
    pub(crate) given_back: BTreeSet<String>,
    /// An attempt may have been counted whose run never began.
    pub(crate) attempts_without_run: bool,
    /// These are to fail, and no others may.
    pub(crate) failing: BTreeSet<String>,
    /// Runs of one job may overlap: the fault makes two processes believe that they hold it.
    pub(crate) overlap: bool,
    /// Jobs may still lie in the queues.
    pub(crate) waiting: bool,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Jobs that were pushed.
    pub(crate) pushed: usize,
    /// Jobs that ended well.
    pub(crate) done: usize,
    /// Jobs that are recorded as failed.
    pub(crate) failed: usize,
    /// Jobs that still lie in a queue.
    pub(crate) waiting: usize,
    /// Jobs that ran more than once.
    pub(crate) doubled: usize,
}

/// One run of one job as the journal tells it.
#[derive(Debug, Clone)]
struct Run {
    attempt: u64,
    pid: u32,
    start: u64,
    /// When it wrote its end.
    end: Option<u64>,
    /// When it was over for certain: its end, or that of its process.
    over: u64,
    /// Whether its process was killed while the job was in its hands.
    killed: bool,
    /// Whether it asked to be run again.
    released: bool,
}

/// A verdict may be on its way for so long after a run has ended, in milliseconds.
const UNWRITTEN: u64 = 1000;

impl Expect {
    /// Jobs in the hands of killed processes may have run again, and attempts may have been counted in vain.
    pub(crate) fn kills() -> Self {
        Self {
            again_after_kills: true,
            attempts_without_run: true,
            ..Self::default()
        }
    }

    /// These jobs fail, and no others.
    pub(crate) fn failing<'a>(mut self, uuids: impl IntoIterator<Item = &'a String>) -> Self {
        self.failing.extend(uuids.into_iter().cloned());
        self
    }

    /// Holds that all is as it must be, and counts.
    ///
    /// # Panics
    ///
    /// When a job is lost, in two places, recorded twice, or ran when it must not have.
    #[track_caller]
    pub(crate) fn check(&self, stage: &Stage) -> Tally {
        let pushed: BTreeSet<String> = stage.pushed().into_iter().collect();
        let runs = runs(stage);
        let lying = once(
            "in the queues",
            stage.lying().into_iter().map(|job| (job.uuid.clone(), job)),
        );
        let failed = once(
            "in failed_jobs",
            stage.failed().into_iter().map(|row| (row.uuid.clone(), row)),
        );
        let done: BTreeSet<&String> = runs
            .iter()
            .filter(|(_, runs)| runs.iter().any(|run| run.end.is_some()))
            .map(|(uuid, _)| uuid)
            .collect();
        for uuid in runs.keys().chain(lying.keys()).chain(failed.keys()) {
            assert!(pushed.contains(uuid), "{uuid} was never pushed");
        }
        for uuid in &pushed {
            let places = (lying.get(uuid), failed.contains_key(uuid));
            match places {
                (Some(_), true) => panic!("{uuid} is recorded as failed and still in a queue"),
                (Some(job), false) => assert!(self.waiting, "{uuid} still lies there: {job:?}"),
                (None, true) => assert!(
                    self.failing.contains(uuid),
                    "{uuid} has failed: {:?}",
                    failed.get(uuid)
                ),
                (None, false) => assert!(
                    done.contains(uuid),
                    "{uuid} is lost; its runs: {:?}",
                    runs.get(uuid)
                ),
            }
        }
        for uuid in &self.failing {
            assert!(
                failed.contains_key(uuid) || lying.contains_key(uuid),
                "{uuid} was to fail"
            );
        }
        for (uuid, runs) in &runs {
            self.check_runs(uuid, runs);
            self.check_attempts(uuid, runs, lying.get(uuid));
        }
        Tally {
            pushed: pushed.len(),
            done: done
                .iter()
                .filter(|uuid| !failed.contains_key(**uuid) && !lying.contains_key(**uuid))
                .count(),
            failed: failed.len(),
            waiting: lying.len(),
            doubled: runs.values().filter(|runs| runs.len() > 1).count(),
        }
    }

    #[track_caller]
    fn check_runs(&self, uuid: &String, runs: &[Run]) {
        for (run, next) in runs.iter().zip(runs.iter().skip(1)) {
            let allowed = self.again_any
                || self.again.contains(uuid)
                || self.given_back.contains(uuid)
                || self.failing.contains(uuid)
                || run.released
                || self.outlasted.contains(uuid)
                || self.again_after_kills && run.killed;
            assert!(allowed, "{uuid} ran again: {runs:#?}");
            assert!(
                self.overlap || self.outlasted.contains(uuid) || run.over <= next.start,
                "{uuid} ran twice at the same time: {runs:#?}"
            );
        }
    }

    /// Attempts are counted one by one, and each is a run.
    #[track_caller]
    fn check_attempts(&self, uuid: &str, runs: &[Run], lying: Option<&Lying>) {
        let given_back = self.given_back.contains(uuid);
        let mut last = 0;
        for run in runs {
            let next = last + 1;
            let right = run.attempt == next
                || given_back && run.attempt == last
                || self.attempts_without_run && run.attempt > next;
            assert!(right, "{uuid} was counted wrongly: {runs:#?}");
            last = run.attempt;
        }
        if let Some(job) = lying {
            let right = job.attempts == last
                || given_back && job.attempts + 1 == last
                || self.attempts_without_run && job.attempts > last;
            assert!(right, "{uuid} lies there with another count: {job:?}, {runs:#?}");
        }
    }
}

/// Each key once.
#[track_caller]
fn once<T>(place: &str, all: impl Iterator<Item = (String, T)>) -> BTreeMap<String, T> {
    let mut found = BTreeMap::new();
    for (uuid, value) in all {
        assert!(
            found.insert(uuid.clone(), value).is_none(),
            "{uuid} is twice {place}"
        );
    }
    found
}

/// The runs of every job, in the order of their starts.
fn runs(stage: &Stage) -> BTreeMap<String, Vec<Run>> {
    let (deaths, ends) = (stage.deaths(), stage.ends());
    let now = super::stage::now_ms();
    let mut runs: BTreeMap<String, Vec<Run>> = BTreeMap::new();
    for Note {
        event,
        uuid,
        attempt,
        pid,
        at,
        ..
    } in stage.notes()
    {
        let of_job = runs.entry(uuid).or_default();
        let is_it = |run: &&mut Run| run.pid == pid && run.attempt == attempt && run.end.is_none();
        match event.as_str() {
            "start" => of_job.push(Run {
                attempt,
                pid,
                start: at,
                end: None,
                over: deaths.get(&pid).or(ends.get(&pid)).copied().unwrap_or(now),
                killed: deaths.contains_key(&pid),
                released: false,
            }),
            "end" | "released" => {
                let run = of_job.iter_mut().rev().find(is_it);
                let run = run.expect("what ends has begun");
                run.end = Some(at).filter(|_| event == "end");
                run.over = at;
                run.released = event == "released";
                run.killed = deaths.get(&pid).is_some_and(|death| at + UNWRITTEN >= *death);
            }
            // It killed its own process, before or after its end; nothing else can tell.
            "died" => {
                let is_it = |run: &&mut Run| run.pid == pid && run.attempt == attempt;
                if let Some(run) = of_job.iter_mut().rev().find(is_it) {
                    run.over = at;
                    run.killed = true;
                }
            }
            // The failed hook of a job that has failed for good.
            _ => {}
        }
    }
    for runs in runs.values_mut() {
        runs.sort_by_key(|run| run.start);
    }
    runs
}
