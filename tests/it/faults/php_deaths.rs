//! F2 with PHP: a PHP process or its worker dies between each pair of steps that a job passes; what is done twice
//! because of it is what the tables here say, and no more.

use std::collections::BTreeSet;

use harness::{DEADLINE, Daemon, Running, poll};
use serde_json::json;
use worker::failpoint::{HOOKED, RAN, RECORDED, RECORDING, RESERVED, SETTLED, SETTLING, STARTED};

use super::{Deed, Expect, Stage, how_many, on_every_application};
use crate::site::Job;

/// A step at which something dies, and how often each part of the job is done, that death included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    name: &'static str,
    /// Runs that began.
    runs: usize,
    /// Times that the next link of its chain was dispatched.
    chained: usize,
    /// Times that its batch counted it, as done or as failed.
    counted: usize,
}

const fn step(name: &'static str, runs: usize, chained: usize, counted: usize) -> Step {
    Step {
        name,
        runs,
        chained,
        counted,
    }
}

/// Deaths of the PHP process that runs the job.
const CHILD: [Step; 6] = [
    step("begun", 1, 1, 1),
    step("started", 2, 1, 1),
    step("ran", 2, 1, 1),
    step("chained", 2, 2, 1),
    step("counted", 2, 2, 1),
    step("processed", 2, 2, 1),
];

/// The same for a job that throws on each of its two attempts: an exception is no end yet, a failure is.
const CHILD_FAILING: [Step; 2] = [step("thrown", 2, 0, 1), step("failed", 1, 0, 1)];

/// Deaths of the worker. What PHP has done is not known before the verdict is written.
const WORKER: [Step; 5] = [
    step(RESERVED, 1, 1, 1),
    step(STARTED, 1, 1, 1),
    step(RAN, 2, 2, 1),
    step(SETTLING, 2, 2, 1),
    step(SETTLED, 1, 1, 1),
];

/// The same for a job that fails on its only attempt: it is told again when the failure is not settled, and its batch
/// counts it once all the same.
const WORKER_FAILING: [Step; 3] = [
    step(HOOKED, 1, 0, 1),
    step(RECORDING, 1, 0, 1),
    step(RECORDED, 1, 0, 1),
];

/// A batch is never done here, so that it only counts.
const PENDING: i64 = 1000;

/// A job with a chain of two links, in a batch of its own.
fn job_of(stage: &Stage, mark: &str) -> Job {
    let batch = format!(
        "insert into job_batches (id, name, total_jobs, pending_jobs, failed_jobs, failed_job_ids, options, created_at) \
         values ('{mark}', '', {PENDING}, {PENDING}, 0, '[]', 'a:0:{{}}', 0)"
    );
    stage.database().execute(&batch);
    let links = stage.path(mark);
    let links = links.to_str().expect("a temporary directory has a plain name");
    let next = Job::new(r"App\Jobs\JournalJob").set("journal", links);
    let job = stage.php_job(1).with("maxTries", 5).set("batchId", mark);
    // On a queue that a worker which is about to die does not serve.
    job.set("chained", json!([next.command()]))
        .set("chainQueue", "links")
}

/// A job that fails on its last attempt.
fn failing(job: Job, tries: usize) -> Job {
    job.with("maxTries", tries).set("fails", true)
}

/// What was done with the job of this mark.
fn done(stage: &Stage, name: &'static str, uuid: &str, mark: &str) -> Step {
    let starts = stage.notes().into_iter();
    let starts = starts.filter(|note| note.event == "start" && note.uuid == uuid);
    let links = std::fs::read_to_string(stage.path(mark)).unwrap_or_default();
    let count = format!("select {PENDING} - pending_jobs + failed_jobs from job_batches where id = '{mark}'");
    let counted = stage.database().number(&count);
    step(
        name,
        starts.count(),
        links.lines().filter(|line| line.starts_with("start ")).count(),
        usize::try_from(counted).expect("a batch counts up"),
    )
}

/// The worker on these queues, with so many PHP processes.
fn worker(stage: &Stage, queues: &[&str], processes: &str) -> Daemon {
    let mut args = vec!["run", "--concurrency", "4"];
    args.extend(queues.iter().flat_map(|queue| ["--queue", queue]));
    let worker = stage.worker(&args).env("WORKER_LEASE", "3");
    worker.env("WORKER_PHP_PROCESSES", processes)
}

