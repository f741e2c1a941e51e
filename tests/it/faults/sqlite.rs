//! F16: an SQLite file that somebody else has locked, whose disk is full, or whose log was deleted.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::{DEADLINE, Running, Scratch, SqliteDatabase, Stream, wait_until};
use sqlx::{Connection, SqliteConnection};

use super::{Deed, Expect, Stage, how_many};

/// How soon the work goes on.
const SOON: Duration = Duration::from_secs(15);

/// How many lines of a worker's log contain a text.
fn said(worker: &Running, text: &str) -> usize {
    let lines = worker.lines_of(Stream::Err).into_iter();
    lines.filter(|line| line.contains(text)).count()
}

/// Processor time that a process has used, in hundredths of a second.
fn ticks(worker: &Running) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", worker.pid())).expect("the process lives");
    // `pid (name) state …`; the name may hold anything.
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let used = rest
        .split(' ')
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().expect("a number"));
    used.sum()
}

/// Another program that writes to the file.
struct Other {
    runtime: tokio::runtime::Runtime,
    connection: SqliteConnection,
}

impl Other {
    fn of(stage: &Stage) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(file_of(stage))
            .busy_timeout(DEADLINE);
        let connection = runtime.block_on(SqliteConnection::connect_with(&options));
        Self {
            runtime,
            connection: connection.expect("the file can be opened"),
        }
    }

    fn run(&mut self, sql: &'static str) {
        let done = self
            .runtime
            .block_on(async { sqlx::query(sql).execute(&mut self.connection).await });
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

/// A lock that is held for ten seconds, longer than SQLite's own patience, costs time and nothing else.
#[test]
fn a_lock_that_others_hold() {
    let stage = Stage::sqlite();
    let deed = Deed::on(&stage, "F16");
    let mut worker = stage.start(&["run", "--queue", "default", "--concurrency", "5"]);
    let mut other = Other::of(&stage);
    let locks = how_many(1, 20);
    for lock in 1..=locks {
        stage.push("default", &stage.job(200).times(40));
        let before = stage.noted("end");
        wait_until(DEADLINE, || stage.noted("end") > before + 5);
        other.run("BEGIN EXCLUSIVE");
        let (began, used) = (Instant::now(), ticks(&worker));
        wait_until(DEADLINE, || said(&worker, "trying again until it works") >= lock);
        wait_until(DEADLINE, || began.elapsed() >= Duration::from_secs(10));
        let used = ticks(&worker) - used;
        let running = stage.noted("start") - stage.noted("end");
        assert_eq!(running, 0, "what ran has ended");
        other.run("COMMIT");
        println!("{used} ticks of processor time in {:?}", began.elapsed());
        assert!(used < 300, "no busy loop: {used} ticks in {:?}", began.elapsed());
        stage.wait_until_empty(SOON);
        worker.wait_for_line("The store works again after ", DEADLINE);
    }
    stage.stop(worker);
    deed.done(locks, &Expect::default().check(&stage));
}

/// The limit to the files of the worker, in bytes: its jobs' journal stays below, the file of the queue is larger.
const LIMIT: usize = 128 << 10;

/// A disk that can be made full: a small file system of its own where that may be mounted, else a limit to the
/// files of the worker.
struct Disk {
    dir: Scratch,
    is_mounted: bool,
}

impl Disk {
    fn new() -> Self {
        let dir = Scratch::new();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "none"])
            .arg(dir.path())
            .output();
        let is_mounted = mount.is_ok_and(|done| done.status.success());
        println!("a file system of its own: {is_mounted}");
        Self { dir, is_mounted }
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }

    fn fill(&self, worker: &Running) {
        if !self.is_mounted {
            return limit_files(worker, &LIMIT.to_string());
        }
        let ballast = fs::File::options().create(true).append(true).open(self.ballast());
        let mut ballast = ballast.expect("a file without content takes no space");
        for size in [1 << 16, 1 << 10, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn free(&self, worker: &Running) {
        if !self.is_mounted {
            return limit_files(worker, "unlimited");
        }
        fs::remove_file(self.ballast()).expect("it is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted {
            drop(Command::new("umount").arg("--lazy").arg(self.dir.path()).output());
        }
    }
}

/// Lets a process write no file beyond a size.
fn limit_files(worker: &Running, bytes: &str) {
    let pid = worker.pid().to_string();
    let limit = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--fsize={bytes}:")])
        .output();
    assert!(limit.is_ok_and(|done| done.status.success()), "prlimit");
}

/// A full disk: nothing more is taken, what runs ends, its reservations are kept, and all goes on when there is
/// space.
fn a_full_disk(journal: &'static str) {
    let disk = Disk::new();
    let stage = Stage::on_sqlite(SqliteDatabase::below(disk.dir.path()));
    let mut other = Other::of(&stage);
    other.run(journal);
    if !disk.is_mounted {
        // The rows of jobs come behind this.
        other.run("create table ballast as select zeroblob(1048576) as bytes");
    }
    drop(other);
    let deed = Deed::on(&stage, "F16");
    let mut worker = stage.start(&["run", "--queue", "default", "--concurrency", "10"]);
    // The journal of 60 jobs has 10 KB.
    let times = how_many(1, if disk.is_mounted { 20 } else { 8 });
    for time in 1..=times {
        stage.push("default", &stage.job(300).times(60));
        let before = stage.noted("end");
        wait_until(DEADLINE, || stage.noted("end") > before + 10);
        // Again and again: a rollback journal that is deleted meanwhile leaves space.
        wait_until(DEADLINE, || {
            disk.fill(&worker);
            let is_full = said(&worker, "trying again until it works") >= time;
            is_full && stage.noted("start") == stage.noted("end")
        });
        let (started, used, began) = (stage.noted("start"), ticks(&worker), Instant::now());
        wait_until(DEADLINE, || began.elapsed() >= Duration::from_secs(3));
        assert_eq!(stage.noted("start"), started, "nothing more is taken");
        assert!(ticks(&worker) - used < 100, "no busy loop");
        let ran: Vec<String> = stage.notes().into_iter().map(|note| note.uuid).collect();
        let lying = stage.lying();
        let unsettled: Vec<_> = lying.iter().filter(|job| ran.contains(&job.uuid)).collect();
        assert!(unsettled.iter().all(|job| job.reserved), "{unsettled:?}");
        println!(
            "{} have ended and are still reserved, {} lie there",
            unsettled.len(),
            lying.len()
        );
        disk.free(&worker);
        stage.wait_until_empty(SOON);
        worker.wait_for_line("The store works again after ", DEADLINE);
    }
    stage.stop(worker);
    let tally = Expect::default().check(&stage);
    assert_eq!(tally.done, times * 60);
    deed.done(times, &tally);
}

#[test]
fn a_full_disk_with_a_rollback_journal() {
    a_full_disk("PRAGMA journal_mode = DELETE");
}

#[test]
fn a_full_disk_with_a_log() {
    a_full_disk("PRAGMA journal_mode = WAL");
}

/// Somebody tidies up and deletes the log of a file that is in use: the worker sees what others write after
/// that, and they what it writes.
#[test]
fn a_log_that_is_deleted() {
    let mut stage = Stage::sqlite();
    let path = file_of(&stage);
    Other::of(&stage).run("PRAGMA journal_mode = WAL");
    let deed = Deed::on(&stage, "F16");
    let worker = stage.start(&["run", "--queue", "default", "--concurrency", "5"]);
    let times = how_many(3, 50);
    for time in 0..=times {
        stage.push("default", &stage.job(1).times(20));
        stage.wait_until_empty(SOON);
        assert_eq!(
            stage.database().number("select count(*) from jobs"),
            0,
            "others see that too"
        );
        if time < times {
            // All is in the file itself, so that the fault takes nothing away.
            Other::of(&stage).run("PRAGMA wal_checkpoint(TRUNCATE)");
            for end in ["-wal", "-shm"] {
                // SQLite removes it itself when nobody has the file open.
                let removed = fs::remove_file(format!("{}{end}", path.display()));
                assert!(time > 0 || removed.is_ok(), "{removed:?}");
            }
            stage.reopen(&path);
        }
    }
    stage.stop(worker);
    assert_eq!(stage.database().texts("PRAGMA integrity_check"), ["ok"]);
    deed.done(times, &Expect::default().check(&stage));
}

/// The file of the stage.
fn file_of(stage: &Stage) -> PathBuf {
    let env = stage.env();
    let path = env.iter().find(|(name, _)| *name == "DB_DATABASE");
    PathBuf::from(&path.expect("a file").1)
}
