//! `worker move`: from one connection to another, in order, nothing lost, nothing doubled.

mod killed;

use std::collections::BTreeSet;

use harness::{DEADLINE, Output, wait_until};
use serde_json::{Value, json};

use crate::site::{Job, Lying, Queue, Site, now};

/// An application whose connections `redis` and `database` both work.
fn site() -> Site {
    let site = Site::redis();
    site.command(&["migrate"]).success();
    site
}

fn to_database(site: &Site, more: &[&str]) -> Output {
    site.command(&[&["move", "--from", "redis", "--to", "database"], more].concat())
}

fn to_redis(site: &Site, more: &[&str]) -> Output {
    site.command(&[&["move", "--from", "database", "--to", "redis"], more].concat())
}

fn uuids(jobs: &[Lying]) -> Vec<String> {
    jobs.iter().map(Lying::uuid).collect()
}

fn texts(jobs: &[Lying]) -> Vec<String> {
    let text = |job: &Lying| String::from_utf8_lossy(&job.payload).into_owned();
    jobs.iter().map(text).collect()
}

/// Adds a delayed job to a Redis queue.
fn delay(site: &Site, queue: &str, payload: &str, due: i64) {
    let redis = site.client().expect("the site has a Redis");
    let key = redis.key(&format!("queues:{queue}:delayed"));
    assert_eq!(redis.query::<i64>(&["ZADD", &key, &due.to_string(), payload]), 1);
}

#[expect(clippy::cast_possible_truncation, reason = "a time of this century")]
fn soon(seconds: i64) -> i64 {
    now() as i64 + seconds
}

/// The counts of one queue in what `--json` prints.
fn tally(output: &Output, queue: &str) -> Value {
    let json: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let mut rows = json["queues"].as_array().expect("queues").iter();
    rows.find(|row| row["queue"] == queue)
        .cloned()
        .unwrap_or_default()
}

/// What moves have left behind: markers of what was pushed, and jobs set aside.
fn left_behind(site: &Site) -> (usize, usize) {
    let redis = site.client().expect("the site has a Redis");
    let mut names = redis.keys();
    names.extend(
        site.database()
            .rows("select marker from worker_markers", |row| sqlx::Row::get(row, 0)),
    );
    let ours = |mark: &str| names.iter().filter(|name| name.contains(mark)).count();
    (ours("move:"), ours("aside:"))
}

/// A payload with much that decoding and encoding would change.
fn odd(job: &Job, members: &str) -> String {
    let uuid = job.uuid();
    format!(
        r#"{{"uuid":"{uuid}", "job":"App\\Legacy@fire","data":{{"a":[],"o":{{}},"n":9007199254740993,"f":1.0,"s":"\/č\u2028"}},"x": null{members} }}"#
    )
}

