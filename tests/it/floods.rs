//! What a fault leaves in the log: a line when it begins, a line when it is over, and never a flood.

mod servers;

use harness::{DEADLINE, Running, Stream, wait_until};
use jiff::Timestamp;
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};

use crate::site::{Job, Queue, Site, log_line, on_every_site};

/// The most lines about faults in any second.
const MOST: usize = 10;

/// Makes the worker's own tables, whose absence is a line too.
fn prepare(site: &Site) {
    site.command(&["migrate"]).success();
}

/// The lines of a worker's log that are not about single jobs.
fn faults(worker: &Running) -> Vec<Value> {
    let lines = worker.lines_of(Stream::Err).into_iter();
    lines
        .map(|line| log_line(&line))
        .filter(|line| line["level"] != "INFO" && line["target"] != "worker::app::report")
        .collect()
}

/// How many lines of the log contain a text.
fn count(worker: &Running, text: &str) -> usize {
    let lines = worker.lines_of(Stream::Err).into_iter();
    lines.filter(|line| line.contains(text)).count()
}

/// How many lines of this kind were left out, as the log says.
fn left_out(worker: &Running, text: &str) -> u64 {
    let lines = faults(worker).into_iter();
    let about = lines.filter(|line| line["message"].to_string().contains(text));
    about.filter_map(|line| line["left_out"].as_u64()).sum()
}

/// Holds that no second had more lines about faults than the log may have; returns all of them.
#[track_caller]
fn assert_calm(worker: &Running) -> Vec<Value> {
    let faults = faults(worker);
    let at = |line: &Value| {
        let text = line["timestamp"].as_str().expect("a line has a timestamp");
        let at: Timestamp = text.parse().expect("a timestamp can be read");
        at.as_millisecond()
    };
    let times: Vec<_> = faults.iter().map(at).collect();
    for time in &times {
        let second = times.iter().filter(|other| (*time..time + 1000).contains(other));
        assert!(second.count() <= MOST, "{faults:#?}");
    }
    faults
}

/// Five lanes with jobs in their hands, the writers and the renewal of leases all miss it: that is one fault.
#[test]
fn a_redis_that_goes_and_comes_is_two_lines() {
    let mut site = Site::own_redis();
    let queues = ["high", "default", "einvoice", "migration", "background"];
    for queue in queues {
        site.push_all(queue, &site.slow(4000).times(2));
        site.push_all(queue, &site.slow(10).times(20));
    }
    let worker = site
        .worker(&["run", "--concurrency", "2"])
        .env("WORKER_LEASE", "12");
    let mut worker = worker.spawn();
    site.wait_for_note("start", 10);
    site.server().kill();
    // They end while there is nobody to tell.
    site.wait_for_note("end", 10);
    site.server().restart();
    worker.wait_for_line("The store works again after ", DEADLINE);
    queues.iter().for_each(|queue| site.wait_for_end_of(queue));
    worker.wait_for_line("The cache store answers again", DEADLINE);

    let faults = assert_calm(&worker);
    assert_eq!(count(&worker, "trying again until it works"), 1, "{faults:#?}");
    assert_eq!(count(&worker, "The store works again"), 1, "{faults:#?}");
    assert_eq!(faults.len(), 3, "these, and one about the cache: {faults:#?}");
    assert_eq!(site.noted("start").len(), 110, "each ran once");
}

/// Another program keeps the file locked for longer than SQLite's own patience.
#[test]
fn a_locked_sqlite_file_is_two_lines() {
    let site = Site::sqlite();
    prepare(&site);
    site.push_all("default", &site.slow(300).times(4));
    let mut worker = site.start(&["run"]);
    site.wait_for_note("start", 4);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    let url = format!("sqlite://{}", site.database().path().display());
    let mut other = runtime
        .block_on(SqliteConnection::connect(&url))
        .expect("the file can be opened");
    let run = |other: &mut SqliteConnection, sql: &'static str| {
        let done = runtime.block_on(async { sqlx::query(sql).execute(other).await });
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    };
    run(&mut other, "PRAGMA busy_timeout = 10000");
    run(&mut other, "BEGIN EXCLUSIVE");
    worker.wait_for_line("trying again until it works", DEADLINE * 2);
    run(&mut other, "COMMIT");
    worker.wait_for_line("The store works again after ", DEADLINE * 2);
    site.wait_for_end_of("default");

    let faults = assert_calm(&worker);
    assert_eq!(count(&worker, "trying again until it works"), 1, "{faults:#?}");
    assert_eq!(count(&worker, "The store works again"), 1, "{faults:#?}");
    assert!(faults.len() <= 4, "these, and two about the cache: {faults:#?}");
}

