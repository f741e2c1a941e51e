//! Commands that a test runs to their end.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::process::code;
use crate::wait::{DEADLINE, poll};
use crate::{signals, watchdog};

/// What a finished command left.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit code, or 128 + n when signal n ended it.
    pub code: i32,
    /// Standard output, as text.
    pub stdout: String,
    /// Standard error, as text.
    pub stderr: String,
}

impl Output {
    /// The standard output of a command that must succeed.
    ///
    /// # Panics
    ///
    /// When the exit code is not 0; both streams are shown.
    #[track_caller]
    pub fn success(&self) -> &str {
        self.expect_code(0);
        &self.stdout
    }

    /// Checks the exit code.
    ///
    /// # Panics
    ///
    /// When it is another one; both streams are shown.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert!(
            self.code == code,
            "exit {} instead of {code}\n{}\n{}",
            self.code,
            self.stdout,
            self.stderr
        );
        self
    }

    /// The standard output read as one JSON value.
    ///
    /// # Panics
    ///
    /// When it is not JSON, or the command failed.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let text = self.success();
        serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON ({error}): {text}"))
    }
}

/// Runs `command` to its end with `input` on its standard input.
///
/// # Panics
///
/// When it cannot be started, or still runs after [`DEADLINE`] times three.
#[track_caller]
pub fn run_to_end(name: &str, mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("failed to start {name} ({command:?}): {error}"));
    watchdog::adopt_group(child.id());
    let mut stdin = child.stdin.take().expect("stdin was asked for");
    let stdout = child.stdout.take().expect("stdout was asked for");
    let stderr = child.stderr.take().expect("stderr was asked for");
    let output = std::thread::scope(|scope| {
        // A command that does not read its input closes the pipe: that is its right.
        scope.spawn(move || drop(std::io::Write::write_all(&mut stdin, input)));
        let stdout = scope.spawn(move || read_all(stdout));
        let stderr = scope.spawn(move || read_all(stderr));
        let status = poll(DEADLINE * 3, || {
            child.try_wait().expect("an own child can be waited for")
        });
        signals::send("KILL", -i64::from(child.id()));
        let killed = child.wait().expect("an own child can be waited for");
        let read = "the reader does not panic";
        (
            status,
            killed,
            stdout.join().expect(read),
            stderr.join().expect(read),
        )
    });
    watchdog::free_group(child.id());
    let (status, killed, stdout, stderr) = output;
    assert!(status.is_some(), "{name} did not end\n{stdout}\n{stderr}");
    Output {
        code: code(killed),
        stdout,
        stderr,
    }
}

fn read_all(mut source: impl Read) -> String {
    let mut bytes = Vec::new();
    source
        .read_to_end(&mut bytes)
        .expect("the pipe of a child can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}
