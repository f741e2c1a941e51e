//! What PHP code writes where it should not disturbs nobody.

use serde_json::json;

use super::shop::{PATIENCE, Shop, runs};

#[test]
fn garbage_on_the_socket_ends_the_process_and_nothing_else() {
    let shop = Shop::sqlite().env("WORKER_PHP_PROCESSES", "1");
    for how in ["writesGarbage", "writesHalfAFrame"] {
        shop.misbehave(how);
        shop.push("RecordJob", &json!({"tag": how}));
    }
    let _worker = shop.start(&["--timeout=3"]);
    shop.wait_for("ran", 2);
    shop.site.wait_until_empty();
    let failures = shop.failures();
    let garbage = &failures["writesGarbage"].exception;
    assert!(
        garbage.contains("it was killed because it wrote something else than frames to its socket"),
        "{garbage}"
    );
    let half = &failures["writesHalfAFrame"].exception;
    assert!(
        half.starts_with(r"Illuminate\Queue\TimeoutExceededException"),
        "{half}"
    );
}

/// 100 MB of output in one line: the job ends well, the log stays small, and so does the worker.
#[test]
fn a_flood_of_output_is_cut_off_and_printing_is_logged() {
    let shop = Shop::sqlite().env("WORKER_PHP_PROCESSES", "1");
    shop.misbehave("floods");
    shop.misbehave("prints");
    shop.misbehave("closesItsOutput");
    let mut worker = shop.start(&["-v"]);
    shop.wait_for("ran", 3);
    shop.site.wait_until_empty();
    worker.wait_for_line("prints more than 65536 bytes", PATIENCE);
    worker.wait_for_line("PHP: A line of the job", PATIENCE);
    worker.wait_for_line("PHP: An error line of the job", PATIENCE);
    let logged: usize = worker.lines().iter().map(String::len).sum();
    assert!(logged < 200_000, "{logged} bytes of log");
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.pid())).expect("the worker runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: u64 = peak
        .and_then(|text| text.trim().trim_end_matches(" kB").trim().parse().ok())
        .expect("a number of kilobytes");
    assert!(peak < 150_000, "{peak} kB");
}

/// A job that leaves a child behind, which holds its pipes and its socket open, has ended all the same.
#[test]
fn a_child_of_a_job_holds_up_nobody() {
    let shop = Shop::sqlite().env("WORKER_PHP_PROCESSES", "1");
    shop.misbehave("forks");
    shop.push("RecordJob", &json!({"tag": "next"}));
    let mut worker = shop.start(&[]);
    shop.wait_for("ran", 2);
    shop.site.wait_until_empty();
    let forked = u32::try_from(shop.wait_for("forked", 1)[0].pid).expect("a process id");
    worker.signal(harness::Signal::Term);
    assert_eq!(worker.wait_exit(PATIENCE), 0);
    harness::wait_until(PATIENCE, || !runs(forked));
}
