//! Eight workers on one table, four of PHP and four of ours: every job runs once, and nobody stumbles.

use harness::{DEADLINE, Running, Signal, poll};
use serde_json::json;

use super::site::Site;

const JOBS: usize = 1500;

/// PHP's `retry_after` is 90 s, so whatever came back within the test would have been taken from its holder.
fn eight_workers_share_a_table(site: Site) {
    let site = site.retry_after(90);
    site.run(&["migrate"]);
    let sample = json!({"workMs": 1, "journal": site.lines_file()});
    let count = format!("--count={JOBS}");
    site.laravel
        .push(r"Worker\Demo\Sample", &sample, &["--bulk", &count]);
    let mut workers: Vec<Running> = (0..4).map(|_| site.php_consumes(&[])).collect();
    for php in &mut workers {
        php.wait_for_line("Processed:", DEADLINE);
    }
    workers.extend((0..4).map(|_| site.consume(&["--concurrency=3"])));
    let all = poll(DEADLINE * 3, || (site.counts("end").len() == JOBS).then_some(()));
    assert!(all.is_some(), "only {} have ended", site.counts("end").len());
    site.wait_until_empty();
    let twice: Vec<_> = (site.counts("start").into_iter())
        .filter(|(_, count)| *count != 1)
        .collect();
    assert!(twice.is_empty(), "ran more than once: {twice:?}");
    assert!(site.lines().iter().all(|line| line.attempt == 1));
    let by_php = site.laravel.journal().ran().len();
    assert!((1..JOBS).contains(&by_php), "{by_php} jobs were run by PHP");
    assert!(site.failed().is_empty());
    for worker in &mut workers {
        worker.signal(Signal::Term);
        assert_eq!(worker.wait_exit(DEADLINE), 0);
        let said = worker.lines();
        let troubled = said.iter().find(|line| {
            let line = line.to_lowercase();
            line.contains("deadlock") || line.contains("lock wait") || line.contains(" warn ")
        });
        assert_eq!(troubled, None, "a worker said so");
    }
    let log = site.laravel.log();
    assert!(!log.contains("local.ERROR"), "{log}");
}

#[test]
fn eight_workers_share_a_table_in_mariadb() {
    eight_workers_share_a_table(Site::mariadb());
}

#[test]
fn eight_workers_share_a_table_in_postgres() {
    eight_workers_share_a_table(Site::postgres());
}
