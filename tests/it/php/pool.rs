//! The pool: it boots, replaces, reloads, backs off, and leaves nobody behind.

use harness::{Running, Signal, wait_until};
use serde_json::json;

use super::shop::{Copy, PATIENCE, Shop, descendants, runs};
use crate::http::{free_address, get};

/// The processes that ran jobs, in order and without repetition.
fn pids(shop: &Shop) -> Vec<u64> {
    let mut pids: Vec<_> = shop.records("ran").into_iter().map(|record| record.pid).collect();
    pids.dedup();
    pids
}

fn push_many(shop: &Shop, count: usize) {
    let count = format!("--count={count}");
    shop.site
        .laravel
        .push("RecordJob", &json!({}), &["--queue=default", &count, "--bulk"]);
}

#[test]
fn processes_are_replaced_after_so_many_jobs_and_after_classes_that_ask_for_it() {
    let shop = Shop::redis()
        .env("WORKER_PHP_PROCESSES", "1")
        .env("WORKER_PHP_MAX_JOBS", "20")
        .env("WORKER_PHP_ISOLATE", r"App\*\Misbehaving*");
    push_many(&shop, 200);
    let worker = shop.start(&[]);
    shop.wait_for("ran", 200);
    let used = pids(&shop).len();
    assert!(
        (2..=10).contains(&used),
        "{used} processes ran 200 jobs, each at least 20 but the last"
    );
    for _ in 0..3 {
        shop.push("MisbehavingJob", &json!({"how": "nothing"}));
    }
    let ran = shop.wait_for("ran", 203);
    let mut isolated: Vec<_> = ran
        .iter()
        .filter(|record| record.tag == "nothing")
        .map(|r| r.pid)
        .collect();
    isolated.dedup();
    assert_eq!(isolated.len(), 3, "each in a process of its own");
    wait_until(PATIENCE, || descendants(worker.pid()).len() == 1);
}

#[test]
fn a_process_that_has_grown_is_replaced() {
    let shop = Shop::sqlite().env("WORKER_PHP_PROCESSES", "1");
    let _worker = shop.start(&["--memory=1"]);
    for n in 0..3 {
        shop.push("RecordJob", &json!({"n": n}));
        shop.wait_for("ran", n + 1);
    }
    // The replacement comes first, so a job or two may still meet the old one.
    wait_until(PATIENCE, || {
        shop.push("RecordJob", &json!({}));
        pids(&shop).len() > 1
    });
}

/// After `kill -9` of the worker none of its processes is left.
#[test]
fn no_process_outlives_the_worker() {
    let shop = Shop::sqlite();
    shop.misbehave("sleeps");
    let mut worker = shop.start(&[]);
    shop.wait_for("started", 1);
    wait_until(PATIENCE, || descendants(worker.pid()).len() >= 2);
    let children = descendants(worker.pid());
    worker.kill();
    wait_until(PATIENCE, || children.iter().all(|pid| !runs(*pid)));
}

/// A stop lets the job end; a second one ends it and gives it back uncounted.
#[test]
fn a_stop_drains_and_a_second_one_gives_back() {
    let shop = Shop::redis();
    shop.push("SlowJob", &json!({"sleepMs": 500}));
    let mut worker = shop.start(&[]);
    shop.wait_for("started", 1);
    worker.signal(Signal::Term);
    assert_eq!(worker.wait_exit(PATIENCE), 0);
    assert_eq!(shop.records("ran").len(), 1);

    shop.misbehave("sleeps");
    let mut worker = shop.start(&[]);
    let started = shop.wait_for("started", 2);
    worker.signal(Signal::Term);
    worker.wait_for_line("Draining", PATIENCE);
    worker.signal(Signal::Term);
    assert_eq!(worker.wait_exit(PATIENCE), 1);
    let lying = shop.site.jobs("default");
    assert_eq!((lying.len(), lying[0].attempts), (1, 0));
    assert!(!runs(u32::try_from(started[1].pid).expect("a process id")));
}

