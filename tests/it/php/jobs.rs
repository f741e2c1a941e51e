//! What `queue:work` does with a job happens here too: it runs, fails, comes back, goes on.

use serde_json::json;

use super::shop::{PATIENCE, Shop};

/// Runs a test on Redis and on SQLite.
macro_rules! on_both {
    ($($(#[$doc:meta])* fn $name:ident($shop:ident: &Shop) $body:block)*) => {
        $($(#[$doc])* fn $name($shop: &Shop) $body)*

        mod redis {
            $(#[test] fn $name() { super::$name(&super::Shop::redis()); })*
        }

        mod sqlite {
            $(#[test] fn $name() { super::$name(&super::Shop::sqlite()); })*
        }
    };
}

on_both! {
    fn a_job_runs_once_and_knows_who_it_is(shop: &Shop) {
        shop.push("RecordJob", &json!({"tag": "a"}));
        shop.push("SecretJob", &json!({"secret": "b"}));
        shop.site.laravel.php(&["push:closure", "c", "--queue=default"]);
        shop.site.laravel.php(&["push:string", "--queue=default"]);
        let lying = shop.site.jobs("default");
        shop.work_off(&[]);
        let ran = shop.wait_for("ran", 4);
        assert_eq!(ran.len(), 4);
        let record = ran.iter().find(|record| record.tag == "a").expect("it ran");
        assert_eq!(record.uuid.as_deref(), Some(lying[0].uuid().as_str()));
        assert_eq!((record.queue.as_deref(), record.attempts), (Some("default"), Some(1)));
        assert!(shop.site.jobs("default").is_empty() && shop.site.failed().is_empty());
    }

    /// One attempt fails, the next one comes after the backoff and succeeds.
    fn an_exception_is_tried_again_after_its_backoff(shop: &Shop) {
        shop.push("FailingJob", &json!({"tag": "once", "times": 1}));
        let mut worker = shop.start(&["--tries=3", "--backoff=2,60"]);
        let line = worker.wait_for_line("Released", PATIENCE);
        assert!(line.contains("next in 2 s"), "{line}");
        let ran = shop.wait_for("ran", 2);
        // Due times are whole seconds, here as in Laravel.
        assert!(ran[1].start - ran[0].start >= 1.0, "{ran:?}");
        assert_eq!((ran[0].attempts, ran[1].attempts), (Some(1), Some(2)));
        shop.site.wait_until_empty();
        assert!(shop.site.failed().is_empty() && shop.records("failed").is_empty());
        assert!(shop.site.laravel.log().contains("The job fails as it was told: once"), "reported");
    }

    /// The record says what PHP said, and what had gone wrong before; `failed()` ran once.
    fn the_last_exception_is_recorded_with_those_before_it(shop: &Shop) {
        shop.push("FailingJob", &json!({"tag": "ever"}));
        let _worker = shop.start(&["--tries=2", "--backoff=0"]);
        shop.wait_for_failures(1);
        let failed = shop.site.failed();
        let text = &failed[0].exception;
        assert!(
            text.starts_with("RuntimeException: The job fails as it was told: ever in /") && text.contains("FailingJob.php:"),
            "{text}"
        );
        assert!(text.contains("#0 ") && text.contains("Illuminate\\Queue\\Worker->process()"), "{text}");
        assert!(text.contains("\n\nEarlier attempts:\n\nAttempt 1: RuntimeException: The job fails"), "{text}");
        shop.site.wait_until_empty();
        assert_eq!(shop.records("ran").len(), 2);
        let told = shop.records("failed");
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].data["class"], "RuntimeException");
    }

    fn a_job_that_releases_itself_comes_back(shop: &Shop) {
        shop.push("ReleasingJob", &json!({"tag": "r", "times": 1, "seconds": 2}));
        let _worker = shop.start(&["--tries=2"]);
        let ran = shop.wait_for("ran", 2);
        assert!(ran[1].start - ran[0].start >= 1.0);
        shop.site.wait_until_empty();
        assert!(shop.site.failed().is_empty());
    }

    /// The head has a native handler, but what it carries only the framework can finish.
    fn a_chain_goes_to_php_and_breaks_where_a_link_fails(shop: &Shop) {
        let head = r"--head=Worker\Bench\Noop";
        shop.site.laravel.php(&["push:chain", "whole", head, "--count=2", "--queue=default"]);
        shop.site.laravel.php(&["push:chain", "broken", "--count=3", "--fail=1", "--queue=default"]);
        let _worker = shop.start(&[]);
        shop.wait_for("caught", 1);
        shop.site.wait_until_empty();
        let mut ran: Vec<_> = shop.records("ran").into_iter().map(|record| (record.tag, record.n)).collect();
        ran.sort();
        let expected = [("", 0), ("broken", 0), ("broken", 1), ("whole", 0), ("whole", 1)];
        assert_eq!(ran, expected.map(|(tag, n)| (tag.to_owned(), n)));
        assert_eq!(shop.site.failed().len(), 1);
    }

    /// Both kinds in one lane, each run by its own; a full house of PHP jobs holds up neither for ever.
    fn native_jobs_and_php_jobs_share_a_lane(shop: &Shop) {
        let journal = shop.site.lines_file();
        for n in 0..6 {
            shop.push("RecordJob", &json!({"tag": "php", "sleepMs": 20, "n": n}));
            shop.site.laravel.push(r"Worker\Demo\Sample", &json!({"journal": journal}), &["--queue=default"]);
        }
        let worker = shop.start(&["--concurrency=4"]);
        shop.wait_for("ran", 6);
        shop.site.wait_until_empty();
        assert_eq!(shop.site.counts("end").len(), 6);
        let pids: Vec<_> = shop.records("ran").into_iter().map(|record| record.pid).collect();
        assert!(pids.iter().all(|pid| *pid != u64::from(worker.pid())));
        assert!(shop.site.failed().is_empty());
    }
}

/// With `--php-only` a class that has a native handler runs in PHP, and with `--native-only` nothing does.
#[test]
fn which_runners_take_jobs_can_be_said() {
    let shop = Shop::sqlite();
    let journal = shop.site.lines_file();
    let push = || {
        shop.site.laravel.push(
            r"Worker\Demo\Sample",
            &json!({"journal": journal}),
            &["--queue=default"],
        )
    };
    push();
    shop.push("RecordJob", &json!({"tag": "php"}));
    shop.work_off(&["--native-only"]);
    assert_eq!((shop.site.counts("end").len(), shop.records("ran").len()), (1, 0));
    push();
    let _worker = shop.start(&["--php-only"]);
    shop.wait_for("ran", 1);
    shop.site.wait_until_empty();
    assert_eq!(shop.site.counts("end").len(), 2);
}

/// What a job changes in its process, the next one does not see.
#[test]
fn state_does_not_leak_from_job_to_job() {
    let shop = Shop::sqlite().env("WORKER_PHP_PROCESSES", "1");
    shop.misbehave("pollutes");
    shop.misbehave("inspects");
    shop.work_off(&["-v"]);
    let failures = shop.failures();
    let seen = &failures["inspects"].exception;
    assert!(
        seen.starts_with(r#"RuntimeException: ["en","local","UTC",false,0,0] in"#),
        "{seen}"
    );
    let started = shop.records("started");
    assert_eq!(started[0].pid, started[1].pid, "in the same process");
}
