//! The other way: the worker dispatches and releases, real Laravel runs.

use harness::{DEADLINE, Record};
use serde_json::json;

use super::site::{Site, on_every_installation};

fn of_job<'a>(records: &'a [Record], job: &str) -> Vec<&'a Record> {
    records.iter().filter(|record| record.job == job).collect()
}

on_every_installation! {
    /// Objects with public and protected properties, several at once, a delayed one, and a string job.
    fn php_runs_what_the_worker_dispatched(site: Site) {
        let record = json!({"tag": "тест/\"1\"", "n": 7, "sleepMs": 0}).to_string();
        let invoice = json!({
            "protected:eInvoiceId": 4711,
            "protected:userId": null,
            "protected:options": {"a": [1, 2.5, "три"], "b": true},
        });
        let dispatch = |args: &[&str]| site.run(&[&["dispatch"], args].concat());
        let uuids = dispatch(&[r"App\Jobs\RecordJob", "--data", &record, "--count", "3"]);
        dispatch(&[r"App\Jobs\SubmitEInvoiceJob", "--data", &invoice.to_string()]);
        dispatch(&[
            r"App\Jobs\RecordJob",
            "--data",
            r#"{"tag": "later", "n": 1, "sleepMs": 0}"#,
            "--delay",
            "1",
        ]);
        dispatch(&[
            r"App\Handlers\Legacy@fire",
            "--data",
            r#"{"any": [1, {"x": null}]}"#,
        ]);

        let _php = site.php_consumes(&[]);
        let ran = site.laravel.journal().wait_for(6);
        let records = of_job(&ran, r"App\Jobs\RecordJob");
        let ran_uuids: Vec<_> = records[..3]
            .iter()
            .filter_map(|record| record.uuid.clone())
            .collect();
        assert_eq!(uuids.lines().collect::<Vec<_>>(), ran_uuids);
        for record in &records[..3] {
            assert_eq!((record.tag.as_str(), record.n), ("тест/\"1\"", 7));
        }
        assert_eq!(records[3].tag, "later");
        let invoices = of_job(&ran, r"App\Jobs\SubmitEInvoiceJob");
        let options = json!({"a": [1, 2.5, "три"], "b": true});
        assert_eq!(
            invoices[0].data,
            json!({"eInvoiceId": 4711, "userId": null, "options": options})
        );
        let strings = of_job(&ran, r"App\Handlers\Legacy");
        assert_eq!(strings[0].data, json!({"any": [1, {"x": null}]}));
        assert!(ran.iter().all(|record| record.attempts == Some(1)));
        site.wait_until_empty();
        assert!(site.failed().is_empty());
    }

    /// A job that released itself here is in its second attempt in PHP.
    fn php_counts_on_after_a_release(site: Site) {
        let slow = json!({"releaseS": 1, "journal": site.lines_file()});
        site.laravel.push(r"Worker\Demo\Slow", &slow, &[]);
        site.consume_one();
        let released = site.jobs("default");
        assert_eq!(released.len(), 1);
        assert_eq!((released[0].attempts, released[0].reserved), (1, false));
        assert!(released[0].due.is_some());

        let _php = site.php_consumes(&["--tries=2"]);
        let ran = site.laravel.journal().wait_for(1);
        assert_eq!(
            (ran[0].attempts, ran[0].uuid.clone()),
            (Some(2), Some(released[0].uuid()))
        );
        let attempts: Vec<_> = site
            .lines()
            .iter()
            .map(|line| (line.event.clone(), line.attempt))
            .collect();
        let expected = [("start", 1), ("released", 1), ("start", 2), ("end", 2)];
        assert_eq!(
            attempts,
            expected.map(|(event, attempt)| (event.to_owned(), attempt))
        );
        site.wait_until_empty();
        assert!(site.failed().is_empty());
    }

    /// Errors here follow the backoff that the PHP class declares, and PHP goes on counting.
    fn php_counts_on_after_an_error(site: Site) {
        site.laravel
            .push(r"Worker\Demo\Flaky", &json!({"failures": 1}), &[]);
        let before = unix_s();
        site.consume_one();
        let released = site.jobs("default");
        assert_eq!(released[0].attempts, 1);
        let due = released[0].due.expect("it waits for its backoff of 1 s");
        let after = unix_s();
        assert!(
            due >= before.floor() + 1.0 && due <= after + 1.5,
            "{before} {due} {after}"
        );

        let mut php = site.php_consumes(&[]);
        php.wait_for_line("Processed:", DEADLINE);
        let ran = site.laravel.journal().wait_for(1);
        assert_eq!((ran.len(), ran[0].attempts), (1, Some(2)));
        assert_eq!(ran[0].data, json!({"failures": 1}));
        site.wait_until_empty();
        assert!(site.failed().is_empty());
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test looks at the clock of the machine"
)]
fn unix_s() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("the clock is right").as_secs_f64()
}
