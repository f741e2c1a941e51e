//! Short leases here, `retry_after` there: neither side takes what the other still works on.

use harness::DEADLINE;
use serde_json::json;

use super::site::{Site, on_every_installation};

const SLOW: &str = r"Worker\Demo\Slow";

on_every_installation! {
    /// PHP holds a job for longer than our lease, which is shorter than its own `retry_after`.
    fn a_job_that_php_holds_stays_there(site: Site) {
        let site = site.env("WORKER_LEASE", "3s");
        let slow = json!({"sleepMs": 4500, "journal": site.lines_file()});
        site.laravel.push(SLOW, &slow, &[]);
        let mut php = site.php_consumes(&["--max-jobs=1"]);
        let held = site.wait_for_event("start");

        let _worker = site.consume(&[]);
        assert_eq!(php.wait_exit(DEADLINE), 0);
        assert_eq!(site.counts("start").into_values().collect::<Vec<_>>(), [1]);
        assert_eq!(site.wait_for_event("end").uuid, held.uuid);
        assert_eq!(site.laravel.journal().ran().len(), 1, "PHP ended it");
        site.wait_until_empty();

        // The worker was awake all the time.
        let sample = json!({"journal": site.lines_file()});
        site.laravel.push(r"Worker\Demo\Sample", &sample, &[]);
        site.wait_until_empty();
        assert_eq!(site.counts("end").len(), 2);
        assert_eq!(site.laravel.journal().ran().len(), 1);
    }

    /// We hold a job for longer than our lease and than the `retry_after` of PHP.
    fn a_job_that_we_hold_stays_here(site: Site) {
        let site = site.env("WORKER_LEASE", "3s").retry_after(4);
        let slow = json!({"sleepMs": 5200, "journal": site.lines_file()});
        site.laravel.push(SLOW, &slow, &[]);
        let _worker = site.consume(&["--max-jobs=1"]);
        let held = site.wait_for_event("start");

        let _php = site.php_consumes(&[]);
        site.laravel.push("RecordJob", &json!({"tag": "early"}), &[]);
        site.laravel.journal().wait_for(1);
        let done = site.wait_for_event("end");
        assert_eq!(done.uuid, held.uuid);
        site.wait_until_empty();
        assert_eq!(site.lines().len(), 2, "{:?}", site.lines());

        // PHP was awake all the time.
        site.laravel.push("RecordJob", &json!({"tag": "late"}), &[]);
        let ran = site.laravel.journal().wait_for(2);
        let tags: Vec<_> = ran.iter().map(|record| record.tag.as_str()).collect();
        assert_eq!(tags, ["early", "late"]);
        assert!(site.failed().is_empty());
    }

    /// What a PHP worker left behind when it was killed comes back here, once its `retry_after` is over.
    fn a_job_of_a_killed_php_worker_comes_back(site: Site) {
        let site = site.retry_after(2);
        let slow = json!({"sleepMs": 3000, "journal": site.lines_file()});
        site.laravel.push(SLOW, &slow, &[]);
        let mut php = site.php_consumes(&[]);
        site.wait_for_event("start");
        php.kill();
        let _worker = site.consume(&["--tries=2"]);
        let done = site.wait_for_event("end");
        assert_eq!(done.attempt, 2);
        assert!(site.laravel.journal().ran().is_empty());
        site.wait_until_empty();
    }
}
