//! F33: few descriptors, few processes and threads, and nothing that could be written to.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use harness::{DEADLINE, Daemon, Vitals, wait_until};

use super::{Deed, Expect, Stage, how_many, on_every_store};
use crate::site::WORKER;

/// Nobody can make a file here, root neither.
const READ_ONLY: &str = "/proc";

/// The binary with a limit on its descriptors, in a place where it can write nothing.
fn confined(stage: &Stage, descriptors: usize, args: &[&str]) -> Daemon {
    let script = format!(r#"ulimit -n {descriptors} && exec "$0" "$@""#);
    let worker = Daemon::new("/bin/sh")
        .args(["-c", &script, WORKER])
        .args(args.iter().copied());
    let worker = worker.envs(stage.env()).current_dir(READ_ONLY);
    worker.env("HOME", "/proc/none").env("TMPDIR", "/proc/none")
}

/// Processes and threads that a worker asks for, its first one included.
const THREADS: usize = 17;

/// The binary with a limit on processes and threads, which count by user. Root has none, so it becomes a user of its
/// own who may still read the test's files; anybody else may be at the limit already, and is when that is one.
fn crowded(stage: &Stage, processes: usize, args: &[&str]) -> Daemon {
    let limit = format!("--nproc={processes}");
    // No two tests may share it, nor those of one process.
    static USERS: AtomicU32 = AtomicU32::new(0);
    let user = 100_000 + std::process::id() % 1_000_000 * 16 + USERS.fetch_add(1, Ordering::Relaxed) % 16;
    let user = user.to_string();
    let rights = [
        "--inh-caps=-all,+dac_override",
        "--ambient-caps=-all,+dac_override",
    ];
    let mut words = vec!["prlimit", &limit];
    if is_root() {
        words.extend(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]);
        words.extend(rights);
    } else {
        println!("not root: the limit is that of a user who has other processes");
    }
    words.push(WORKER);
    words.extend(args);
    stage.wrapped(&words)
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout == b"0\n")
}

on_every_store! {
    /// A worker needs few descriptors, and no more with time.
    fn sixty_four_descriptors_are_enough(stage: &Stage) {
        let deed = Deed::on(stage, "F33");
        let args = ["run", "--queue", "default", "--concurrency", "10"];
        let worker = crate::site::started(confined(stage, 64, &args).spawn());
        let rounds = how_many(2, 20);
        let mut seen = Vec::new();
        for _ in 0..rounds {
            stage.push("default", &stage.job(5).with("maxTries", 1).times(500));
            stage.wait_until_empty(DEADLINE);
            seen.push(Vitals::of(worker.pid()).descriptors);
        }
        assert!(seen.iter().all(|open| *open < 40), "{seen:?}");
        let tally = Expect::default().check(stage);
        stage.stop(worker);
        deed.done(rounds, &tally);
    }

    /// With too few it does not start, says so, and ends; it does not try for ever, and takes no job.
    fn too_few_descriptors_are_an_error(stage: &Stage) {
        let deed = Deed::on(stage, "F33");
        stage.push("default", &stage.job(5).times(1));
        for descriptors in 4..=how_many(9, 12) {
            let worker = confined(stage, descriptors, &["run", "--queue", "default"]).env("WORKER_START_WAIT", "1");
            let output = worker.run_to_end();
            assert_ne!(output.code, 0, "{descriptors} are too few");
            let why = ["open files", "os error 24", "descriptors"];
            assert!(why.iter().any(|why| output.stderr.contains(why)), "{descriptors}: {}", output.stderr);
        }
        assert!(stage.lying().iter().all(|job| job.attempts == 0 && !job.reserved));
        let tally = Expect { waiting: true, ..Expect::default() }.check(stage);
        deed.done(6, &tally);
    }

    /// With too few threads it does not start, says so, and ends; it takes no job.
    fn too_few_threads_are_an_error(stage: &Stage) {
        let deed = Deed::on(stage, "F33");
        stage.push("default", &stage.job(5).times(1));
        let tried = if is_root() { vec![1, 2, 5, THREADS - 1] } else { vec![1] };
        for processes in &tried {
            let output = crowded(stage, *processes, &["run", "--queue", "default"]).run_to_end();
            output.expect_code(1);
            let why = "raise the limit of processes and threads";
            assert!(output.stderr.contains(why), "{processes}: {}", output.stderr);
            assert!(!output.stderr.contains("panicked"), "{processes}: {}", output.stderr);
        }
        assert!(stage.lying().iter().all(|job| job.attempts == 0 && !job.reserved));
        let tally = Expect { waiting: true, ..Expect::default() }.check(stage);
        deed.done(tried.len(), &tally);
    }

    /// With just enough of them all jobs run.
    fn just_enough_threads_will_do(stage: &Stage) {
        if !is_root() {
            println!("not root: how many threads its user has already is not known, so there is no limit here");
        }
        let deed = Deed::on(stage, "F33");
        let limit = if is_root() { THREADS } else { 100_000 };
        let worker = crowded(stage, limit, &["run", "--queue", "default", "--concurrency", "20"]);
        let worker = crate::site::started(worker.spawn());
        stage.push("default", &stage.job(5).with("maxTries", 1).times(how_many(200, 10_000)));
        stage.wait_until_empty(DEADLINE * 3);
        let tally = Expect::default().check(stage);
        stage.stop(worker);
        deed.done(1, &tally);
    }
}

/// A limit that leaves room for some PHP processes only: those run all jobs, it is said once why there are no more,
/// and nobody tries all the time.
#[test]
fn too_few_processes_for_php() {
    let stage = Stage::redis().with_php();
    stage.open_to_all();
    let deed = Deed::on(&stage, "F33");
    let args = ["run", "--queue", "default", "--concurrency", "8"];
    // Not root: nobody knows how many its user has, so it is the worker alone that is looked at.
    let limit = if is_root() { THREADS + 2 } else { 100_000 };
    let worker =
        crowded(&stage, limit, &args).env("WORKER_PHP_PROCESSES", if is_root() { "30" } else { "2" });
    let mut worker = crate::site::started(worker.spawn());
    stage.push("default", &stage.php_job(5).with("maxTries", 1).times(50));
    stage.push("default", &stage.job(5).with("maxTries", 1).times(50));
    stage.wait_until_empty(DEADLINE * 3);
    if is_root() {
        worker.wait_for_line("os error 11", DEADLINE * 3);
        let (began, before) = (std::time::Instant::now(), told(&worker));
        wait_until(DEADLINE, || began.elapsed().as_secs() >= 3);
        assert!(
            before == 1 && told(&worker) == 1,
            "said once: {:?}",
            worker.lines()
        );
    }
    stage.stop(worker);
    deed.done(1, &Expect::default().check(&stage));
}

/// How often a worker has said that it gets no more processes.
fn told(worker: &harness::Running) -> usize {
    worker
        .lines()
        .iter()
        .filter(|line| line.contains("os error 11"))
        .count()
}
