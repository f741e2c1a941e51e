//! F20: payloads of every bad kind among good ones: each leaves one failed row with its bytes kept, the worker
//! lives, and the next good job runs at once.

use std::time::{Duration, Instant};

use harness::{DEADLINE, Running, wait_until};
use serde_json::{Value, json};
use worker::wire::raw;

use super::{Deed, Expect, Stage, how_many, on_every_store};
use crate::poison::unreadable;
use crate::site::Job;

/// A second is promised for a good job behind a bad one; the rest is for a busy machine.
const SOON: Duration = Duration::from_secs(5);

/// One payload, by what is bad about it.
type Poison = (&'static str, Vec<u8>);

/// Every bad kind. `round` makes its bytes others than those of another round, or Redis could not tell them apart.
fn every_kind(stage: &Stage, round: usize) -> Vec<Poison> {
    let mut all = unreadable();
    all.extend(readable(stage));
    for (_, bytes) in &mut all {
        bytes.extend(vec![b'\t'; round]);
    }
    all
}

/// Those that are JSON objects which name a job.
fn readable(stage: &Stage) -> Vec<Poison> {
    let for_redis = stage.redis_client().is_some();
    let text = |job: &Job| job.text(for_redis);
    let command = |command: &str| {
        let data = json!({"commandName": r"Worker\Demo\Broken", "command": command});
        text(&Job::broken().with("data", data))
    };
    let member = |name: &str, value: &str| {
        let text = text(&Job::broken());
        let null = format!("\"{name}\":null");
        assert!(text.contains(&null), "{text}");
        text.replace(&null, &format!("\"{name}\":{value}"))
    };
    let mut nameless = Job::broken().json(for_redis);
    nameless.as_object_mut().expect("an object").shift_remove("uuid");
    let lists = json!({"list": [], "object": {}, "big": 1.0e300});
    let deep = format!("{}i:1;{}", "a:1:{i:0;".repeat(10_000), "}".repeat(10_000));
    let all = [
        ("no uuid", nameless.to_string()),
        ("a text for a number", member("maxTries", "\"three\"")),
        ("a list for a number", member("timeout", "[1,{}]")),
        ("huge integers", member("timeout", "99999999999999999999999999")),
        ("an infinite number", member("delay", "1e400")),
        ("a class that nobody has", text(&Job::new(r"App\Jobs\Elsewhere"))),
        (
            "a class name of a million letters",
            text(&Job::new(&"A".repeat(1_000_000))),
        ),
        (
            "[] and {}",
            text(&Job::new(r"App\Jobs\Elsewhere").with("tags", lists)),
        ),
        ("no command", command("")),
        (
            "half a command",
            command("O:18:\"Worker\\Demo\\Broken\":1:{s:1:\"a\";"),
        ),
        ("a wrong length", command("O:99:\"Worker\\Demo\\Broken\":0:{}")),
        ("a huge count", command("a:999999999:{}")),
        (
            "a deep command",
            command(&format!("O:18:\"Worker\\Demo\\Broken\":1:{{s:1:\"a\";{deep}}}")),
        ),
        (
            "not to be decrypted",
            command("eyJpdiI6ImFiYyIsInZhbHVlIjoiYWJjIiwibWFjIjoiYWJjIiwidGFnIjoiIn0="),
        ),
    ];
    all.into_iter()
        .map(|(what, text)| (what, text.into_bytes()))
        .collect()
}

/// Whether no text column of this store can hold these bytes: then nobody can push them there, Laravel neither.
fn cannot_hold(stage: &Stage, bytes: &[u8]) -> bool {
    match stage.kind() {
        "postgres" => std::str::from_utf8(bytes).is_err() || bytes.contains(&0),
        "mariadb" => std::str::from_utf8(bytes).is_err(),
        _ => false,
    }
}

/// Pushes what the store can hold, and says what it cannot.
fn held(stage: &Stage, round: usize) -> Vec<Poison> {
    let (refused, held): (Vec<_>, Vec<_>) = every_kind(stage, round)
        .into_iter()
        .partition(|(_, bytes)| cannot_hold(stage, bytes));
    for (what, bytes) in refused {
        println!(
            "{} cannot hold {what:?}: it is refused when it is pushed",
            stage.kind()
        );
        assert!(!stage.try_push("default", bytes), "{what}");
    }
    held
}

/// Whether the record kept what was pushed. On Redis the number of attempts is part of the payload.
fn is_kept(pushed: &[u8], kept: &[u8]) -> bool {
    let counted = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\"attempts\":1", "\"attempts\":0");
    kept == pushed || counted(kept) == String::from_utf8_lossy(pushed)
}

