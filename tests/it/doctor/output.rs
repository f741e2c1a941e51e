//! What is printed, and that nothing is changed.

use std::collections::BTreeMap;

use harness::{DEADLINE, Daemon, Scratch, wait_until};

use super::{Report, Shop, doctor};
use crate::site::{Job, Site, WORKER, on_every_site};

fn text(site: &Site, args: &[&str], env: &[(&str, &str)]) -> harness::Output {
    let args = [&["doctor"], args].concat();
    site.worker(&args).envs(env.iter().copied()).run_to_end()
}

on_every_site! {
    fn a_good_world_is_not_complained_of(site: &Site) {
        site.command(&["migrate"]).success();
        site.command(&["dispatch", r"Worker\Bench\Noop", "--delay", "60"]).success();
        let env = [("CACHE_PREFIX", "facturino_cache_")];
        let _worker = site.start(&["run"]);
        wait_until(DEADLINE, || site.command(&["status", "--json"]).json()["processes"][0].is_object());
        // The shared server keeps nothing, and a busy machine answers late.
        let usual = ["redis.volatile", "connection.slow"];
        let calm = |report: &Report| report.complaints().iter().all(|code| usual.contains(code));
        let report = doctor(site, &[], &env);
        assert!(calm(&report), "{:#}", report.json);
        assert_eq!(report.output.code, 0);
    }

    fn people_get_groups_with_reasons_and_commands(site: &Site) {
        site.push("banking", &Job::new("A").with("timeout", 600));
        let output = text(site, &[], &[("WORKER_LEASE", "soon")]);
        output.expect_code(1);
        let (errors, warnings) = (output.stdout.find("Errors (1)"), output.stdout.find("Warnings ("));
        assert!(errors.is_some() && errors < warnings, "{}", output.stdout);
        assert!(warnings < output.stdout.find("Notes ("), "{}", output.stdout);
        let lines: Vec<_> = output.stdout.lines().collect();
        let place = lines.iter().position(|line| line.contains("[queue.unserved]")).expect("it is found");
        assert!(lines[place].contains("queue banking has 1 jobs"), "{}", lines[place]);
        assert!(lines[place + 1].trim_start().starts_with("why: ") && lines[place + 2].trim_start().starts_with("fix: "));
        assert!(!output.stdout.contains('\u{1b}'), "no colours without a terminal");
        let coloured = text(site, &[], &[("CLICOLOR_FORCE", "1")]).stdout;
        assert!(coloured.contains("\u{1b}[33m[queue.unserved]"), "{coloured}");
        let quiet = text(site, &["-q"], &[("WORKER_LEASE", "soon")]);
        assert!(quiet.stdout.contains("[config.invalid]") && !quiet.stdout.contains("Warnings"), "{}", quiet.stdout);
    }
}

#[test]
fn nothing_is_changed_in_redis() {
    let shop = Shop::new(&[]);
    let redis = shop.server.redis();
    let jobs: Vec<_> = Job::new("A").times(3).iter().map(|job| job.text(true)).collect();
    jobs.iter().for_each(|job| redis.push("default", job));
    let _: i64 = redis.query(&["ZADD", "facturino_queues:default:reserved", "5", "lapsed"]);
    let _: i64 = redis.query(&["ZADD", "facturino_queues:default:delayed", "5", "due"]);
    let before = (redis.queue("default"), redis.keys(), redis.command_calls());
    shop.doctor(&[]);
    let calls = redis.command_calls();
    assert_eq!((redis.queue("default"), redis.keys()), (before.0, before.1));
    let count = |calls: &BTreeMap<String, u64>, name: &str| calls.get(name).copied().unwrap_or(0);
    for writing in [
        "lpush", "rpush", "ltrim", "zadd", "zrem", "del", "unlink", "set", "hset", "eval", "keys",
    ] {
        assert_eq!(count(&calls, writing), count(&before.2, writing), "{writing}");
    }
}

#[test]
fn nothing_is_changed_in_a_database_file() {
    for journal in ["delete", "wal"] {
        let site = Site::sqlite();
        site.database()
            .execute(&format!("pragma journal_mode = {journal}"));
        site.push_all("default", &Job::new("A").times(3));
        let read = || std::fs::read(site.database().path()).expect("it can be read");
        let before = read();
        let report = doctor(&site, &[], &[]);
        assert_eq!(report.store("SQLite")["payloads_seen"], 3, "{:#}", report.json);
        assert!(read() == before, "{journal}");
        let beside =
            std::fs::read_dir(site.database().path().parent().expect("a directory")).expect("it can be read");
        assert_eq!(beside.count(), 1, "{journal}: nothing is left beside it");
    }
}

#[test]
fn without_any_setting_there_is_nothing_to_examine_and_nothing_is_made() {
    let dir = Scratch::new();
    let output = Daemon::new(WORKER)
        .arg("doctor")
        .current_dir(dir.path())
        .run_to_end();
    output.success();
    assert!(!dir.join("worker.sqlite").exists());
    Daemon::new(WORKER)
        .args(["run", "--stop-when-empty"])
        .current_dir(dir.path())
        .run_to_end()
        .success();
    let output = Daemon::new(WORKER)
        .args(["doctor", "--json"])
        .current_dir(dir.path())
        .run_to_end();
    let report = output.json();
    assert_eq!(
        (&report["stores"][0]["holds"], &report["errors"]),
        (&serde_json::json!(["jobs", "failed jobs", "signals"]), &0.into())
    );
}
