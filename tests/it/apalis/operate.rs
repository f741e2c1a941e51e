//! Commands on queues of Rust producers.

use apalis::prelude::{Status, TaskBuilder};
use harness::{DEADLINE, wait_until};
use serde_json::json;

use worker::store::port::{NewJob, QueueName};
use worker::wire::task::Task;

use super::yard::on_every_layout;
use crate::site::Job;
use crate::store::engine::take_one;

/// The payload of a Redis queue as a store without `id` and `attempts` has it.
fn yard_payload(payload: &serde_json::Value) -> Vec<u8> {
    let mut members = payload.as_object().expect("an object").clone();
    members.shift_remove("id");
    members.shift_remove("attempts");
    // A number of this size, and no slash: what is written is what was read.
    serde_json::to_vec(&members).expect("it is JSON")
}

on_every_layout! {
    /// `status` counts, `clear` removes, and what is done stays in apalis' own list.
    fn status_and_clear(yard: &Yard) {
        yard.push("mail", &[json!(1), json!(2)]);
        let later = TaskBuilder::new(json!(3)).run_in_minutes(5);
        yard.push_task("mail", later);
        let status = yard.command(&["status", "--json"]).json();
        let queues = status["queues"].as_array().expect("a list");
        let mail = queues.iter().find(|queue| queue["queue"] == "mail").expect("it is found");
        assert_eq!((&mail["pending"], &mail["delayed"], &mail["reserved"]), (&json!(2), &json!(1), &json!(0)));
        assert!(mail["oldest_s"].as_u64().is_some_and(|age| age < 60), "{mail}");
        let cleared = yard.command(&["clear", "--queue", "mail"]);
        assert!(cleared.success().contains("3 jobs removed"), "{}", cleared.success());
        assert!(yard.listed("mail", Status::Pending).is_empty());
    }

    /// A task's data can be looked at as a payload.
    fn a_task_is_inspected(yard: &Yard) {
        let seen = yard.worker(&["inspect", "--task", "mail"]).input(r#"{"to": "x"}"#).run_to_end();
        let json = seen.json();
        assert_eq!((&json["job"], &json["displayName"]), (&json!("mail@handle"), &json!("mail")));
        assert_eq!((&json["data"], &json["uuid"]), (&json!({"to": "x"}), &json!(null)));
    }

    /// One struct takes its data from a task and from a PHP object, on the same queue.
    fn one_job_takes_tasks_and_objects(yard: &Yard) {
        let journal = yard.journal().display().to_string();
        yard.push("worker-demo-slow", &[json!({"sleepMs": 1, "journal": journal})]);
        let object = Job::new(r"Worker\Demo\Slow").set("sleepMs", 1).set("journal", journal);
        let dispatch = yard.worker(&["dispatch", "--raw", "-", "--queue", "worker-demo-slow"]);
        dispatch.input(object.text(false)).run_to_end().success();
        yard.command(&["run", "--queue", "worker-demo-slow", "--stop-when-empty"]).success();
        assert_eq!((yard.noted("end"), yard.failed().len()), (2, 0));
        assert!(yard.notes().iter().any(|note| note.uuid == object.uuid()));
        assert_eq!(yard.listed("worker-demo-slow", Status::Done).len(), 2);
    }

    /// A paused queue is left alone until it is resumed.
    fn a_paused_queue_is_held(yard: &Yard) {
        yard.command(&["pause", "worker-demo-slow"]).success();
        let journal = yard.journal();
        yard.push("worker-demo-slow", &[json!({"journal": journal})]);
        let mut worker = yard.start(&["run", "--queue", "worker-demo-slow"]);
        worker.wait_for_line("Queue worker-demo-slow was paused", DEADLINE);
        assert_eq!((yard.noted("start"), yard.listed("worker-demo-slow", Status::Pending).len()), (0, 1));
        yard.command(&["resume", "worker-demo-slow"]).success();
        wait_until(DEADLINE, || yard.noted("end") == 1);
    }

    /// `monitor` counts what a queue holds.
    fn monitor_counts(yard: &Yard) {
        yard.push("mail", &[json!(1), json!(2)]);
        let queue = format!("{}:mail", yard.connection());
        let monitor = yard.command(&["monitor", &queue, "--max", "2", "--json"]).json();
        assert_eq!((&monitor[0]["size"], &monitor[0]["status"]), (&json!(2), &json!("ALERT")));
    }

    /// What `migrate` would do to Laravel's table is refused.
    fn the_table_is_the_producers(yard: &Yard) {
        if yard.client().is_some() {
            return;
        }
        let output = yard.command(&["migrate", "--indexes"]);
        output.expect_code(78);
        assert!(output.stderr.contains("for Laravel's table jobs"), "{}", output.stderr);
    }

    /// A producer that was never there is named, in place of a wait for tasks.
    fn missing_tables_are_named(yard: &Yard) {
        if yard.client().is_some() {
            // Redis makes what is pushed to.
            yard.command(&["status"]).success();
            return;
        }
        yard.drop_tables();
        let output = yard.command(&["status"]);
        output.expect_code(69);
        assert!(output.stderr.contains("Storage::setup"), "{}", output.stderr);
    }

    /// Tasks go to Laravel's queues and back, in order, and are the same tasks to a stock worker.
    fn tasks_move_both_ways(yard: &Yard) {
        let other = harness::RedisServer::start(harness::RedisOptions::default());
        // Where the tasks are in Redis, Laravel's queues are in the same server.
        let laravel = yard.client().unwrap_or_else(|| other.redis());
        let run = |args: &[&str]| {
            let worker = yard.worker(args).envs(laravel.env()).env("QUEUE_CONNECTION", yard.connection());
            worker.env("REDIS_PREFIX", "app_").run_to_end().success().to_owned()
        };
        let laravel = laravel.db(3).with_prefix("app_");
        yard.push("mail", &[json!({"n": 1}), json!({"n": 2}), json!([])]);
        yard.push_task("mail", TaskBuilder::new(json!("late")).run_in_minutes(5));
        run(&["move", "--from", yard.connection(), "--to", "redis", "--queue", "mail"]);
        assert!(yard.listed("mail", Status::Pending).is_empty());
        let queue = laravel.queue("mail");
        assert_eq!((queue.ready.len(), queue.delayed.len()), (3, 1));
        // Ids of one stock push are not in its order.
        let mut data: Vec<String> = queue.ready.iter().map(|job| job.json()["data"].to_string()).collect();
        data.sort();
        assert_eq!(data, ["[]", r#"{"n":1}"#, r#"{"n":2}"#]);
        let payload = queue.ready[0].json();
        assert_eq!((&payload["job"], &payload["attempts"]), (&json!("mail@handle"), &json!(0)));

        run(&["move", "--from", "redis", "--to", yard.connection(), "--queue", "mail"]);
        assert!(laravel.queue("mail").is_empty());
        let mut back: Vec<String> = (yard.listed("mail", Status::Pending).iter())
            .map(|task| String::from_utf8_lossy(&task.args).into_owned())
            .collect();
        back.sort();
        assert_eq!(back, ["\"late\"", "[]", "{\"n\":1}", "{\"n\":2}"]);
        let next = yard.run(async { take_one(&*yard.driver(), "mail").await });
        assert_eq!(next.payload, yard_payload(&payload), "the uuid, the time and the data are as they were");
    }

    /// Redis has no priorities, but a task that came with one keeps it.
    fn a_priority_comes_back(yard: &Yard) {
        let task = Task { id: "01KAQ4D6G0ZZZZZZZZZZZZZZZZ".to_owned(), data: "[1]".into(), max_attempts: 3, priority: -7, ..Task::default() };
        let payload = task.payload("mail");
        let job = NewJob { queue: QueueName::new("mail"), payload: payload.clone(), delay: None };
        yard.run(async {
            let driver = yard.driver();
            driver.push(&[job]).await.expect("push");
            assert_eq!(take_one(&*driver, "mail").await.payload, payload);
        });
    }

    /// A producer's words go with a task, through its failure and back.
    fn metadata_and_priority_survive_a_retry(yard: &Yard) {
        let mut metadata = apalis::prelude::MetadataStore::new();
        metadata.insert("trace", "abc").expect("it is new");
        let task = TaskBuilder::new(json!({})).max_attempts(1).priority(7).with_metadata(metadata);
        yard.push_task(r"Worker\Demo\Broken", task);
        yard.command(&["run", "--queue", r"Worker\Demo\Broken", "--stop-when-empty"]).success();
        assert_eq!(yard.failed().len(), 1);
        yard.command(&["retry", "all"]).success();
        let pending = yard.listed(r"Worker\Demo\Broken", Status::Pending);
        assert_eq!(pending.len(), 1);
        assert_eq!(pending[0].metadata().get("trace"), Some("abc"));
        // Redis has no priorities.
        let expected = if yard.client().is_some() { None } else { Some(7) };
        assert_eq!(pending[0].priority(), expected);
    }
}
