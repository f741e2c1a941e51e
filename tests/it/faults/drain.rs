//! F3: SIGTERM under load, with jobs of several lengths.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::{DEADLINE, Running, Signal, wait_until};

use super::stage::now_ms;
use super::{Deed, Expect, Stage, how_many, on_every_store};

const LENGTHS: [u64; 5] = [100, 300, 700, 1500, 5000];
/// How long the drain may take, in milliseconds.
const DRAIN: u64 = 2000;
/// What is started or ended so shortly after a moment may count as before it, in milliseconds.
const MARGIN: u64 = 300;

/// Sends SIGTERM; when it was heard, in Unix milliseconds.
fn terminate(worker: &mut Running) -> u64 {
    worker.signal(Signal::Term);
    worker.wait_for_line("Received SIGTERM", DEADLINE);
    now_ms()
}

/// The jobs that this process has begun and not ended; none of them is reserved any more, or counted.
fn cut_short(stage: &Stage, pid: u32) -> BTreeSet<String> {
    let notes = stage.notes();
    let noted = |event: &'static str| {
        let of_it = notes
            .iter()
            .filter(move |note| note.pid == pid && note.event == event);
        of_it.map(|note| note.uuid.clone())
    };
    let ended: BTreeSet<String> = noted("end").collect();
    let open = noted("start").filter(|uuid| !ended.contains(uuid)).collect();
    for job in stage.lying() {
        assert!(!job.reserved && job.attempts == 0, "it is as it was: {job:?}");
        assert!(
            !ended.contains(&job.uuid),
            "what is done does not lie there: {job:?}"
        );
    }
    open
}

/// What could not end in time, though it began early enough.
fn late(stage: &Stage, (pid, heard): (u32, u64), length_of: impl Fn(&str) -> u64) -> Vec<String> {
    let open = cut_short(stage, pid);
    let notes = stage.notes();
    let late = notes.iter().filter(|note| {
        let is_open = note.pid == pid && note.event == "start" && open.contains(&note.uuid);
        is_open && note.at + length_of(&note.uuid) + MARGIN < heard + DRAIN
    });
    late.map(|note| note.uuid.clone()).collect()
}

on_every_store! {
    fn a_drain_ends_what_it_can_and_gives_back_the_rest(stage: &Stage) {
        let deed = Deed::on(stage, "F3");
        let rounds = how_many(1, 10);
        let mut expect = Expect::default();
        for _ in 0..rounds {
            let mut jobs = Vec::new();
            let mut lengths = std::collections::BTreeMap::new();
            for length in LENGTHS.into_iter().cycle().take(30) {
                let job = stage.job(length).with("maxTries", 1).again();
                lengths.insert(job.uuid().to_owned(), length);
                jobs.push(job);
            }
            let before = stage.noted("start");
            stage.push("default", &jobs);
            let drain = (DRAIN / 1000).to_string();
            let mut worker = stage.start(&["run", "--queue", "default", "--concurrency", "10", "--drain", &drain]);
            wait_until(DEADLINE, || stage.noted("start") >= before + 12);
            let heard = terminate(&mut worker);
            assert_eq!(stage.end_of(&mut worker, DEADLINE), 0);
            let took = now_ms() - heard;
            assert!(took < DRAIN + 3000, "it ended after {took} ms");
            let pid = worker.pid();
            let starts = stage.notes().into_iter().filter(|note| note.pid == pid && note.event == "start");
            let after: Vec<_> = starts.filter(|note| note.at > heard + MARGIN).collect();
            assert!(after.is_empty(), "nothing new is begun: {after:?}");
            let late = late(stage, (pid, heard), |uuid| lengths[uuid]);
            assert!(late.is_empty(), "they had the time: {late:?}");
            let back = cut_short(stage, pid);
            assert!(!back.is_empty(), "the longest did not end");
            expect.given_back.extend(back);
            let worker = stage.start(&["run", "--queue", "default", "--concurrency", "30"]);
            stage.wait_until_empty(DEADLINE);
            stage.stop(worker);
        }
        let tally = expect.check(stage);
        deed.done(rounds, &tally);
    }

    fn a_second_signal_shortens_the_drain(stage: &Stage) {
        let deed = Deed::on(stage, "F3");
        let rounds = how_many(1, 10);
        let mut expect = Expect::default();
        for _ in 0..rounds {
            let before = stage.noted("start");
            stage.push("default", &stage.job(4000).with("maxTries", 1).times(8));
            let mut worker = stage.start(&["run", "--queue", "default", "--concurrency", "5"]);
            wait_until(DEADLINE, || stage.noted("start") >= before + 5);
            let heard = terminate(&mut worker);
            worker.wait_for_line("Draining", DEADLINE);
            worker.signal(Signal::Term);
            assert_eq!(stage.end_of(&mut worker, Duration::from_secs(10)), 1);
            let took = now_ms() - heard;
            assert!(took < 3000, "it ended after {took} ms");
            let back = cut_short(stage, worker.pid());
            assert_eq!(back.len(), 5);
            expect.given_back.extend(back);
            let worker = stage.start(&["run", "--queue", "default", "--concurrency", "8"]);
            stage.wait_until_empty(DEADLINE);
            stage.stop(worker);
        }
        let tally = expect.check(stage);
        deed.done(rounds, &tally);
    }
}
