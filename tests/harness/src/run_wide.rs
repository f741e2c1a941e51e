//! Servers that all test processes of one run share.
//!
//! nextest runs each test in a process of its own, and a database server takes a second to start. So the
//! first process that needs one starts it, under a lock, and the others find its port in a file. A shell
//! keeps the server for as long as the run lasts, however it ends, and then removes both.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::env_var;

/// `keeper OWNER DIR SIGNAL COMMAND…`: runs the command until the process OWNER is gone.
const KEEPER: &str = r#"
trap '' HUP INT TERM
owner=$1 dir=$2 signal=$3
shift 3
"$@" >"$dir/log" 2>&1 </dev/null &
server=$!
while kill -s 0 "$owner" && kill -s 0 "$server"; do sleep 0.3; done
kill -s "$signal" "$server"
wait "$server"
rm -rf -- "$dir" "$dir.lock"
rmdir -- "${dir%/*}"
"#;

/// A server that was prepared in a directory and is ready to be started.
pub(crate) struct Prepared {
    /// What starts it; it stays in the foreground.
    pub(crate) command: Command,
    /// Where it will listen.
    pub(crate) port: u16,
    /// The signal that ends it at once, such as `KILL`.
    pub(crate) end: &'static str,
}

/// The port of the run's server `name`: of the one that runs, or of one started now. `prepare` fills a new
/// directory; `answers` says whether the server at a port takes connections, and waits for it.
pub(crate) fn port(name: &str, prepare: impl Fn(&Path) -> Prepared, answers: impl Fn(u16) -> bool) -> u16 {
    let (run, owner) = run();
    let dir = run.join(name);
    fs::create_dir_all(&dir).expect("directories can be made in the temporary directory");
    let lock = File::create(run.join(format!("{name}.lock"))).expect("a lock file can be made");
    lock.lock().expect("a file can be locked");
    let note = dir.join("port");
    if let Some(port) = fs::read_to_string(&note).ok().and_then(|text| text.parse().ok()) {
        return port;
    }
    for _ in 0..5 {
        let Prepared { command, port, end } = prepare(&dir);
        keep(&command, owner, &dir, end);
        if answers(port) {
            fs::write(&note, port.to_string()).expect("the port can be noted");
            return port;
        }
    }
    let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
    panic!("{name} does not start:\n{log}");
}

/// The directory of this run, and the process with which it ends.
fn run() -> (PathBuf, u32) {
    let (id, owner) = match env_var("NEXTEST_RUN_ID") {
        Some(id) => (id, parent_id()),
        None => (std::process::id().to_string(), std::process::id()),
    };
    (std::env::temp_dir().join(format!("worker-test-run-{id}")), owner)
}

fn keep(command: &Command, owner: u32, dir: &Path, end: &str) {
    let mut keeper = Command::new("/bin/sh");
    keeper
        .args(["-c", KEEPER, "keeper", &owner.to_string()])
        .arg(dir)
        .arg(end)
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    // It ends by itself, after this process.
    drop(keeper.spawn().expect("/bin/sh runs"));
}