on_every_site! {
    fn failures_that_cannot_be_recorded_are_two_lines(site: &Site) {
        prepare(site);
        site.database().execute("drop table failed_jobs");
        site.push_all("default", &Job::broken().times(200));
        let mut worker = site.start(&["run", "--queue", "default", "--concurrency", "50"]);
        worker.wait_for_line("the jobs stay reserved until this is mended: ", DEADLINE);
        let mut other = site.start(&["run", "--queue", "high"]);
        let good = site.push("high", &site.slow(0));
        site.wait_for_job(&good);
        other.kill();
        assert_eq!(site.queue("default").len(), 200, "none is lost");
        site.command(&["migrate"]).success();
        worker.wait_for_line("The store of failed jobs works again after ", DEADLINE);
        site.wait_for_failed(200);
        let faults = assert_calm(&worker);
        assert_eq!(faults.len(), 2, "{faults:#?}");
    }

    fn a_flood_of_one_unknown_class_is_a_line_or_two(site: &Site) {
        prepare(site);
        site.push_all("default", &Job::new(r"App\Jobs\Elsewhere").times(5000));
        let mut worker = site.start(&["run", "--queue", "default", "--concurrency", "100"]);
        worker.wait_for_line("leaving them to other workers, 10 s at a time", DEADLINE);
        site.wait_for_queue("default", |queue: &Queue| queue.reserved.is_empty());
        let faults = assert_calm(&worker);
        assert_eq!(faults.len(), 2, "the class, and the lane: {faults:#?}");
    }

    /// Each class is said once, but not all at once.
    fn a_flood_of_many_unknown_classes_is_said_in_pieces(site: &Site) {
        let class = |number: u32| Job::new(&format!(r"App\Jobs\Elsewhere{number}"));
        let jobs: Vec<_> = (0..500).map(class).collect();
        site.push_all("default", &jobs);
        let mut worker = site.start(&["run", "--queue", "default", "--concurrency", "100"]);
        worker.wait_for_line("leaving them to other workers, 10 s at a time", DEADLINE);
        let line = worker.wait_for_line("leaving them to other workers", DEADLINE);
        assert!(line.len() < 2000, "{line}");
        wait_until(DEADLINE * 2, || count(&worker, "are not run here") > 5);
        let faults = assert_calm(&worker);
        assert!(faults.len() < 15, "{faults:#?}");
    }

    /// A job that fails is no fault of the worker: one line each, as with Laravel.
    fn jobs_that_fail_are_a_line_each(site: &Site) {
        prepare(site);
        site.push_all("default", &Job::broken().times(2000));
        let worker = site.start(&["run", "--queue", "default", "--concurrency", "50"]);
        wait_until(DEADLINE * 2, || count(&worker, "for good after attempt 1") == 2000);
        site.wait_for_failed(2000);
        let faults = faults(&worker);
        assert!(faults.is_empty(), "{faults:#?}");
    }

    /// Somebody empties the store while jobs run: their results are void, which is said of some, and counted.
    fn a_store_that_was_emptied_is_no_flood(site: &Site) {
        let jobs = site.slow(2500).times(200);
        site.push_all("default", &jobs);
        let args = ["run", "--queue", "default", "--concurrency", "200"];
        let mut worker = site.worker(&args).env("WORKER_LEASE", "600").spawn();
        site.wait_for_note("start", 200);
        match site.client() {
            Some(redis) => redis.remove_all(),
            None => site.database().execute("delete from jobs"),
        }
        worker.wait_for_line("more lines like this one were left out: The result of", DEADLINE);
        let said = count(&worker, "is void: its lease was lost") as u64;
        let summaries = count(&worker, "were left out: The result of") as u64;
        assert_eq!(said - summaries + left_out(&worker, "The result of"), 200, "none is kept from the reader");
        assert_calm(&worker);
    }

    /// The same, seen by the renewal of leases: one line for all.
    fn lost_leases_are_one_line(site: &Site) {
        prepare(site);
        site.push_all("default", &site.slow(60_000).times(100));
        let args = ["run", "--queue", "default", "--concurrency", "100"];
        let mut worker = site.worker(&args).env("WORKER_LEASE", "3").spawn();
        site.wait_for_note("start", 100);
        match site.client() {
            Some(redis) => redis.remove_all(),
            None => site.database().execute("delete from jobs"),
        }
        let line = log_line(&worker.wait_for_line("Lost 100 leases, of ", DEADLINE));
        assert_eq!(line["count"], 100, "{line}");
        let faults = assert_calm(&worker);
        assert_eq!(faults.len(), 1, "{faults:#?}");
    }
}