/// Nothing boots: one error with PHP's own words, no attempt burned, native jobs go on, and all is well once
/// the application is.
#[test]
fn an_application_that_does_not_boot_costs_nothing_but_time() {
    let shop = Shop::redis();
    let copy = Copy::of(&shop.site.laravel.root());
    let shop = copy.shop();
    let boot = std::fs::read(copy.dir.join("bootstrap/app.php")).expect("it is there");
    copy.dir.write(
        "bootstrap/app.php",
        "<?php throw new LogicException('no such service');",
    );
    let journal = shop.site.lines_file();
    shop.push("RecordJob", &json!({"tag": "php"}));
    shop.site.laravel.push(
        r"Worker\Demo\Sample",
        &json!({"journal": journal}),
        &["--queue=default"],
    );
    let address = free_address();
    let mut worker = shop.worker(&[&format!("--http={address}")]).spawn();
    let line = worker.wait_for_line("No PHP process can start", PATIENCE);
    assert!(
        line.contains("LogicException: no such service in ") && line.contains("bootstrap/app.php:1"),
        "{line}"
    );
    shop.site.wait_for_event("end");
    wait_until(PATIENCE, || shop.site.jobs("default").len() == 1);
    let lying = shop.site.jobs("default");
    assert!(lying.iter().all(|job| job.attempts <= 1), "{lying:?}");
    let (status, body) = ready(&address);
    assert!(
        status == 503 && body.contains("no such service"),
        "{status}: {body}"
    );

    copy.dir.write("bootstrap/app.php", boot);
    worker.wait_for_line("boots in PHP again", PATIENCE);
    let ran = shop.wait_for("ran", 1);
    assert_eq!(ran[0].attempts, Some(1), "no attempt was burned");
    wait_until(PATIENCE, || ready(&address).0 == 200);
    let errors = worker
        .lines()
        .iter()
        .filter(|line| line.contains("No PHP process"))
        .count();
    assert_eq!(errors, 1, "said once");
}

/// `queue:restart` brings new code in; when that does not boot, the old processes go on and readiness says why.
#[test]
fn a_reload_keeps_the_old_processes_until_new_ones_are_up() {
    let shop = Shop::redis();
    let copy = Copy::of(&shop.site.laravel.root());
    let shop = copy.shop().env("WORKER_PHP_PROCESSES", "1");
    let address = free_address();
    let mut worker = shop.worker(&[&format!("--http={address}")]).spawn();
    shop.push("RecordJob", &json!({}));
    let first = shop.wait_for("ran", 1)[0].pid;

    copy.dir.write(".env", "BROKEN=two words\n");
    restart(&shop, &mut worker);
    let line = worker.wait_for_line("New PHP processes cannot start, the 1 that run go on", PATIENCE);
    assert!(line.contains("does not boot in PHP"), "{line}");
    shop.push("RecordJob", &json!({}));
    assert_eq!(shop.wait_for("ran", 2)[1].pid, first, "the old process goes on");
    let (status, body) = ready(&address);
    assert!(
        status == 503 && body.contains("1 old ones go on"),
        "{status}: {body}"
    );

    copy.dir.write(".env", "MENDED=1\n");
    worker.signal(Signal::Hup);
    worker.wait_for_line("boots in PHP again", PATIENCE);
    wait_until(PATIENCE, || !runs(u32::try_from(first).expect("a process id")));
    shop.push("RecordJob", &json!({}));
    assert_ne!(shop.wait_for("ran", 3)[2].pid, first);
    wait_until(PATIENCE, || ready(&address).0 == 200);
}

/// With `--on-restart=exit` a restart ends the worker, as it ends `queue:work`.
#[test]
fn a_restart_may_end_the_worker() {
    let shop = Shop::redis();
    let mut worker = shop.start(&["--on-restart=exit"]);
    shop.push("RecordJob", &json!({}));
    shop.wait_for("ran", 1);
    shop.site.laravel.php(&["queue:restart"]);
    assert_eq!(worker.wait_exit(PATIENCE), 0);
}

/// Calls `queue:restart` until the worker has heard of it: it may not have looked at the value before yet.
fn restart(shop: &Shop, worker: &mut Running) {
    wait_until(PATIENCE, || {
        shop.site.laravel.php(&["queue:restart"]);
        worker
            .lines()
            .iter()
            .any(|line| line.contains("replacing the PHP processes"))
    });
}

/// What `/readyz` says.
fn ready(address: &str) -> (u16, String) {
    let (status, body) = get(address, "/readyz");
    (status, body.to_string())
}
