//! Health over HTTP.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use harness::{DEADLINE, Signal, wait_until};
use serde_json::{Value, json};

use crate::site::{Job, Site, on_every_site};

/// A loopback address that nobody listens on.
pub(crate) fn free_address() -> String {
    format!("127.0.0.1:{}", harness::ports::free_port())
}

/// Asks for a path; the status, and the body as JSON, or as a JSON string when it is none.
pub(crate) fn get(address: &str, path: &str) -> (u16, Value) {
    let mut answer = String::new();
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        stream.set_read_timeout(Some(DEADLINE))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        stream.read_to_string(&mut answer)
    });
    if asked.is_err() {
        return (0, Value::Null);
    }
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let body = serde_json::from_str(body).unwrap_or_else(|_| Value::from(body));
    (status.unwrap_or_default(), body)
}

/// The text of `/metrics`.
pub(crate) fn metrics(address: &str) -> String {
    let (status, text) = get(address, "/metrics");
    assert_eq!(status, 200);
    text.as_str().expect("the figures are text").to_owned()
}

/// One figure without labels.
pub(crate) fn measured(address: &str, name: &str) -> Option<f64> {
    let text = metrics(address);
    let mut values = text
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    values.next()?.parse().ok()
}

on_every_site! {
    fn health_is_served_where_asked(site: &Site) {
        let address = free_address();
        let mut worker = site.worker(&["run"]).env("WORKER_HTTP", &address).spawn();
        worker.wait_for_line("/livez and /readyz", DEADLINE);
        assert_eq!(get(&address, "/livez"), (200, json!("ok\n")));
        let (status, body) = get(&address, "/readyz");
        let all_well = json!({ "ready": true, "state": "running", "running": 0, "reasons": [] });
        assert_eq!((status, body), (200, all_well));
        assert_eq!(get(&address, "/elsewhere").0, 404);
    }

    /// Each figure is in the document, and each one there is served.
    fn figures_are_those_of_the_document(site: &Site) {
        let address = free_address();
        let mut worker = site.worker(&["run"]).env("WORKER_HTTP", &address).spawn();
        worker.wait_for_line("/metrics", DEADLINE);
        site.push("default", &site.slow(60_000));
        wait_until(DEADLINE, || measured(&address, "worker_jobs_in_hand") == Some(1.0));
        assert_eq!(measured(&address, "worker_ready"), Some(1.0));
        assert_eq!(measured(&address, "worker_stuck_loops"), Some(0.0));
        assert_eq!(measured(&address, "worker_lost_slots"), Some(0.0));
        assert_eq!(measured(&address, "worker_leases_lost_total"), Some(0.0));
        let text = metrics(&address);
        let served: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let document = include_str!("../../docs/metrics.md");
        let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
        let listed: BTreeSet<_> = rows.filter_map(|row| row.split_once("` | ")).map(|(name, rest)| {
            let kind = rest.split(' ').next().unwrap_or_default();
            format!("{} {kind}", name.trim_end_matches("_total"))
        }).collect();
        assert_eq!(served, listed.iter().map(String::as_str).collect());
    }

    /// Somebody takes jobs out of our hands.
    fn lost_leases_are_counted(site: &Site) {
        let address = free_address();
        site.push_all("default", &site.slow(60_000).times(3));
        let worker = site.worker(&["run"]).env("WORKER_HTTP", &address).env("WORKER_LEASE", "3");
        let _worker = worker.spawn();
        site.wait_for_note("start", 3);
        match site.client() {
            Some(redis) => redis.remove_all(),
            None => site.database().execute("delete from jobs"),
        }
        wait_until(DEADLINE, || measured(&address, "worker_leases_lost_total") == Some(3.0));
        wait_until(DEADLINE, || measured(&address, "worker_jobs_in_hand") == Some(0.0));
    }

    /// A pause is wanted: it is told, but no fault.
    fn a_pause_is_told_with_who_asked_for_it(site: &Site) {
        let address = free_address();
        let worker = site.worker(&["run", "--queue", "default,high"]).env("WORKER_HTTP", &address).spawn();
        let paused = |by: &str| {
            let told = json!([format!("state: paused: {by}")]);
            wait_until(DEADLINE, || get(&address, "/readyz").1["reasons"] == told);
            assert_eq!(get(&address, "/readyz").0, 200);
        };
        wait_until(DEADLINE, || get(&address, "/readyz").0 == 200);
        site.command(&["pause", "default"]).success();
        paused("default, by queue:pause");
        assert_eq!(get(&address, "/readyz").1["state"], "running", "high is consumed");
        worker.signal(Signal::Usr2);
        paused("everything, by SIGUSR2; default, by queue:pause");
        assert_eq!(get(&address, "/readyz").1["state"], "paused");
        worker.signal(Signal::Cont);
        site.command(&["resume", "default"]).success();
        wait_until(DEADLINE, || get(&address, "/readyz").1["reasons"] == json!([]));
    }

    fn a_draining_worker_lives_but_is_not_ready(site: &Site) {
        let address = free_address();
        site.push("default", &site.slow(60_000));
        let worker = site.worker(&["run"]).env("WORKER_HTTP", &address).spawn();
        site.wait_for_note("start", 1);
        wait_until(DEADLINE, || get(&address, "/readyz").1["running"] == 1);
        worker.signal(Signal::Term);
        wait_until(DEADLINE, || get(&address, "/readyz").0 == 503);
        let (_, body) = get(&address, "/readyz");
        let reasons = json!(["state: draining because of a signal, 1 jobs in hand"]);
        assert_eq!((&body["state"], &body["reasons"]), (&json!("draining"), &reasons));
        assert_eq!(get(&address, "/livez").0, 200);
    }

    fn a_broken_store_of_failures_is_a_reason(site: &Site) {
        let address = free_address();
        site.database().execute("drop table failed_jobs");
        site.push("default", &Job::broken());
        let _worker = site.worker(&["run"]).env("WORKER_HTTP", &address).spawn();
        wait_until(DEADLINE, || get(&address, "/readyz").0 == 503);
        let (_, body) = get(&address, "/readyz");
        assert!(body["reasons"][0].to_string().contains("failed jobs: "), "{body}");
        assert!(site.command(&["migrate"]).success().contains("failed_jobs"));
        wait_until(DEADLINE, || get(&address, "/readyz").0 == 200);
    }
}

