//! Payloads that are odd and yet jobs: large, long, nested, with numbers out of range.

use std::time::{Duration, Instant};

use harness::DEADLINE;
use serde_json::json;

use crate::site::{Job, on_every_site};

on_every_site! {
    fn twenty_megabytes_are_a_job_like_any_other(site: &Site) {
        let large = site.slow(0).set("ballast", "x".repeat(20 << 20)).set("panic", true);
        site.push("default", &large);
        let next = site.push("default", &site.slow(0));
        let _worker = site.start(&["run", "--queue", "default", "--concurrency", "1"]);
        site.wait_for_job(&next);
        let failed = site.wait_for_failed(1);
        assert_eq!(site.noted("start")[0].uuid, large.uuid(), "it ran");
        assert!(failed[0].reason().contains("panics on purpose"), "{}", failed[0].reason());
        assert!(failed[0].payload == large.text(site.client().is_some()), "byte for byte");
        site.wait_for_end_of("default");
    }

    fn a_class_name_of_a_million_letters_is_an_unknown_class(site: &Site) {
        let strange = Job::new(&"A".repeat(1_000_000));
        site.push("default", &strange);
        let mut worker = site.start(&["run", "--queue", "default"]);
        let queue = site.wait_for_queue("default", |queue| queue.delayed.len() == 1);
        assert_eq!((queue.len(), queue.delayed[0].attempts), (1, 0));
        let start = Instant::now();
        let good = site.push("default", &site.slow(0));
        site.wait_for_job(&good);
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        let line = worker.wait_for_line("are not run here", DEADLINE);
        assert!(line.len() < 2000, "a name from outside does not flood the log: {} bytes", line.len());
    }

    fn a_payload_without_uuid_runs_and_fails_under_one_uuid(site: &Site) {
        let mut good = site.slow(0).json(site.client().is_some());
        let mut bad = Job::broken().with("maxTries", 2).json(site.client().is_some());
        for payload in [&mut good, &mut bad] {
            payload.as_object_mut().expect("an object").shift_remove("uuid");
        }
        site.push_raw("default", &[good.to_string(), bad.to_string()]);
        let _worker = site.start(&["run", "--queue", "default"]);
        site.wait_for_note("end", 1);
        let failed = site.wait_for_failed(1);
        assert_eq!(failed[0].uuid.len(), 36, "{}", failed[0].uuid);
        site.wait_for_end_of("default");
        assert_eq!(failed[0].json()["uuid"], json!(null), "the payload stays as it was");
    }

    fn numbers_out_of_range_do_not_hurt(site: &Site) {
        let huge = "99999999999999999999999999";
        let payload = |member: &str, value: &str| {
            let text = site.slow(0).text(site.client().is_some());
            let null = format!("\"{member}\":null");
            assert!(text.contains(&null), "{text}");
            text.replace(&null, &format!("\"{member}\":{value}"))
        };
        let mut payloads = Vec::new();
        for member in ["maxTries", "timeout", "retryUntil", "delay"] {
            payloads.push(payload(member, huge));
            payloads.push(payload(member, "1e400"));
        }
        payloads.push(payload("timeout", "-5"));
        payloads.push(payload("backoff", "\"1,99999999999999999999,x\""));
        payloads.push(payload("maxTries", "\"three\""));
        payloads.push(payload("timeout", "[1,{}]"));
        let many = payloads.len();
        site.push_raw("default", &payloads);
        let mut worker = site.start(&["run", "--queue", "default"]);
        site.wait_for_end_of("default");
        let ended = site.noted("end").len();
        assert_eq!(ended + site.failed().len(), many, "each ran, or failed with a reason");
        for row in site.failed() {
            assert!(row.reason().contains("Exception: "), "{}", row.reason());
        }
        let good = site.push("default", &site.slow(0));
        site.wait_for_job(&good);
        worker.signal(harness::Signal::Term);
        assert_eq!(worker.wait_exit(DEADLINE), 0);
    }

    fn odd_data_of_unknown_members_is_carried(site: &Site) {
        let nested = format!("{}{}", "[".repeat(400), "]".repeat(400));
        let job = Job::broken().with("tags", json!({"empty": {}, "list": [], "big": 1.0e300}));
        let text = job.text(site.client().is_some());
        let text = text.replacen('{', &format!("{{\"deep\":{nested},\"n\":12345678901234567890123,"), 1);
        site.push_raw("default", &[&text]);
        let _worker = site.start(&["run", "--queue", "default", "--tries", "2"]);
        let failed = site.wait_for_failed(1);
        let attempts = |text: &str| text.replace("\"attempts\":1", "\"attempts\":0");
        assert_eq!(attempts(&failed[0].payload), text, "but for its attempts, byte for byte");
        site.wait_for_end_of("default");
    }

    /// Strings of PHP hold any byte; escaped in JSON they are ordinary payloads.
    fn a_nul_in_a_property_name_is_phps_own_mark(site: &Site) {
        let class = "Worker\\Demo\\Slow";
        let journal = site.journal().to_str().expect("a plain name").to_owned();
        let job = Job::new(class).set("\0*\0sleepMs", 0).set(&format!("\0{class}\0journal"), journal);
        let uuid = site.push("default", &job);
        let _worker = site.start(&["run", "--queue", "default"]);
        site.wait_for_job(&uuid);
    }
}
