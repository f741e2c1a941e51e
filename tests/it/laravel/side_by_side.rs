//! A PHP worker and this worker on one queue: every job runs once.

use std::collections::BTreeSet;

use harness::{DEADLINE, Signal, poll};
use serde_json::json;

use super::site::{Lying, Site};

const JOBS: usize = 1000;

/// Lets both work off a thousand jobs, and returns the uuids of those that still lie on the queue.
fn each_job_runs_once(site: &Site) -> BTreeSet<String> {
    let sample = json!({"workMs": 2, "journal": site.lines_file()});
    let count = format!("--count={JOBS}");
    site.laravel
        .push(r"Worker\Demo\Sample", &sample, &["--bulk", &count]);
    let pushed: BTreeSet<_> = site.jobs("default").iter().map(Lying::uuid).collect();
    assert_eq!(pushed.len(), JOBS);

    let mut php = site.php_consumes(&[]);
    php.wait_for_line("Processed:", DEADLINE);
    let mut worker = site.consume(&[]);
    let all = poll(DEADLINE * 2, || (site.counts("end").len() == JOBS).then_some(()));
    assert!(all.is_some(), "only {} have ended", site.counts("end").len());
    for event in ["start", "end"] {
        let counts = site.counts(event);
        let twice: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
        assert!(twice.is_empty(), "more than one {event}: {twice:?}");
        assert_eq!(counts.into_keys().collect::<BTreeSet<_>>(), pushed, "{event}");
    }
    assert!(site.lines().iter().all(|line| line.attempt == 1));
    let by_php = site.laravel.journal().ran().len();
    assert!((1..JOBS).contains(&by_php), "{by_php} jobs were run by PHP");
    assert!(site.failed().is_empty());
    for process in [&mut worker, &mut php] {
        process.signal(Signal::Term);
        assert_eq!(process.wait_exit(DEADLINE), 0);
    }
    site.jobs("default").iter().map(Lying::uuid).collect()
}

#[test]
fn a_thousand_jobs_in_redis_run_once_each() {
    assert!(each_job_runs_once(&Site::redis()).is_empty());
}

#[test]
fn a_thousand_jobs_in_mariadb_run_once_each() {
    assert!(each_job_runs_once(&Site::mariadb()).is_empty());
}

#[test]
fn a_thousand_jobs_in_postgres_run_once_each() {
    assert!(each_job_runs_once(&Site::postgres()).is_empty());
}

/// SQLite refuses the write of a transaction that began with a read when someone else writes meanwhile, and
/// Laravel's transactions begin so: now and then a PHP worker cannot delete what it has run. That row stays
/// reserved; all others are gone.
#[test]
fn a_thousand_jobs_in_sqlite_run_once_each() {
    let site = Site::sqlite();
    let left = each_job_runs_once(&site);
    let log = site.laravel.log();
    let refused = log.matches("local.ERROR").count();
    assert_eq!(
        refused,
        log.matches("local.ERROR: SQLSTATE[HY000]: General error: 5 database is locked")
            .count()
    );
    let by_php: BTreeSet<_> = site
        .laravel
        .journal()
        .ran()
        .into_iter()
        .filter_map(|record| record.uuid)
        .collect();
    assert!(left.is_subset(&by_php), "left by us: {left:?}");
    assert!(
        left.len() <= refused && refused <= 5,
        "{} left, {refused} refused",
        left.len()
    );
}
