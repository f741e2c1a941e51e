//! `worker dispatch`: payloads as Laravel pushes them.

use std::collections::HashSet;

use serde_json::json;

use crate::site::{Job, on_every_site};

on_every_site! {
    fn an_object_job_is_what_laravel_would_push(site: &Site) {
        let data = r#"{"companyId": 7, "protected:eInvoiceId": 4711, "name": "фактура"}"#;
        let flags = ["--queue", "einvoice", "--tries", "3", "--timeout", "30", "--backoff", "5,10"];
        let args = [&["dispatch", r"\App\Jobs\CloseDay", "--data", data], &flags[..]].concat();
        let output = site.command(&args);
        let uuid = output.success().trim().to_owned();
        let queue = site.queue("einvoice");
        assert_eq!((queue.ready.len(), queue.len()), (1, 1));
        let payload = queue.ready[0].json();
        assert_eq!(payload["uuid"], uuid);
        assert_eq!(payload["displayName"], r"App\Jobs\CloseDay");
        assert_eq!(payload["job"], r"Illuminate\Queue\CallQueuedHandler@call");
        assert_eq!((&payload["maxTries"], &payload["timeout"]), (&json!(3), &json!(30)));
        assert_eq!((&payload["backoff"], &payload["failOnTimeout"]), (&json!("5,10"), &json!(false)));
        assert_eq!(payload["data"]["commandName"], r"App\Jobs\CloseDay");
        let command = payload["data"]["command"].as_str().expect("a serialized object");
        assert!(command.starts_with("O:17:\"App\\Jobs\\CloseDay\":4:{s:9:\"companyId\";i:7;"), "{command}");
        assert!(command.contains("s:13:\"\0*\0eInvoiceId\";i:4711;"), "{command}");
        assert!(command.contains("s:4:\"name\";s:14:\"фактура\";"), "{command}");
        let in_redis = site.client().is_some();
        assert_eq!(payload["attempts"] == json!(0) && payload["id"].is_string(), in_redis, "{payload}");
    }

    fn what_is_dispatched_here_runs_here(site: &Site) {
        let journal = site.journal();
        let data = json!({ "journal": journal.to_str() }).to_string();
        let output = site.command(&["dispatch", r"Worker\Demo\Slow", "--data", &data]);
        let uuid = output.success().trim().to_owned();
        site.command(&["work", "--once"]).success();
        assert_eq!(site.noted("end")[0].uuid, uuid);
    }

    fn a_string_job_carries_any_json(site: &Site) {
        site.command(&["dispatch", r"App\Handlers\Legacy@fire", "--data", r#"[1, {"a": null}]"#]).success();
        let payload = site.queue("default").ready[0].json();
        assert_eq!(payload["job"], r"App\Handlers\Legacy@fire");
        assert_eq!(payload["displayName"], r"App\Handlers\Legacy");
        assert_eq!(payload["data"], json!([1, {"a": null}]));
    }

    fn a_raw_payload_stays_as_it_is(site: &Site) {
        let job = Job::new(r"App\Jobs\CloseDay");
        let text = job.text(site.client().is_some()).replace("\"delay\":null", "\"delay\" :  null,\"x\":[]");
        let output = site.worker(&["dispatch", "--raw", "-", "--queue", "high"]).input(format!("{text}\n")).run_to_end();
        assert_eq!(output.success().trim(), job.uuid());
        let file = site.file("payload.json", &text);
        site.command(&["dispatch", "--raw", &file, "--queue", "high"]).success();
        let queue = site.queue("high");
        assert_eq!(queue.ready.len(), 2);
        for lying in &queue.ready {
            assert_eq!(String::from_utf8_lossy(&lying.payload), text);
        }
    }

    fn many_at_once_have_uuids_of_their_own(site: &Site) {
        let output = site.command(&["dispatch", r"Worker\Bench\Noop", "--count", "2500"]);
        let printed: HashSet<_> = output.success().lines().map(str::to_owned).collect();
        let lying: HashSet<_> = site.queue("default").ready.iter().map(crate::site::Lying::uuid).collect();
        assert_eq!(lying.len(), 2500);
        assert_eq!(printed, lying);
        let quiet = site.command(&["dispatch", "--quiet", r"Worker\Bench\Noop"]);
        assert_eq!(quiet.success(), "");
    }

    fn a_delayed_job_waits(site: &Site) {
        site.command(&["dispatch", r"Worker\Bench\Noop", "--delay", "60"]).success();
        let queue = site.queue("default");
        assert_eq!((queue.delayed.len(), queue.len()), (1, 1));
        let due = queue.delayed[0].due_in_s();
        assert!(due > 50.0 && due <= 61.0, "{due}");
        assert_eq!(queue.delayed[0].json()["delay"], json!(60));
    }

    fn bad_input_pushes_nothing(site: &Site) {
        let refused = |args: &[&str], input: &str, code: i32, said: &str| {
            let output = site.worker(args).input(input).run_to_end();
            output.expect_code(code);
            assert!(output.stderr.contains(said), "{said}: {}", output.stderr);
            assert_eq!(output.stdout, "");
        };
        refused(&["dispatch", "A", "--data", "{\"a\":"], "", 65, "failed to read --data as JSON");
        refused(&["dispatch", "A", "--data", "[1]"], "", 65, "--data must be a JSON object");
        refused(&["dispatch", "--raw", "-"], "{\"job\":\"A@b\",", 65, "at byte 13");
        refused(&["dispatch", "--raw", "-"], "", 65, "at byte 0");
        refused(&["dispatch", "--raw", "-"], "{}", 65, "failed to");
        refused(&["dispatch", "--raw", "/nonexistent"], "", 65, "failed to read /nonexistent");
        refused(&["dispatch"], "", 2, "required");
        refused(&["dispatch", "A", "--raw", "-"], "", 2, "cannot be used with");
        refused(&["dispatch", "A", "--connection", "rabbit"], "", 78, "rabbit");
        assert_eq!(site.queue("default").len(), 0);
    }
}

#[test]
fn without_a_store_nothing_is_dispatched() {
    let mut site = crate::site::Site::own_redis();
    site.server().kill();
    let output = site.command(&["dispatch", "A"]);
    output.expect_code(69);
    assert_eq!(output.stdout, "");
}
