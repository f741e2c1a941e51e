//! Jobs that only PHP can run, on a queue that both serve: PHP gets them, unharmed.

use harness::DEADLINE;
use serde_json::json;

use super::site::Site;

/// Classes without a native job, between jobs that we run.
fn unknown_classes_go_to_php(site: &Site) {
    let worker = site.consume(&[]);
    let sample = json!({"journal": site.lines_file()});
    for _ in 0..2 {
        site.laravel
            .push("RecordJob", &json!({"tag": "php"}), &["--bulk", "--count=5"]);
        site.laravel
            .push(r"Worker\Demo\Sample", &sample, &["--bulk", "--count=10"]);
    }
    harness::wait_until(DEADLINE, || site.counts("end").len() == 20);
    // Nobody else is there: the others wait, uncounted.
    let waiting = site.jobs("default");
    assert_eq!(waiting.len(), 10);
    assert!(
        waiting
            .iter()
            .all(|job| job.payload["displayName"] == r"App\Jobs\RecordJob")
    );

    let _php = site.php_consumes(&["--tries=1"]);
    let ran = site.laravel.journal().wait_for(10);
    assert_eq!(ran.len(), 10);
    assert!(ran.iter().all(|record| record.attempts == Some(1)), "{ran:#?}");
    site.wait_until_empty();
    assert!(site.failed().is_empty());
    drop(worker);
}

#[test]
fn unknown_classes_in_redis_go_to_php() {
    unknown_classes_go_to_php(&Site::redis());
}

#[test]
fn unknown_classes_in_sqlite_go_to_php() {
    unknown_classes_go_to_php(&Site::sqlite());
}

/// Native classes that carry what only the framework can finish: a chain, and a unique lock.
fn what_only_the_framework_can_finish_goes_to_php(site: &Site) {
    let mut worker = site.consume(&[]);
    let push_unique = || site.laravel.push(r"Worker\Bench\Noop", &json!({}), &[]);
    site.laravel
        .php(&["push:chain", "chain", "--count=2", r"--head=Worker\Demo\Sample"]);
    push_unique();
    push_unique();
    worker.wait_for_line("carries a chain", DEADLINE);
    worker.wait_for_line("holds a lock", DEADLINE);
    let _php = site.php_consumes(&["--tries=1"]);
    let ran = site.laravel.journal().wait_for(4);
    let count = |job: &str| ran.iter().filter(|record| record.job == job).count();
    assert_eq!(count(r"Worker\Demo\Sample"), 1);
    assert_eq!(
        count(r"Worker\Bench\Noop"),
        1,
        "the second one found the lock taken"
    );
    let links: Vec<_> = ran.iter().filter(|record| record.tag == "chain").collect();
    assert_eq!(links.iter().map(|record| record.n).collect::<Vec<_>>(), [0, 1]);
    assert!(ran.iter().all(|record| record.attempts == Some(1)), "{ran:#?}");
    site.wait_until_empty();

    // PHP has freed the lock.
    push_unique();
    site.laravel.journal().wait_for(5);
    site.wait_until_empty();
    assert!(site.failed().is_empty());
}

#[test]
fn chains_and_locks_in_redis_go_to_php() {
    what_only_the_framework_can_finish_goes_to_php(&Site::redis());
}

#[test]
fn chains_and_locks_in_sqlite_go_to_php() {
    what_only_the_framework_can_finish_goes_to_php(&Site::sqlite());
}
