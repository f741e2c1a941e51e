//! Failed jobs, written by one side and retried by the other.

use harness::DEADLINE;
use serde_json::json;

use super::site::{Site, on_every_installation};

on_every_installation! {
    /// We record failures; the framework lists them, pushes them again, and PHP runs them.
    fn laravel_retries_what_we_failed(site: Site) {
        let broken = r"Worker\Demo\Broken";
        site.laravel.push(broken, &json!({"tag": "a"}), &[]);
        site.laravel.push(broken, &json!({"tag": "б"}), &["--delay=1"]);
        let handler = format!("{broken}@fire");
        site.laravel
            .php(&["push:string", &handler, "--data={\"x\": [1]}"]);
        let worker = site.consume(&[]);
        site.wait_until_empty();
        drop(worker);
        let failed = site.failed();
        assert_eq!(failed.len(), 3);
        for row in &failed {
            assert_eq!(row.queue, "default");
            assert!(row.reason().contains("invoice 4711 has no lines"), "{row:?}");
            assert_eq!(row.json()["uuid"], row.uuid);
        }
        let listed = site.laravel.php(&["queue:failed"]);
        assert!(failed.iter().all(|row| listed.contains(&row.uuid)), "{listed}");

        let objects = failed.iter().filter(|row| row.json()["job"] != handler.as_str());
        let uuids: Vec<_> = objects.map(|row| row.uuid.as_str()).collect();
        assert_eq!(uuids.len(), 2);
        for uuid in &uuids {
            site.laravel.php(&["queue:retry", uuid]);
        }
        let pushed = site.jobs("default");
        assert!(pushed.iter().all(|job| job.attempts == 0));
        let _php = site.php_consumes(&[]);
        let ran = site.laravel.journal().wait_for(2);
        let tags: Vec<_> = ran.iter().map(|record| record.tag.as_str()).collect();
        assert_eq!(tags.len(), 2);
        assert!(tags.contains(&"a") && tags.contains(&"б"), "{tags:?}");
        assert!(ran.iter().all(|record| record.attempts == Some(1)));
        assert!(
            ran.iter()
                .all(|record| uuids.contains(&record.uuid.as_deref().unwrap_or_default()))
        );
        site.wait_until_empty();
        assert_eq!(site.failed().len(), 1, "the one that was not retried");
    }

    /// The framework records failures; we push them again, and PHP runs them from the first attempt on.
    fn we_retry_what_laravel_failed(site: Site) {
        site.laravel
            .push("FailingJob", &json!({"tag": "x", "times": 1}), &["--count=2"]);
        let mut php = site.php_consumes(&["--stop-when-empty", "--tries=1"]);
        assert_eq!(php.wait_exit(DEADLINE), 0);
        let failed = site.failed();
        assert_eq!(failed.len(), 2);

        let said = site.run(&["retry", "all"]);
        assert!(failed.iter().all(|row| said.contains(&row.uuid)), "{said}");
        assert!(site.failed().is_empty());
        let mut pushed = site.jobs("default");
        pushed.sort_by_key(|job| job.payload["uuid"] != failed[0].uuid.as_str());
        for (job, row) in pushed.iter().zip(&failed) {
            assert_eq!((job.uuid(), job.attempts), (row.uuid.clone(), 0));
            assert_eq!(job.payload["data"], row.json()["data"]);
        }
        assert_eq!(pushed.len(), 2);

        let _php = site.php_consumes(&["--tries=2"]);
        let ran = site.laravel.journal().wait_for(6);
        for row in &failed {
            let attempts: Vec<_> = ran
                .iter()
                .filter(|record| record.uuid.as_ref() == Some(&row.uuid))
                .filter_map(|record| record.attempts)
                .collect();
            assert_eq!(attempts, [1, 1, 2]);
        }
        site.wait_until_empty();
        assert!(site.failed().is_empty());
    }
}
