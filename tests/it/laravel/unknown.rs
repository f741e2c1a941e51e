//! Jobs that only PHP can run, on a queue that both serve: PHP gets them, unharmed.

use harness::DEADLINE;
use serde_json::json;

use super::site::{Site, on_every_installation};

on_every_installation! {
    /// Classes without a native job, between jobs that we run.
    fn unknown_classes_go_to_php(site: Site) {
        let worker = site.consume(&[]);
        let sample = json!({"journal": site.lines_file()});
        for _ in 0..2 {
            site.laravel
                .push("RecordJob", &json!({"tag": "php"}), &["--bulk", "--count=2"]);
            site.laravel
                .push(r"Worker\Demo\Sample", &sample, &["--bulk", "--count=10"]);
        }
        // Nobody else is there: the others wait, uncounted.
        harness::wait_until(DEADLINE, || site.jobs("default").len() == 4);
        assert_eq!(site.counts("end").len(), 20);
        let waiting = site.jobs("default");
        assert!(
            waiting
                .iter()
                .all(|job| job.payload["displayName"] == r"App\Jobs\RecordJob")
        );

        let _php = site.php_consumes(&["--tries=1"]);
        let ran = site.laravel.journal().wait_for(4);
        assert_eq!(ran.len(), 4);
        assert!(ran.iter().all(|record| record.attempts == Some(1)), "{ran:#?}");
        site.wait_until_empty();
        assert!(site.failed().is_empty());
        drop(worker);
    }

    /// Native classes that carry what only the framework can finish: a chain, a unique lock, middleware.
    fn what_only_the_framework_can_finish_goes_to_php(site: Site) {
        let mut worker = site.consume(&[]);
        let push_unique = || site.laravel.push(r"Worker\Bench\Noop", &json!({}), &[]);
        site.laravel
            .php(&["push:chain", "chain", "--count=2", r"--head=Worker\Demo\Sample"]);
        push_unique();
        push_unique();
        let through = json!({"protected:tag": "through", "middleware": [r"App\Middleware\Noted"]});
        site.run(&["dispatch", r"Worker\Demo\Broken", "--data", &through.to_string()]);
        worker.wait_for_line("carries a chain", DEADLINE);
        worker.wait_for_line("holds a lock", DEADLINE);
        worker.wait_for_line("carries middleware", DEADLINE);
        let _php = site.php_consumes(&["--tries=1"]);
        let ran = site.laravel.journal().wait_for(5);
        let count = |job: &str| ran.iter().filter(|record| record.job == job).count();
        assert_eq!(count(r"Worker\Demo\Sample"), 1);
        assert_eq!(
            count(r"Worker\Bench\Noop"),
            1,
            "the second one found the lock taken"
        );
        assert_eq!(count(r"Worker\Demo\Broken"), 1);
        let records = site.laravel.journal().records();
        assert!(records.iter().any(|record| record.event == "through"));
        let links: Vec<_> = ran.iter().filter(|record| record.tag == "chain").collect();
        assert_eq!(links.iter().map(|record| record.n).collect::<Vec<_>>(), [0, 1]);
        assert!(ran.iter().all(|record| record.attempts == Some(1)), "{ran:#?}");
        site.wait_until_empty();

        // PHP has freed the lock.
        push_unique();
        site.laravel.journal().wait_for(6);
        site.wait_until_empty();
        assert!(site.failed().is_empty());
    }
}

/// When most of a queue is for PHP, it is left to PHP.
#[test]
fn a_burst_of_unknown_classes_goes_to_php() {
    let site = Site::redis();
    let _worker = site.consume(&[]);
    let _php = site.php_consumes(&["--tries=1"]);
    site.laravel
        .push("RecordJob", &json!({}), &["--bulk", "--count=100"]);
    let ran = site.laravel.journal().wait_for(100);
    assert_eq!(ran.len(), 100);
    assert!(ran.iter().all(|record| record.attempts == Some(1)));
    site.wait_until_empty();
    assert!(site.failed().is_empty());
}