#[test]
fn there_and_back_everything_but_the_members_stays() {
    let site = site();
    let jobs = Job::new("A").times(4);
    let redis_texts: Vec<String> = jobs
        .iter()
        .map(|job| odd(job, r#","id":"abc","attempts":2"#))
        .collect();
    site.push_raw("default", &redis_texts[..2]);
    let (first, second) = (soon(60), soon(86_400));
    delay(&site, "default", &redis_texts[3], second);
    delay(&site, "default", &redis_texts[2], first);
    let output = to_database(&site, &["--json"]);
    let told = tally(&output.clone(), "default");
    let expected = json!({
        "queue": "default", "moved": 2, "moved_delayed": 2, "resumed": 0, "unreadable": 0, "lost": 0,
        "reserved": 0, "waiting": 0
    });
    assert_eq!((output.code, told), (0, expected));
    assert_eq!(site.queue("default"), Queue::default());
    let there = site.rows("default");
    let plain: Vec<String> = jobs.iter().map(|job| odd(job, "")).collect();
    assert_eq!(
        (texts(&there.ready), texts(&there.delayed)),
        (plain[..2].to_vec(), plain[2..].to_vec())
    );
    let rows = site.database().jobs();
    assert!(
        rows.iter()
            .all(|row| row.attempts == 2 && row.reserved_at.is_none()),
        "{rows:?}"
    );
    let due: Vec<i64> = rows[2..].iter().map(|row| row.available_at).collect();
    assert!(
        (first..=first + 1).contains(&due[0]) && (second..=second + 1).contains(&due[1]),
        "{due:?}"
    );

    to_redis(&site, &[]).success();
    assert!(site.database().jobs().is_empty());
    let back = site.queue("default");
    for (job, before) in back.ready.iter().chain(&back.delayed).zip(&plain) {
        let text = String::from_utf8_lossy(&job.payload);
        let json = job.json();
        let id = json["id"].as_str().expect("an id");
        assert!(
            id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{id}"
        );
        assert_eq!(
            text,
            before.replace(" }", &format!(r#","id":"{id}","attempts":2 }}"#))
        );
    }
    let due = back.delayed.iter().map(|job| job.at).collect::<Vec<_>>();
    #[expect(clippy::cast_precision_loss, reason = "a time of this century")]
    let late = due[0] - first as f64;
    assert!((0.0..=2.0).contains(&late), "{due:?}");
    let redis = site.client().expect("the site has a Redis");
    assert_eq!(redis.queue("default").notify, 2);
    assert_eq!(left_behind(&site), (0, 0));
}

#[test]
fn all_queues_go_or_those_named() {
    let site = site();
    for queue in ["a", "b", "c"] {
        site.push_all(queue, &Job::new("A").times(3));
    }
    to_database(&site, &["--queue", "b,c,b"]).success();
    assert_eq!(
        (site.queue("a").len(), site.rows("b").len(), site.rows("c").len()),
        (3, 3, 3)
    );
    let output = to_database(&site, &["--queue", "nothing", "--json"]);
    assert_eq!(tally(&output, "nothing")["moved"], 0);
    to_database(&site, &[]).success();
    assert_eq!((site.queue("a").len(), site.rows("a").len()), (0, 3));
    let nothing = to_database(&site, &["--json"]);
    assert_eq!(nothing.json()["queues"], json!([]));
}

#[test]
fn a_dry_run_changes_nothing() {
    let site = site();
    let texts: Vec<String> = Job::new("A").times(2).iter().map(|job| job.text(true)).collect();
    site.push_raw("default", &texts[..1]);
    delay(&site, "default", &texts[1], soon(60));
    let redis = site.client().expect("the site has a Redis");
    let before = (redis.keys(), site.queue("default"));
    let told = to_database(&site, &["--dry-run", "--json"]).json();
    let row = json!({ "queue": "default", "pending": 1, "delayed": 1, "reserved": 0 });
    assert_eq!(
        told,
        json!({ "from": "redis", "to": "database", "dry_run": true, "queues": [row] })
    );
    let text = to_database(&site, &["--dry-run"]);
    assert!(text.success().contains("would move"), "{}", text.stdout);
    assert_eq!((redis.keys(), site.queue("default")), before);
    assert!(site.database().jobs().is_empty());
}

#[test]
fn what_cannot_be_read_stays_where_it_was() {
    let site = site();
    let good: Vec<String> = Job::new("A").times(3).iter().map(|job| job.text(true)).collect();
    let list = ["{", &good[0], "a:1:{}", "[1]", &good[1], "{\"uuid\":\"x\"}"];
    site.push_raw("default", &list);
    let due = soon(900);
    delay(&site, "default", "garbage", due);
    delay(&site, "default", "soon garbage", soon(60));
    delay(&site, "default", &good[2], due);
    let output = to_database(&site, &["--json"]);
    output.expect_code(65);
    let told = tally(&output, "default");
    assert_eq!(
        (&told["unreadable"], &told["moved"], &told["moved_delayed"]),
        (&json!(6), &json!(2), &json!(1))
    );
    assert!(
        output.stderr.contains("6 jobs of redis cannot be read and stay"),
        "{}",
        output.stderr
    );
    let left = site.queue("default");
    assert_eq!(texts(&left.ready), ["{", "a:1:{}", "[1]", "{\"uuid\":\"x\"}"]);
    assert_eq!(texts(&left.delayed), ["soon garbage", "garbage"]);
    #[expect(clippy::cast_precision_loss, reason = "a time of this century")]
    let due = due as f64;
    assert!((left.delayed[1].at - due).abs() < 0.001);
    assert_eq!((site.rows("default").len(), left_behind(&site)), (3, (0, 0)));
    // The other way, with as many as are more than one batch.
    let rows: Vec<String> = (0..700).map(|n| format!("garbage {n}")).collect();
    site.push_rows("other", &rows);
    site.push_rows("other", &[Job::new("A").text(false)]);
    let output = to_redis(&site, &["--queue", "other", "--json"]);
    output.expect_code(65);
    assert_eq!(tally(&output, "other")["unreadable"], 700);
    assert_eq!(
        (site.queue("other").len(), texts(&site.rows("other").ready)),
        (1, rows)
    );
}

#[test]
fn what_a_worker_holds_stays() {
    let site = site();
    let held = site.push("default", &site.slow(60_000));
    let mut worker = site.start(&["work"]);
    site.wait_for_note("start", 1);
    worker.kill();
    let free = site.push("default", &Job::new("A"));
    let output = to_database(&site, &["--json"]);
    let told = tally(&output, "default");
    assert_eq!(
        (output.code, &told["moved"], &told["reserved"]),
        (0, &json!(1), &json!(1))
    );
    assert!(
        output.stderr.contains("1 jobs of redis are held by workers"),
        "{}",
        output.stderr
    );
    assert_eq!(
        (
            uuids(&site.queue("default").reserved),
            uuids(&site.rows("default").ready)
        ),
        (vec![held], vec![free])
    );
}

#[test]
fn twins_are_all_moved() {
    let site = site();
    let text = Job::new("A").text(true);
    let other = Job::new("B").text(true);
    site.push_raw("default", &[&text, &other, &text, &text]);
    delay(&site, "default", &text, soon(900));
    let output = to_database(&site, &["--json"]);
    let told = tally(&output, "default");
    assert_eq!(
        (&told["moved"], &told["moved_delayed"], &told["lost"]),
        (&json!(4), &json!(1), &json!(0))
    );
    assert_eq!((site.queue("default").len(), site.rows("default").len()), (0, 5));
    // Rows with the same payload stay several entries of a set, too.
    let twins = vec![Job::new("C").text(false); 3];
    site.push_rows("late", &twins);
    site.database()
        .execute("update jobs set available_at = available_at + 900 where queue = 'late'");
    to_redis(&site, &[]).success();
    assert_eq!(
        (
            site.queue("default").ready.len(),
            site.queue("default").delayed.len()
        ),
        (4, 1)
    );
    assert_eq!(site.queue("late").delayed.len(), 3);
    assert!(site.database().jobs().is_empty());
}

#[test]
fn workers_on_both_sides_run_each_job_once() {
    let site = site();
    let jobs = site.slow(0).times(800);
    site.push_all("default", &jobs);
    let _source = site.start(&["work", "redis", "--concurrency", "2"]);
    let _target = site.start(&["work", "database", "--concurrency", "2"]);
    to_database(&site, &[]).success();
    wait_until(DEADLINE * 6, || site.noted("end").len() >= jobs.len());
    site.wait_for_end_of("default");
    let ran: BTreeSet<_> = site.noted("end").into_iter().map(|note| note.uuid).collect();
    assert_eq!((site.noted("start").len(), ran.len()), (800, 800));
    assert!(site.noted("start").iter().all(|note| note.attempt == 1));
}

#[test]
fn two_moves_at_once_double_nothing() {
    let site = site();
    let jobs = Job::new("A").times(3000);
    site.push_all("default", &jobs);
    let args = ["move", "--from", "redis", "--to", "database"];
    let mut both = [site.worker(&args).spawn(), site.worker(&args).spawn()];
    for one in &mut both {
        one.wait_exit(DEADLINE);
    }
    to_database(&site, &[]).success();
    let moved: BTreeSet<_> = uuids(&site.rows("default").ready).into_iter().collect();
    assert_eq!(
        (
            site.queue("default").len(),
            site.database().jobs().len(),
            moved.len()
        ),
        (0, 3000, 3000)
    );
}

#[test]
fn one_store_is_not_two() {
    let site = site();
    site.push("default", &Job::new("A"));
    for (from, to) in [
        ("redis", "redis"),
        ("redis", "high"),
        ("migration", "banking"),
        ("database", "database"),
    ] {
        let output = site.command(&["move", "--from", from, "--to", to]);
        output.expect_code(78);
        assert!(output.stderr.contains("are one store"), "{}", output.stderr);
    }
    site.command(&["move", "--from", "redis", "--to", "rabbit"])
        .expect_code(78);
    site.command(&["move", "--from", "sync", "--to", "redis"])
        .expect_code(78);
    site.command(&["move", "--from", "redis"]).expect_code(2);
    assert_eq!(site.queue("default").len(), 1);
}

#[test]
fn a_target_that_refuses_leaves_all_in_place() {
    let site = Site::redis();
    let jobs = Job::new("A").times(3);
    site.push_all("default", &jobs);
    let before = site.queue("default");
    let output = to_database(&site, &[]);
    output.expect_code(69);
    assert!(
        output.stderr.contains("run `worker migrate`"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("the same command goes on"),
        "{}",
        output.stderr
    );
    assert_eq!(site.queue("default"), before);
}