#[test]
fn a_store_that_went_away_is_a_reason() {
    let mut site = Site::own_redis();
    let address = free_address();
    let mut worker = site.worker(&["run"]).env("WORKER_HTTP", &address).spawn();
    worker.wait_for_line("/livez and /readyz", DEADLINE);
    site.server().kill();
    wait_until(DEADLINE, || {
        let (status, body) = get(&address, "/readyz");
        let reason = body["reasons"][0].as_str().unwrap_or_default();
        let away = reason.starts_with("store: ") && reason.contains("Connection refused");
        status == 503 && away && reason.contains(" (since 20")
    });
    assert_eq!(get(&address, "/livez").0, 200, "the process itself is well");
    site.server().restart();
    wait_until(DEADLINE, || get(&address, "/readyz").0 == 200);
}

/// A server that keeps its connections but says nothing is away too.
#[test]
fn a_store_that_is_silent_is_a_reason() {
    let mut site = Site::own_redis();
    let address = free_address();
    site.push("default", &site.slow(60_000));
    let worker = site.worker(&["run", "--drain", "0"]).env("WORKER_HTTP", &address);
    let mut worker = worker.spawn();
    site.wait_for_note("start", 1);
    assert_eq!(get(&address, "/readyz").0, 200);
    site.server().pause();
    wait_until(DEADLINE * 2, || get(&address, "/readyz").0 == 503);
    // Who waits for an answer says so, or who tries a new connection: whichever comes first.
    let (_, body) = get(&address, "/readyz");
    let reason = body["reasons"][0].to_string();
    let reasons = ["had no answer for 10 s or more (since 20", "timed out (since 20"];
    assert!(reasons.iter().any(|said| reason.contains(said)), "{body}");
    worker.wait_for_line(", trying again until it works", DEADLINE);
    site.server().resume();
    wait_until(DEADLINE, || get(&address, "/readyz").0 == 200);
    worker.wait_for_line("The store works again after ", DEADLINE);
}

/// A platform's PORT is the application's, not ours.
#[test]
fn nothing_listens_unasked() {
    let site = Site::sqlite();
    let address = free_address();
    let (_, port) = address.split_once(':').expect("an address has a port");
    let mut worker = site.worker(&["run"]).env("PORT", port).spawn();
    worker.wait_for_line("consumes connection", DEADLINE);
    let done = site.push("default", &site.slow(0));
    site.wait_for_job(&done);
    assert_eq!(get(&address, "/livez").0, 0);
    let pid = worker.pid();
    let tables = ["tcp", "tcp6"]
        .map(|table| std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default());
    let own = sockets(pid);
    for row in tables.iter().flat_map(|table| table.lines().skip(1)) {
        let words: Vec<_> = row.split_whitespace().collect();
        let listens = words.get(3) == Some(&"0A");
        let inode = words.get(9).copied().unwrap_or_default();
        assert!(
            !(listens && own.contains(&format!("socket:[{inode}]"))),
            "it listens: {row}"
        );
    }
}

/// The sockets that a process has open; none where the system does not tell.
fn sockets(pid: u32) -> Vec<String> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    let links = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.map(|link| link.to_string_lossy().into_owned()).collect()
}
