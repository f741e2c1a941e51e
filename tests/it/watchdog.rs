//! What systemd hears, and when the watchdog goes hungry.

use std::time::Duration;

use harness::{DEADLINE, Daemon, NotifySocket, Signal, wait_until};

use crate::http::{free_address, get};
use crate::site::{Site, WORKER, on_every_site};

/// After this time without being fed systemd ends the service.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(4);

/// Holds that the watchdog never bit: it was fed all the time, from `READY=1` on.
#[track_caller]
pub(crate) fn assert_never_hungry(systemd: &NotifySocket) {
    let said = systemd.said();
    let ready = said.iter().find(|(_, line)| line == "READY=1");
    let mut last = ready.expect("the start was told").0;
    for fed in systemd.feeds() {
        let gap = fed.saturating_duration_since(last);
        assert!(gap < WATCHDOG, "not fed for {gap:?}: {said:?}");
        last = last.max(fed);
    }
    assert!(last.elapsed() < WATCHDOG, "not fed any more: {said:?}");
}

on_every_site! {
    fn systemd_hears_of_the_whole_life(site: &Site) {
        let systemd = NotifySocket::bind();
        site.push("default", &site.slow(2000));
        let mut worker = site.worker(&["run", "--queue", "default"]).envs(systemd.env(WATCHDOG)).spawn();
        systemd.wait_for("STATUS=running, 1 jobs in hand", DEADLINE);
        systemd.wait_for_feeds(2, DEADLINE);
        worker.signal(Signal::Term);
        systemd.wait_for("STOPPING=1", DEADLINE);
        assert_eq!(worker.wait_exit(DEADLINE), 0);
        let said: Vec<_> = systemd.said().into_iter().map(|(_, line)| line).collect();
        assert_eq!(said.iter().filter(|line| *line == "READY=1").count(), 1, "{said:?}");
        assert_eq!(said.iter().filter(|line| *line == "STOPPING=1").count(), 1, "{said:?}");
        let place = |what: &str| said.iter().position(|line| line == what);
        assert!(place("READY=1") < place("STOPPING=1"), "{said:?}");
        assert_never_hungry(&systemd);
    }
}

/// Neither a long job nor a store that is silent or gone gets the worker killed.
#[test]
fn a_long_job_and_an_outage_do_not_make_it_hungry() {
    let mut site = Site::own_redis();
    let systemd = NotifySocket::bind();
    let long = site.push("default", &site.slow(10_000));
    let worker = site
        .worker(&["run"])
        .env("WORKER_LEASE", "60")
        .envs(systemd.env(WATCHDOG));
    let worker = worker.spawn();
    site.wait_for_note("start", 1);
    site.server().pause();
    systemd.wait_for_feeds(12, DEADLINE);
    site.server().kill();
    systemd.wait_for("STATUS=running, 1 jobs in hand; store: ", DEADLINE);
    systemd.wait_for_feeds(8, DEADLINE);
    site.server().restart();
    site.wait_for_job(&long);
    site.wait_for_end_of("default");
    assert_never_hungry(&systemd);
    drop(worker);
}

/// A loop that cannot go on: the pipe of the log is full and nobody reads it, so the writer of verdicts hangs in
/// the line about a job. Once somebody reads, all is well again.
#[test]
fn a_loop_that_hangs_makes_it_hungry() {
    let site = Site::redis();
    let systemd = NotifySocket::bind();
    let (address, go) = (free_address(), site.file("wait", ""));
    let script = r#""$0" run --queue default 2>&1 | (while [ -e "$1" ]; do sleep 0.1; done; cat)"#;
    site.push_all("default", &site.sample(0).times(1500));
    let worker = Daemon::new("/bin/sh").args(["-c", script, WORKER, &go]);
    let worker = worker.envs(site.env()).envs(systemd.env(WATCHDOG));
    let worker = worker
        .env("RUST_LOG", "off,worker::app::report=info")
        .env("WORKER_HTTP", &address);
    let _worker = worker.spawn();
    wait_until(DEADLINE, || get(&address, "/readyz").0 == 503);
    let (_, body) = get(&address, "/readyz");
    let said = body["reasons"].to_string();
    assert!(
        said.contains("stuck: no turn for 2 s or more: the writing of "),
        "{body}"
    );
    assert_eq!(get(&address, "/livez").0, 200);
    let hungry = || systemd.feeds().last().is_some_and(|fed| fed.elapsed() > WATCHDOG);
    wait_until(DEADLINE, hungry);

    std::fs::remove_file(go).expect("the file can be removed");
    wait_until(DEADLINE, || get(&address, "/readyz").0 == 200);
    systemd.wait_for_feeds(2, DEADLINE);
    site.wait_for_end_of("default");
}
