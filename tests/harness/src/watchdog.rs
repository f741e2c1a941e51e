//! Cleans up after a test process that dies without running its destructors.
//!
//! One shell per test process reads, line by line, what belongs to the process: groups of children and
//! directories. When its standard input closes, which happens however the test process ends, it kills
//! the groups and removes the directories that were not handed back.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// `+ 12` and `- 12` for a process group, `d /dir` and `f /dir` for a directory kept and freed.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
groups=' '
dirs=' '
while read -r verb item; do
    case $verb in
        +) groups="$groups$item " ;;
        -) groups="${groups%%" $item "*} ${groups#*" $item "}" ;;
        d) dirs="$dirs$item " ;;
        f) dirs="${dirs%%" $item "*} ${dirs#*" $item "}" ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
for dir in $dirs; do rm -rf -- "$dir"; done
"#;

static WATCHDOG: OnceLock<Mutex<Child>> = OnceLock::new();

/// Kill the process group `group` when this process dies.
pub(crate) fn adopt_group(group: u32) {
    tell(&format!("+ {group}"));
}

/// The process group `group` is gone.
pub(crate) fn free_group(group: u32) {
    tell(&format!("- {group}"));
}

/// Remove the directory `dir` when this process dies.
pub(crate) fn adopt_dir(dir: &Path) {
    let text = dir.to_str().expect("a temporary directory has a plain name");
    assert!(
        dir.is_absolute() && !text.contains([' ', '\t', '\n', '*', '?', '[', '\\']),
        "the watchdog cannot keep {text:?}"
    );
    tell(&format!("d {text}"));
}

/// The directory `dir` is gone.
pub(crate) fn free_dir(dir: &Path) {
    tell(&format!("f {}", dir.display()));
}

fn tell(line: &str) {
    let mut shell: MutexGuard<'_, Child> = WATCHDOG
        .get_or_init(|| Mutex::new(start()))
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let pipe = shell.stdin.as_mut().expect("the pipe was asked for");
    writeln!(pipe, "{line}").expect("the watchdog listens");
}

fn start() -> Child {
    Command::new("/bin/sh")
        .args(["-c", SCRIPT])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("/bin/sh runs")
}
