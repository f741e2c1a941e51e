//! The harness keeps its own promises.

mod databases;
mod laravel;
mod proxy;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use harness::{
    DEADLINE, Daemon, HttpStandIn, RedisOptions, RedisServer, Reply, Running, Scratch, Signal, env_var, poll,
    shared_redis, wait_until,
};

fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn shell(script: &str) -> Daemon {
    Daemon::new("/bin/sh").args(["-c", script])
}

#[test]
fn a_redis_server_is_gone_after_drop() {
    let server = RedisServer::start(RedisOptions::default());
    let port = server.port();
    assert!(listens(port));
    drop(server);
    assert!(!listens(port));
}

#[test]
fn a_redis_server_can_be_frozen_killed_and_started_again() {
    let mut server = RedisServer::start(RedisOptions::default().append_only());
    let redis = server.redis();
    redis.push("default", "first");

    server.pause();
    assert!(listens(server.port()), "the kernel still accepts connections");
    server.resume();

    server.kill();
    assert!(!listens(server.port()));
    assert!(redis.try_query::<String>(&["PING"]).is_err());

    server.restart();
    let queue = redis.queue("default");
    assert_eq!(queue.ready[0].text(), "first");
    assert_eq!(queue.notify, 1);
}

#[test]
fn a_shared_redis_removes_its_keys() {
    let redis = shared_redis();
    redis.push("default", "mine");
    let queue = redis.key("queues:default");
    assert_eq!(
        redis
            .keys()
            .into_iter()
            .filter(|key| key.starts_with(redis.prefix()))
            .count(),
        2
    );
    drop(redis);
    assert!(!shared_redis().keys().contains(&queue));
}

#[test]
fn a_process_has_a_clean_environment_and_an_empty_directory() {
    let output = shell("pwd; ls -A; env | cut -d= -f1 | sort | tr '\\n' ' '; cat")
        .env("OURS", "1")
        .input("in");
    let output = output.run_to_end();
    let mut lines = output.success().lines();
    assert!(lines.next().is_some_and(|dir| dir.contains("worker-test-")));
    // The shell itself adds PWD and the like.
    let names = lines.next().expect("the names of the variables");
    for name in names.split_whitespace() {
        assert!(
            ["OURS", "PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_", "in"].contains(&name),
            "{name}"
        );
    }
    assert!(names.ends_with(" in"), "standard input arrives");
}

#[test]
fn a_process_hears_signals_and_shows_its_lines() {
    let script = "trap 'echo ended >&2; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let mut process = shell(script).spawn();
    assert_eq!(process.wait_for_line("ready", DEADLINE), "ready");
    process.signal(Signal::Term);
    assert_eq!(process.wait_exit(DEADLINE), 7);
    assert_eq!(process.wait_for_line("ended", DEADLINE), "ended");
    assert_eq!(process.lines(), ["ready", "ended"]);
}

#[test]
fn a_dropped_process_takes_its_group_with_it() {
    let mut process = shell("sleep 1000 & echo $!; wait").spawn();
    let child = process.wait_for_line("", DEADLINE);
    drop(process);
    wait_until(DEADLINE, || {
        shell(&format!("kill -0 {child}")).run_to_end().code != 0
    });
}

/// The variable that makes the test below play the test process that dies.
const ROLE: &str = "HARNESS_TEST_DIES";

#[test]
fn a_killed_test_process_leaves_nothing() {
    let me = std::env::current_exe().expect("the test binary has a path");
    if env_var(ROLE).is_some() {
        let scratch = Scratch::new();
        let server = RedisServer::start(RedisOptions::default());
        println!("started {} {}", server.port(), scratch.path().display());
        poll(DEADLINE * 3, || None::<()>);
        return;
    }
    let mut command = Command::new(me);
    command
        .args([
            "--exact",
            "harness::a_killed_test_process_leaves_nothing",
            "--nocapture",
        ])
        .env(ROLE, "1");
    let mut victim = Running::spawn("a test process", command);
    let line = victim.wait_for_line("started ", DEADLINE);
    let (_, rest) = line.split_once("started ").expect("the line that was waited for");
    let (port, dir) = rest.split_once(' ').expect("a port and a directory");
    let port = port.parse().expect("a port");
    assert!(listens(port));
    victim.kill();
    wait_until(DEADLINE, || !listens(port) && !std::path::Path::new(dir).exists());
}

#[test]
fn a_wait_has_a_deadline() {
    assert_eq!(poll(Duration::from_millis(5), || None::<()>), None);
}

fn ask(url: &str, body: &str) -> String {
    let address = url.trim_start_matches("http://");
    let (address, path) = address.split_once('/').expect("the URL has a path");
    let mut stream = TcpStream::connect(address).expect("the stand-in listens");
    write!(
        stream,
        "POST /{path} HTTP/1.1\r\nX-Test: 1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the stand-in reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the stand-in answers");
    answer
}

#[test]
fn an_http_server_answers_as_told_and_remembers() {
    let server = HttpStandIn::start([
        Reply::status(503).header("Retry-After", "7"),
        Reply::status(200).body("done").after(Duration::from_millis(20)),
    ]);
    let url = server.url("/hook?x=1");
    assert!(ask(&url, "{}").contains("Retry-After: 7\r\n"));
    assert!(ask(&url, "[1]").starts_with("HTTP/1.1 200 "));
    assert!(
        ask(&url, "").ends_with("\r\n\r\ndone"),
        "the last answer is repeated"
    );
    let requests = server.wait_for(3);
    assert_eq!(
        (requests[1].method.as_str(), requests[1].path.as_str()),
        ("POST", "/hook?x=1")
    );
    assert_eq!(requests[1].header("x-test"), Some("1"));
    assert_eq!(requests[1].json(), serde_json::json!([1]));
}