/// Waits until all jobs are over, the links of chains too, and holds that each part was done as often as its step says.
#[track_caller]
fn check(stage: &Stage, worker: Running, jobs: &[(Step, String, Job)]) {
    stage.wait_until_empty(DEADLINE * 6);
    let seen = |(step, mark, job): &(Step, String, Job)| done(stage, step.name, job.uuid(), mark);
    poll(DEADLINE, || {
        jobs.iter()
            .all(|it| seen(it).chained >= it.0.chained)
            .then_some(())
    });
    stage.stop(worker);
    for it in jobs {
        assert_eq!(seen(it), it.0);
    }
}

/// The steps at which the worker dies on this store: all of them in the long form, two in the short one, so that
/// all stores together have all of them.
fn points(stage: &Stage) -> Vec<Step> {
    let short = match stage.kind() {
        "redis" => [RECORDING, RECORDED],
        "sqlite" => [RESERVED, SETTLING],
        "mariadb" => [STARTED, SETTLED],
        _ => [RAN, HOOKED],
    };
    // A database that keeps both records a failure and removes its job in one transaction.
    let is_passed = |step: &Step| stage.kind() == "redis" || ![RECORDING, RECORDED].contains(&step.name);
    let all = WORKER.into_iter().chain(WORKER_FAILING).filter(is_passed);
    let wanted = |step: &Step| how_many(0, 1) == 1 || short.contains(&step.name);
    all.filter(wanted).collect()
}

on_every_application! {
    fn a_php_process_may_die_at_any_step(stage: &Stage) {
        let deed = Deed::on(stage, "F2 PHP");
        let rounds = how_many(1, 10);
        let (mut jobs, mut failed) = (Vec::new(), BTreeSet::new());
        for round in 0..rounds {
            for step in CHILD.into_iter().chain(CHILD_FAILING) {
                let mark = format!("{}-{round}", step.name);
                let mut job = job_of(stage, &mark).set("diesAt", step.name);
                if CHILD_FAILING.contains(&step) {
                    job = failing(job, step.runs);
                    failed.insert(job.uuid().to_owned());
                }
                jobs.push((step, mark, job));
            }
        }
        let all: Vec<_> = jobs.iter().map(|(_, _, job)| job.clone()).collect();
        stage.push("default", &all);
        let worker = worker(stage, &["default", "links"], "2").env("DEATHS", "1");
        check(stage, crate::site::started(worker.spawn()), &jobs);
        let deaths = stage.noted("died");
        assert_eq!(deaths, jobs.len(), "each has died once");
        deed.done(deaths, &Expect::kills().failing(&failed).check(stage));
    }

    fn a_worker_with_php_may_die_at_any_step(stage: &Stage) {
        let deed = Deed::on(stage, "F2 PHP");
        let (mut expect, mut injected) = (Expect::kills(), 0);
        for round in 0..how_many(1, 5) {
            for step in points(stage) {
                let mark = format!("{}-{round}", step.name);
                let mut job = job_of(stage, &mark);
                let uuid = job.uuid().to_owned();
                if WORKER_FAILING.contains(&step) {
                    job = failing(job, 1);
                    expect.failing.insert(uuid.clone());
                }
                if step.runs > 1 {
                    expect.again.insert(uuid.clone());
                }
                stage.push("default", &[job.clone()]);
                let point = format!("{}=1*return->off", step.name);
                let mut dying = worker(stage, &["default"], "1").env("FAILPOINTS", point).spawn();
                stage.wait_for_death(&mut dying);
                injected += 1;
                let is_failed = stage.failed().iter().any(|row| row.uuid == uuid);
                let lies = stage.lying().iter().any(|lying| lying.uuid == uuid);
                assert!(lies || is_failed || step.name == SETTLED, "{}: it is nowhere", step.name);
                let next = worker(stage, &["default", "links"], "1");
                check(stage, crate::site::started(next.spawn()), &[(step, mark, job)]);
            }
        }
        deed.done(injected, &expect.check(stage));
    }
}
