//! A script of ours that is run once in a PHP process, and answers in lines.

use std::ffi::OsStr;
use std::io;
use std::process::Command;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::children::{Children, Exit};
use super::output::Output;
use super::settings::Settings;

/// How many bytes of answers are read.
const CAP: usize = 16 * 1024 * 1024;
/// How long a process may take to end once it has closed its socket.
const ENDING: Duration = Duration::from_secs(1);

/// What a script had to say.
#[derive(Debug)]
pub struct Ran {
    /// Its answers, one line each.
    pub lines: Vec<String>,
    /// How its process ended; `None` when it took too long and was killed.
    pub exit: Option<Exit>,
    /// The last words on standard error.
    pub words: String,
}

/// The command that runs `script`, a file with its opening tag, for the application of `settings`.
pub(super) fn command(settings: &Settings, script: &str, descriptor: i32) -> Command {
    let mut command = Command::new(&settings.binary);
    // `php -r` does not take the opening tag.
    let script = script.trim_start_matches("<?php");
    command
        .args(&settings.args)
        .args(["-r", script, "--", &descriptor.to_string()])
        .arg(&settings.base)
        .env_clear()
        .envs((settings.env)())
        .current_dir(&settings.base);
    command
}

/// Runs `script` with more arguments and waits for its end, for `limit` at most; then its process group is killed.
///
/// # Errors
/// When the system cannot start PHP, or talk to it.
pub async fn run(
    children: &Children,
    settings: &Settings,
    (script, arguments): (&str, &[&OsStr]),
    limit: Duration,
) -> io::Result<Ran> {
    let (child, socket) = children
        .spawn_talking(|descriptor| {
            let mut command = command(settings, script, descriptor);
            command.args(arguments);
            command
        })
        .await?;
    let (group, mut exit) = (child.group(), child.exit);
    let opened = socket.set_nonblocking(true).and_then(|()| {
        let output = Output::read(group.id(), child.stdout, child.stderr, settings.sink)?;
        Ok((UnixStream::from_std(socket)?, output))
    });
    let (mut stream, mut output) = opened.inspect_err(|_| group.kill())?;
    let mut said = BytesMut::new();
    let reading = async { while said.len() < CAP && matches!(stream.read_buf(&mut said).await, Ok(1..)) {} };
    let in_time = tokio::time::timeout(limit, reading).await.is_ok();
    let ended = async { exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit) };
    let exit = match in_time {
        true => tokio::time::timeout(ENDING, ended).await.ok().flatten(),
        false => None,
    };
    if exit.is_none() {
        group.kill();
    }
    Ok(Ran {
        lines: String::from_utf8_lossy(&said)
            .lines()
            .map(str::to_owned)
            .collect(),
        exit,
        words: output.last_words().await,
    })
}
