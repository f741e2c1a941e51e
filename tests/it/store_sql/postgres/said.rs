//! The built worker on PostgreSQL: what it does with the application's variables, and what it says.

use harness::{DEADLINE, Daemon, PgBouncer, PostgresDatabase, Running, Signal, wait_until};

use crate::site::WORKER;

const NOOP: &str = r"Worker\Bench\Noop";

/// A command on a database, with the cache there too.
fn worker(database: &PostgresDatabase, args: &[&str]) -> Daemon {
    let args = args.iter().copied();
    Daemon::new(WORKER)
        .args(args)
        .envs(database.env())
        .env("CACHE_STORE", "database")
}

fn dispatch(worker: &Daemon, jobs: usize) {
    for _ in 0..jobs {
        worker.run_to_end().success();
    }
}

/// How many lines hold these words.
fn said(worker: &Running, words: &str) -> usize {
    worker.lines().iter().filter(|line| line.contains(words)).count()
}

fn stop(mut worker: Running) {
    worker.signal(Signal::Term);
    assert_eq!(worker.wait_exit(DEADLINE), 0);
}

/// Tables are made, jobs run, an unknown command fails with its record, and `status` counts: all by the
/// variables of the application.
#[test]
fn a_worker_runs() {
    let database = PostgresDatabase::empty();
    worker(&database, &["migrate", "--indexes", "--notify"])
        .run_to_end()
        .success();
    dispatch(&worker(&database, &["dispatch", NOOP]), 3);
    dispatch(&worker(&database, &["dispatch", r"App\Jobs\Unknown"]), 1);
    let run = ["run", "--stop-when-empty", "--on-unknown", "fail"];
    worker(&database, &run).run_to_end().success();
    assert_eq!((database.jobs().len(), database.failed_jobs().len()), (0, 1));
    worker(&database, &["retry", "all"]).run_to_end().success();
    assert_eq!((database.jobs().len(), database.failed_jobs().len()), (1, 0));
    let status = worker(&database, &["status", "--json"]).run_to_end();
    assert!(status.success().contains("\"pending\": 1"), "{}", status.stdout);
}

/// A worker behind a pooler of transactions says so, once; jobs run all the same.
#[test]
fn a_pooler_is_said_once() {
    let database = PostgresDatabase::temp();
    worker(&database, &["migrate", "--notify"]).run_to_end().success();
    let pooler = PgBouncer::start(&database, &["pool_mode = transaction", "default_pool_size = 3"]);
    let port = pooler.port().to_string();
    let mut running = worker(&database, &["run", "--sleep", "0.2"])
        .env("DB_PORT", &port)
        .spawn();
    running.wait_for_line("behind a connection pooler", DEADLINE);
    dispatch(&worker(&database, &["dispatch", NOOP]).env("DB_PORT", &port), 2);
    wait_until(DEADLINE, || database.jobs().is_empty());
    assert_eq!(said(&running, "behind a connection pooler"), 1);
    assert_eq!(said(&running, "Failed") + said(&running, "prepared statement"), 0);
    stop(running);
}

/// A reservation that takes long for want of the index has the worker say what makes it fast, once.
#[test]
fn a_slow_table_is_said() {
    let database = PostgresDatabase::temp();
    worker(&database, &["migrate"]).run_to_end().success();
    // What makes it slow here is a trigger; the advice follows from the size and the missing index.
    database.execute(
        "insert into jobs (queue, payload, attempts, available_at, created_at) \
         select 'elsewhere', repeat('x', 1000), 0, 0, 0 from generate_series(1, 10000); \
         create function slow() returns trigger language plpgsql as 'begin perform pg_sleep(0.7); return new; end'; \
         create trigger slow before update on jobs for each row execute function slow()",
    );
    dispatch(&worker(&database, &["dispatch", NOOP]), 2);
    let mut running = worker(&database, &["run", "--concurrency", "1"]).spawn();
    let line = running.wait_for_line("worker migrate --indexes", DEADLINE);
    assert!(line.contains("the table jobs has no index for it"), "{line}");
    let left = "select count(*) from jobs where queue <> 'elsewhere'";
    wait_until(DEADLINE, || database.number(left) == 0);
    assert_eq!(said(&running, "worker migrate --indexes"), 1);
    stop(running);
}