/// The same for an object that had no number of attempts, and got one there.
fn is_completed(pushed: &[u8], kept: &[u8]) -> bool {
    let members = |bytes| serde_json::from_slice::<serde_json::Map<String, Value>>(bytes).ok();
    members(kept)
        .is_some_and(|mut kept| kept.shift_remove("attempts").is_some() && Some(kept) == members(pushed))
}

/// Pushes a good job and returns how long it took to its end.
fn good_one(stage: &Stage, good: &Job) -> Duration {
    let began = Instant::now();
    let uuid = stage.push("default", &[good.again()]).remove(0);
    let is_its = |note: super::stage::Note| note.event == "end" && note.uuid == uuid;
    wait_until(DEADLINE, || stage.notes().into_iter().any(is_its));
    began.elapsed()
}

/// Bad payloads one by one, each with a good one behind it, then many at once among good ones.
fn feed(stage: &Stage, good: &Job) -> Vec<Poison> {
    let mut all = held(stage, 0);
    let mut slowest = Duration::ZERO;
    for (_, bytes) in &all {
        stage.push_raw("default", bytes);
        slowest = slowest.max(good_one(stage, good));
    }
    println!(
        "{}: a good job behind a bad one took {slowest:?} at most",
        stage.kind()
    );
    assert!(slowest < SOON, "a good job took {slowest:?}");
    for round in 1..=how_many(1, 30) {
        for (what, bytes) in held(stage, round) {
            stage.push_raw("default", &bytes);
            stage.push("default", &[good.again()]);
            all.push((what, bytes));
        }
    }
    stage.wait_until_empty(DEADLINE * 3);
    let slowest = good_one(stage, good);
    assert!(slowest < SOON, "after all of them a good job took {slowest:?}");
    all
}

/// Holds that each bad payload has one record, which kept it, and tells the oracle of them.
#[track_caller]
fn failed_once(stage: &Stage, poison: &[Poison]) -> Expect {
    let failed = stage.failed();
    assert_eq!(failed.len(), poison.len(), "one record for each");
    let mut kept: Vec<_> = failed.iter().map(|row| raw::from_text(&row.payload)).collect();
    for (what, bytes) in poison {
        let exact = kept.iter().position(|kept| is_kept(bytes, kept));
        let found = exact.or_else(|| kept.iter().position(|kept| is_completed(bytes, kept)));
        kept.swap_remove(found.unwrap_or_else(|| panic!("{what}: its bytes are not kept")));
    }
    for row in &failed {
        stage.adopt("default", [row.uuid.clone()]);
    }
    Expect::default().failing(failed.iter().map(|row| &row.uuid))
}

#[track_caller]
fn survive(stage: &Stage, worker: Running, good: &Job) {
    let deed = Deed::on(stage, "F20");
    let poison = feed(stage, good);
    stage.stop(worker);
    let tally = failed_once(stage, &poison).check(stage);
    deed.done(poison.len(), &tally);
}

/// PostgreSQL tells of new jobs where it was told to; else idle workers look for them every few seconds.
fn announce(stage: &Stage) {
    if stage.kind() == "postgres" {
        stage.worker(&["migrate", "--notify"]).run_to_end().success();
    }
}

on_every_store! {
    fn poison_among_good_jobs(stage: &Stage) {
        announce(stage);
        let args = ["run", "--queue", "default", "--on-unknown=fail"];
        survive(stage, stage.start(&args), &stage.job(1));
    }
}

/// A class that nobody here has goes to PHP, and fails there, once.
fn poison_among_jobs_of_php(stage: &Stage) {
    announce(stage);
    let args = ["run", "--queue", "default"];
    let worker = stage.worker(&args).env("WORKER_PHP_PROCESSES", "2");
    let worker = crate::site::started(worker.spawn());
    let good = stage.php_job(1);
    // The first one waits for PHP to boot.
    good_one(stage, &good);
    survive(stage, worker, &good);
    let unknown = |row: &harness::FailedRow| row.exception.contains("UnknownJobException");
    assert!(!stage.failed().iter().any(unknown), "PHP has the last word");
}

#[test]
fn poison_among_jobs_of_php_in_redis() {
    poison_among_jobs_of_php(&Stage::redis().with_php());
}

#[test]
fn poison_among_jobs_of_php_in_postgres() {
    poison_among_jobs_of_php(&Stage::postgres().with_php());
}
