//! F21: payloads of 50 MB (20 in the short form), and some that claim half a gigabyte: they run or fail cleanly, the
//! memory comes back, and the jobs of other queues hardly notice.

use std::time::{Duration, Instant};

use harness::{DEADLINE, MariadbServer, Vitals, poll, wait_until};
use serde_json::json;

use super::{Deed, Expect, Stage, how_many};
use crate::site::Job;

/// The ballast of a large payload, in bytes.
fn ballast() -> usize {
    how_many(20, 50) << 20
}

/// What may stay of it, in KiB: a connection keeps the buffers that its largest payload needed, for the next one.
const BUFFERS: u64 = 3 * 50 * 1024;
/// What each further one may leave behind, in KiB: pages that an allocator keeps.
const KEPT: u64 = 24 * 1024;

/// How late a small job may begin in the hundredth worst case, beyond what it takes without large ones. A store hands
/// over one large payload in a few hundred milliseconds, and whoever asks next waits for that; in the gate everything
/// waits for processors too.
fn late() -> Duration {
    Duration::from_secs(u64::try_from(how_many(15, 2)).unwrap_or_default())
}

/// A payload that claims to be of half a gigabyte, and is not.
fn claiming(stage: &Stage, command: &str) -> Job {
    let data = json!({"commandName": r"Worker\Demo\Slow", "command": command});
    stage.job(0).with("maxTries", 1).with("data", data)
}

/// Lets small jobs run on another queue, one after the other, until so many have and the rest is done; how late each
/// began, the worst last.
fn small_ones(stage: &Stage, mut until: impl FnMut() -> bool) -> Vec<Duration> {
    let mut late = Vec::new();
    while late.len() < 30 || !until() {
        let began = Instant::now();
        let uuid = stage.push("small", &[stage.job(0)]).remove(0);
        wait_until(DEADLINE * 3, || {
            let mut notes = stage.notes().into_iter();
            notes.any(|note| note.uuid == uuid && note.event == "start")
        });
        late.push(began.elapsed());
    }
    late.sort_unstable();
    late
}

/// What 99 of 100 do not exceed.
fn worst(sorted: &[Duration]) -> Duration {
    sorted[(sorted.len() * 99 / 100).min(sorted.len() - 1)]
}

/// Pushes a job with its ballast. A debug build would take long to escape it.
fn push_large(stage: &Stage, job: &Job) -> String {
    let job = job.again().set("ballast", "@");
    let text = job.text(stage.redis_client().is_some());
    let (before, after) = text.split_once(r#"s:1:\"@\";"#).expect("its ballast is there");
    let size = ballast();
    let text = format!(r#"{before}s:{size}:\"{}\";{after}"#, "x".repeat(size));
    assert!(stage.try_push("large", text), "the store takes it");
    stage.adopt("large", [job.uuid().to_owned()]);
    job.uuid().to_owned()
}

/// One that runs and fails, in the long form one that ends well, and those that only claim to be large.
/// Returns those that fail.
fn push_all(stage: &Stage) -> Vec<String> {
    let job = stage.job(100).with("maxTries", 1);
    if how_many(0, 1) == 1 {
        push_large(stage, &job);
    }
    let claims = [
        claiming(stage, "O:16:\"Worker\\Demo\\Slow\":1:{s:536870912:\"a\";i:1;}"),
        claiming(stage, "O:16:\"Worker\\Demo\\Slow\":536870912:{s:1:\"a\";i:1;}"),
        claiming(stage, "O:536870912:\"Worker\\Demo\\Slow\":0:{}"),
    ];
    let mut failing = stage.push("large", &claims.map(|job| job.again()));
    failing.push(push_large(stage, &job.set("panic", true)));
    failing
}

fn large_payloads(stage: &Stage) {
    let deed = Deed::on(stage, "F21");
    let args = [
        "run",
        "--queue",
        "large",
        "--queue",
        "small",
        "--concurrency",
        "2",
    ];
    let worker = stage.start(&args);
    let memory = || Vitals::of(worker.pid()).memory_kib;
    let usual = worst(&small_ones(stage, || true));
    let (base, mut most, mut slowest) = (memory(), 0, Duration::ZERO);
    let (mut expect, mut first, rounds) = (Expect::default(), None, how_many(1, 5));
    for _ in 0..rounds {
        expect = expect.failing(&push_all(stage));
        let late = small_ones(stage, || {
            most = most.max(memory());
            stage.depth() == 0
        });
        slowest = slowest.max(worst(&late));
        let limit = first.map_or(base + BUFFERS, |first| first + KEPT);
        let back = poll(DEADLINE, || Some(memory()).filter(|now| *now <= limit));
        assert!(
            back.is_some(),
            "the memory does not come back: {} KiB of {base}",
            memory()
        );
        first = first.or(back);
    }
    println!(
        "{}: {base} KiB, {most} KiB at most, then {} KiB; small jobs began after {usual:?}, beside large ones {slowest:?}",
        stage.kind(),
        memory()
    );
    assert!(
        slowest <= usual + late(),
        "other queues wait: {usual:?}, then {slowest:?}"
    );
    stage.stop(worker);
    deed.done(rounds * how_many(4, 5), &expect.check(stage));
}

#[test]
fn large_payloads_in_redis() {
    large_payloads(&Stage::redis());
}

#[test]
fn large_payloads_in_sqlite() {
    large_payloads(&Stage::sqlite());
}

/// A server takes no packet beyond its `max_allowed_packet`, 16 MB unless told otherwise, from Laravel neither.
#[test]
fn large_payloads_in_mariadb() {
    let server = MariadbServer::start(&["--max-allowed-packet=256M"]);
    large_payloads(&Stage::on_mariadb(server.database()));
}

#[test]
fn large_payloads_in_postgres() {
    large_payloads(&Stage::postgres());
}
