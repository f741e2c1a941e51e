//! F33: few descriptors, and nothing that could be written to.

use harness::{DEADLINE, Daemon, Vitals};

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
}
