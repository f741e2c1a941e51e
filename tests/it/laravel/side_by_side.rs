//! A PHP worker and this worker on one queue: every job runs once.

use harness::DEADLINE;
use serde_json::json;

use super::site::Site;

const JOBS: usize = 1000;

fn each_job_runs_once(site: &Site) {
    let sample = json!({"workMs": 2, "journal": site.lines_file()});
    let count = format!("--count={JOBS}");
    site.laravel
        .push(r"Worker\Demo\Sample", &sample, &["--bulk", &count]);
    let mut pushed: Vec<_> = site
        .jobs("default")
        .iter()
        .map(super::site::Lying::uuid)
        .collect();
    pushed.sort();
    assert_eq!(pushed.len(), JOBS);

    let mut php = site.php_consumes(&[]);
    php.wait_for_line("Processed:", DEADLINE);
    let mut worker = site.consume(&["--concurrency=2"]);
    site.wait_until_empty();
    for event in ["start", "end"] {
        let counts = site.counts(event);
        let twice: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
        assert!(twice.is_empty(), "more than one {event}: {twice:?}");
        assert_eq!(counts.into_keys().collect::<Vec<_>>(), pushed, "{event}");
    }
    assert!(site.lines().iter().all(|line| line.attempt == 1));
    let by_php = site.laravel.journal().ran().len();
    assert!((1..JOBS).contains(&by_php), "{by_php} jobs were run by PHP");
    assert!(site.failed().is_empty());
    worker.signal(harness::Signal::Term);
    assert_eq!(worker.wait_exit(DEADLINE), 0);
}

#[test]
fn a_thousand_jobs_in_redis_run_once_each() {
    each_job_runs_once(&Site::redis());
}

#[test]
fn a_thousand_jobs_in_sqlite_run_once_each() {
    each_job_runs_once(&Site::sqlite());
}
