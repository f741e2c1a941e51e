//! While jobs are short a few are reserved for a process that is about to be free; one that is not free after
//! all holds nothing up.

use harness::{poll, wait_until};
use serde_json::json;

use super::shop::{PATIENCE, Shop};

/// The jobs behind a long one go back uncounted while it runs, and another worker runs them.
fn jobs_behind_a_long_one_go_to_others(shop: Shop) {
    let shop = shop.env("WORKER_PHP_PROCESSES", "1");
    let push = |class: &str, count: usize| {
        let count = format!("--count={count}");
        let data = json!({"tag": "next"});
        let data = if class == "NoopJob" { json!({}) } else { data };
        let queue = &shop.site.laravel;
        queue.push(class, &data, &["--queue=default", &count, "--bulk"]);
    };
    push("NoopJob", 300);
    shop.push("MisbehavingJob", &json!({"how": "nothing", "ms": 170_000}));
    push("RecordJob", 3);
    let args = ["--timeout=600", "-v"];
    let busy = shop.start(&args);
    shop.wait_for("started", 1);
    let held = || shop.site.jobs("default").into_iter().filter(|job| job.reserved);
    let others_wait = poll(PATIENCE, || (held().count() == 1).then_some(()));
    assert!(others_wait.is_some(), "held: {:#?}", held().collect::<Vec<_>>());
    let waiting: Vec<_> = shop
        .site
        .jobs("default")
        .into_iter()
        .filter(|job| !job.reserved)
        .collect();
    assert!(waiting.len() >= 3, "{waiting:#?}");
    assert!(
        waiting.iter().all(|job| job.attempts == 0),
        "uncounted: {waiting:#?}"
    );
    // They stay where they are: the worker whose process is busy does not take them again.
    let lines = busy.lines();
    let returned = |line: &&String| line.contains("came free in time") && line.contains("RecordJob");
    assert!(lines.iter().filter(returned).count() <= 6, "{lines:#?}");

    let _idle = shop.start(&args);
    let ran = shop.wait_for("ran", 3);
    assert!(
        ran.iter()
            .all(|record| record.tag == "next" && record.attempts == Some(1)),
        "{ran:#?}"
    );
    wait_until(PATIENCE, || shop.site.jobs("default").len() == 1);
    assert_eq!(held().count(), 1, "the long one still runs");
    assert!(shop.site.failed().is_empty());
}

#[test]
fn jobs_behind_a_long_one_go_to_others_on_redis() {
    jobs_behind_a_long_one_go_to_others(Shop::redis());
}

#[test]
fn jobs_behind_a_long_one_go_to_others_on_sqlite() {
    jobs_behind_a_long_one_go_to_others(Shop::sqlite());
}

/// One process runs short jobs in their order, although some of them wait for it together.
#[test]
fn short_jobs_keep_their_order() {
    let shop = Shop::redis().env("WORKER_PHP_PROCESSES", "1");
    let args = ["--queue=default", "--count=300", "--bulk"];
    shop.site.laravel.push("RecordJob", &json!({}), &args);
    let _worker = shop.start(&[]);
    let ran = shop.wait_for("ran", 300);
    let back = ran.windows(2).filter(|pair| pair[1].n < pair[0].n).count();
    // A machine that stands still for 100 ms sends a few jobs back to the head of the queue.
    assert!(
        back <= 3,
        "{:?}",
        ran.iter().map(|record| record.n).collect::<Vec<_>>()
    );
}

/// A job that is not short: no more jobs are held than there are processes.
#[test]
fn jobs_that_take_their_time_are_reserved_one_for_each_process() {
    let shop = Shop::redis().env("WORKER_PHP_PROCESSES", "2");
    let data = json!({"how": "nothing", "ms": 30});
    shop.site.laravel.push(
        "MisbehavingJob",
        &data,
        &["--queue=default", "--count=60", "--bulk"],
    );
    let _worker = shop.start(&[]);
    let mut most = 0;
    wait_until(PATIENCE * 2, || {
        let jobs = shop.site.jobs("default");
        most = most.max(jobs.iter().filter(|job| job.reserved).count());
        jobs.is_empty()
    });
    // A verdict may be on its way to the store while the next job is taken.
    assert!((1..=4).contains(&most), "{most} held");
    assert_eq!(shop.records("ran").len(), 60);
}
