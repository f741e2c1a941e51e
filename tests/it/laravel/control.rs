//! Restart, pause and maintenance mode go through the application's cache and files, both ways.

use std::path::PathBuf;

use harness::DEADLINE;
use serde_json::json;

use super::site::{Site, on_every_installation};

const SAMPLE: &str = r"Worker\Demo\Sample";

on_every_installation! {
    /// `php artisan queue:restart` ends this worker, after its present job.
    fn laravel_restarts_us(site: Site) {
        let slow = json!({"sleepMs": 3000, "journal": site.lines_file()});
        let mut worker = site.consume(&[]);
        site.laravel.push(r"Worker\Demo\Slow", &slow, &[]);
        site.wait_for_event("start");
        site.laravel.php(&["queue:restart"]);
        worker.wait_for_line("queue:restart was called", DEADLINE);
        assert_eq!(worker.wait_exit(DEADLINE), 0);
        assert_eq!(site.counts("end").len(), 1);
        site.wait_until_empty();

        // The next one does not take the old signal for a new one.
        site.run(&["run", "--queue=default", "--stop-when-empty"]);
        site.laravel
            .push(SAMPLE, &json!({"journal": site.lines_file()}), &[]);
        site.consume_one();
        assert_eq!(site.counts("end").len(), 2);
    }

    /// `worker restart` ends a PHP worker.
    fn we_restart_laravel(site: Site) {
        let mut php = site.php_consumes(&[]);
        site.laravel.push("RecordJob", &json!({}), &[]);
        site.laravel.journal().wait_for(1);
        site.run(&["restart"]);
        assert_eq!(php.wait_exit(DEADLINE), 0);
    }

    /// A paused queue is left alone, other queues are served; also by a worker that starts later.
    fn a_paused_queue_is_held(site: Site) {
        let push = |queue: &str| {
            let queue = format!("--queue={queue}");
            site.laravel
                .push(SAMPLE, &json!({"journal": site.lines_file()}), &[&queue]);
        };
        let mut first = site.consume(&["--queue=high"]);
        site.run(&["pause", "default"]);
        first.wait_for_line("Queue default was paused", DEADLINE);
        push("default");
        push("high");
        assert_eq!(site.wait_for_event("end").queue, "high");
        drop(first);

        let mut second = site.consume(&["--queue=high"]);
        second.wait_for_line("Queue default was paused", DEADLINE);
        push("high");
        harness::wait_until(DEADLINE, || site.counts("end").len() == 2);
        assert!(site.lines().iter().all(|line| line.queue == "high"));
        assert_eq!(site.jobs("default").len(), 1);

        site.run(&["resume", "default"]);
        site.wait_until_empty();
        assert_eq!(site.counts("end").len(), 3);
    }
}

/// `php artisan down` holds all queues, for workers that run and for those that start; `--force` does not
/// care, and `php artisan up` lets go.
#[test]
fn maintenance_mode_holds_us_unless_forced() {
    let mut site = Site::sqlite();
    // The worker looks for the file below the directory that holds `artisan`.
    let root: PathBuf = site.laravel.storage().with_file_name("");
    std::fs::write(root.join("artisan"), "").expect("the directory is ours");
    site = site.env("WORKER_LARAVEL_PATH", &root.display().to_string());
    let push = |n: usize| {
        site.laravel.push(
            SAMPLE,
            &json!({"journal": site.lines_file()}),
            &["--bulk", &format!("--count={n}")],
        )
    };
    let mut running = site.consume(&[]);
    site.laravel.php(&["down"]);
    running.wait_for_line("maintenance mode", DEADLINE);
    push(20);
    let mut starting = site.consume(&[]);
    starting.wait_for_line("maintenance mode", DEADLINE);
    assert!(site.lines().is_empty());
    assert!(
        site.jobs("default")
            .iter()
            .all(|job| job.attempts == 0 && !job.reserved)
    );

    site.run(&["run", "--queue=default", "--force", "--stop-when-empty"]);
    assert_eq!(site.counts("end").len(), 20);
    push(1);
    site.laravel.php(&["up"]);
    site.wait_until_empty();
    assert_eq!(site.counts("end").len(), 21);
}
