//! What a person asks for: one job in the foreground, the state of the pool, the schedule.

use harness::{Signal, wait_until};
use serde_json::{Value, json};

use super::shop::{Copy, PATIENCE, Shop};

#[test]
fn one_job_runs_in_the_foreground_with_what_it_prints() {
    let shop = Shop::sqlite();
    shop.misbehave("prints");
    let payload = shop.site.jobs("default")[0].payload.to_string();
    let run = |args: &[&str], input: &str| {
        let args = [&["run-job"], args].concat();
        shop.site.worker(&args).input(input).run_to_end()
    };
    let output = run(&["--payload", "-"], &payload);
    let printed = output.success();
    assert!(
        printed.contains("A line of the job\n") && printed.contains("The job done ("),
        "{printed}"
    );
    assert!(
        output.stderr.contains("An error line of the job"),
        "{}",
        output.stderr
    );
    assert_eq!(shop.records("ran").len(), 1);
    assert_eq!(shop.site.jobs("default").len(), 1, "the queue is as it was");

    shop.push("FailingJob", &json!({"tag": "f"}));
    shop.work_off(&[]);
    let uuid = shop.site.failed()[0].uuid.clone();
    let output = run(&[&uuid], "");
    assert_eq!(output.code, 1);
    assert!(
        output
            .stdout
            .contains("RuntimeException: The job fails as it was told: f"),
        "{}",
        output.stdout
    );
    assert_eq!(shop.site.failed().len(), 1, "and stays recorded");
    assert_eq!(run(&["no-such-job"], "").code, 65);
}

#[test]
fn status_shows_the_php_processes() {
    let shop = Shop::redis().env("WORKER_PHP_PROCESSES", "2");
    let _worker = shop.start(&[]);
    shop.misbehave("sleeps");
    shop.wait_for("started", 1);
    let php = || {
        let status: Value = serde_json::from_str(&shop.site.run(&["status", "--json"])).expect("JSON");
        status["processes"][0]["php"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    wait_until(PATIENCE, || {
        php()
            .iter()
            .any(|process| process["job"] == r"App\Jobs\MisbehavingJob")
    });
    wait_until(PATIENCE, || {
        let php = php();
        let big = |process: &Value| process["memory_mb"].as_u64() > Some(5);
        php.len() == 2 && php.iter().all(big)
    });
    let text = shop.site.run(&["status"]);
    assert!(
        text.contains("php") && text.contains(r"App\Jobs\MisbehavingJob"),
        "{text}"
    );
}

/// One process of a host runs the schedule, and another takes over when it ends; what fails is said.
#[test]
fn the_schedule_runs_every_minute_once_and_tells_of_failures() {
    let shop = Shop::sqlite();
    let copy = Copy::of(&shop.site.laravel.root());
    let artisan = copy.dir.join("artisan");
    let noted = copy.dir.join("noted");
    let script = format!(
        "<?php file_put_contents('{}', getmypid().' '.$argv[1].\"\\n\", FILE_APPEND); \
         echo \"Running ['artisan' missing] .... FAIL\\n\";",
        noted.display()
    );
    std::fs::write(artisan, script).expect("the copy is ours");
    let shop = shop.env("WORKER_LARAVEL_PATH", &copy.dir.path().display().to_string());
    let args = ["--schedule", "--native-only"];
    let mut first = shop.start(&args);
    first.wait_for_line("schedule:run", PATIENCE);
    let mut second = shop.start(&args);
    second.wait_for_line("standing by", PATIENCE);
    let line = first.wait_for_line("Scheduled tasks fail", PATIENCE * 2);
    assert!(line.contains("Running ['artisan' missing] .... FAIL"), "{line}");
    let runs = std::fs::read_to_string(&noted).expect("it ran");
    assert_eq!(runs.lines().count(), 1, "{runs}");
    assert!(runs.contains(" schedule:run"));
    first.signal(Signal::Term);
    assert_eq!(first.wait_exit(PATIENCE), 0);
    second.wait_for_line("every minute", PATIENCE);
}
