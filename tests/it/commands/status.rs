//! `worker status`: what waits, what runs, who consumes.

use harness::{DEADLINE, Signal, wait_until};
use serde_json::{Value, json};

use crate::site::{Job, Site, on_every_site};

fn status(site: &Site) -> Value {
    site.command(&["status", "--json"]).json()
}

fn queue<'a>(status: &'a Value, name: &str) -> &'a Value {
    let queues = status["queues"].as_array().expect("a list of queues");
    queues
        .iter()
        .find(|queue| queue["queue"] == name)
        .unwrap_or(&Value::Null)
}

on_every_site! {
    fn every_queue_is_counted(site: &Site) {
        site.command(&["migrate"]).success();
        site.push_all("einvoice", &Job::new("A").times(3));
        site.push("reports", &Job::new("A"));
        site.command(&["dispatch", "A", "--queue", "einvoice", "--delay", "60"]).success();
        let shown = status(site);
        assert_eq!(shown["connection"], site.connection());
        let einvoice = queue(&shown, "einvoice");
        let mut names: Vec<_> = einvoice.as_object().expect("an object").keys().collect();
        names.sort();
        assert_eq!(names, ["consumers", "delayed", "oldest_s", "pending", "queue", "reserved"]);
        assert_eq!((&einvoice["pending"], &einvoice["delayed"]), (&json!(3), &json!(1)));
        assert_eq!((&einvoice["reserved"], &einvoice["consumers"]), (&json!(0), &json!(0)));
        assert!(einvoice["oldest_s"].is_u64(), "{einvoice}");
        assert_eq!(queue(&shown, "reports")["pending"], 1, "a queue that is only found in the store");
        let high = json!({
            "queue": "high", "pending": 0, "delayed": 0, "reserved": 0, "oldest_s": null, "consumers": 0
        });
        assert_eq!(queue(&shown, "high"), &high);
        assert_eq!(shown["processes"], json!([]));

        let text = site.command(&["status"]);
        let line = |name: &str| {
            let line = text.success().lines().find(|line| line.trim_start().starts_with(name));
            line.unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let einvoice = line("einvoice");
        assert_eq!(einvoice[1..4], ["3", "1", "0"], "{}", text.stdout);
        assert_eq!(einvoice.last().map(String::as_str), Some("none!"), "jobs that nobody consumes");
    }

    fn a_running_job_shows_its_progress(site: &Site) {
        site.command(&["migrate"]).success();
        let job = site.sample(14_000);
        site.push("einvoice", &job);
        let mut worker = site.start(&["run", "--queue", "einvoice"]);
        let mut seen = Value::Null;
        wait_until(DEADLINE, || {
            seen = status(site);
            seen["processes"][0]["running"][0]["progress"].is_array()
        });
        let process = &seen["processes"][0];
        assert_eq!((&process["pid"], &process["state"]), (&json!(worker.pid()), &json!("running")));
        assert_eq!(process["queues"], json!([["einvoice", 10]]));
        let running = &process["running"][0];
        assert_eq!((&running["uuid"], &running["attempt"]), (&json!(job.uuid()), &json!(1)));
        assert_eq!((&running["name"], &running["queue"]), (&json!(r"Worker\Demo\Sample"), &json!("einvoice")));
        assert_eq!(running["progress"][1], "working");
        let einvoice = queue(&seen, "einvoice");
        assert_eq!((&einvoice["reserved"], &einvoice["consumers"]), (&json!(1), &json!(1)));
        let text = site.command(&["status"]).stdout;
        assert!(text.contains("% working") && text.contains(job.uuid()), "{text}");

        worker.signal(Signal::Term);
        worker.wait_for_line("Received SIGTERM", DEADLINE);
        worker.signal(Signal::Term);
        worker.wait_exit(DEADLINE);
        assert_eq!(status(site)["processes"], json!([]), "who ends takes its leave");
    }
}

#[test]
fn without_the_table_consumers_are_unknown() {
    let site = Site::sqlite();
    assert_eq!(queue(&status(&site), "default")["consumers"], Value::Null);
    assert!(site.command(&["status"]).success().contains("run worker migrate"));
}
