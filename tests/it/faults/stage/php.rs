//! A stage whose worker runs the jobs of a Laravel application, in PHP processes.

use std::time::{Duration, Instant};

use harness::{DEADLINE, Daemon, Laravel, wait_until};

use super::{Stage, now_ms};
use crate::php::shop::runs;
use crate::site::Job;

/// Makes one test of each case for every kind of store, with a Laravel application on it.
macro_rules! on_every_application {
    ($($(#[$doc:meta])* fn $name:ident($stage:ident: &Stage) $body:block)*) => {
        $($(#[$doc])* fn $name($stage: &Stage) $body)*

        crate::faults::stage::application_tests!(redis { $($name)* });
        crate::faults::stage::application_tests!(sqlite { $($name)* });
        crate::faults::stage::application_tests!(mariadb { $($name)* });
        crate::faults::stage::application_tests!(postgres { $($name)* });
    };
}

macro_rules! application_tests {
    ($kind:ident { $($name:ident)* }) => {
        mod $kind {
            $(#[test] fn $name() { super::$name(&crate::faults::Stage::$kind().with_php()); })*
        }
    };
}

pub(crate) use {application_tests, on_every_application};

impl Stage {
    /// With the Laravel application of the tests, and the tables by which a batch counts a job once.
    pub(crate) fn with_php(mut self) -> Self {
        self.php = Some(Laravel::new());
        self.worker(&["migrate"]).run_to_end().success();
        self
    }

    /// A command with the application's variables, such as one that starts the binary.
    pub(crate) fn wrapped(&self, words: &[&str]) -> Daemon {
        let (program, args) = words.split_first().expect("a command has a name");
        let command = Daemon::new(program).args(args.iter().copied());
        command.envs(self.php_env()).envs(self.env())
    }

    /// Lets any user write what the application writes: PHP asks for the rights of the user, whatever else it may.
    pub(crate) fn open_to_all(&self) {
        let laravel = self.php.as_ref().expect("the stage has an application");
        let storage = laravel.storage();
        std::fs::create_dir_all(storage.join("framework/cache/data")).expect("a directory can be made");
        std::fs::create_dir_all(storage.join("logs")).expect("a directory can be made");
        let home = storage.parent().expect("it is in a directory");
        let opened = std::process::Command::new("chmod")
            .args(["-R", "a+rwX"])
            .arg(home)
            .status();
        assert!(opened.is_ok_and(|status| status.success()), "chmod");
    }

    /// What the worker needs to know of the application.
    fn php_env(&self) -> Vec<(String, String)> {
        let Some(laravel) = &self.php else {
            return Vec::new();
        };
        let mut env = laravel.environment();
        let root = laravel.root().display().to_string();
        env.push(("WORKER_LARAVEL_PATH".to_owned(), root));
        env
    }

    /// A job that only PHP can run: it sleeps for so long and keeps the journal.
    pub(crate) fn php_job(&self, sleep_ms: u64) -> Job {
        let journal = self.journal();
        let journal = journal.to_str().expect("a temporary directory has a plain name");
        Job::new(r"App\Jobs\JournalJob")
            .set("sleepMs", sleep_ms)
            .set("journal", journal)
    }

    /// Remembers when a worker was killed, and its PHP processes with it, and waits until those are gone.
    /// Returns how long the last of them lived on.
    #[track_caller]
    pub(crate) fn mourn(&self, worker: u32, children: &[u32]) -> Duration {
        let (began, now) = (Instant::now(), now_ms());
        let dead = [&[worker], children].concat().into_iter();
        self.deaths.borrow_mut().extend(dead.map(|pid| (pid, now)));
        wait_until(DEADLINE, || !children.iter().any(|child| runs(*child)));
        began.elapsed()
    }
}
