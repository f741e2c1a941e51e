//! PHP that is missing, an application that does not boot, job classes that cannot be loaded or run too long.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use harness::Laravel;
use serde_json::json;

use super::{Report, examine};
use crate::php::shop::{Copy, Shop};

const TRAITS: &str = r"use Illuminate\Bus\Queueable; use Illuminate\Contracts\Queue\ShouldQueue;";

fn doctor(shop: &Shop) -> Report {
    examine(&shop.site.worker(&["doctor", "--json"]))
}

fn copy() -> Copy {
    Copy::of(&Laravel::new().root())
}

/// Adds a file of this name below `app/Jobs`, with this text in its namespace.
fn add(copy: &Copy, name: &str, text: &str) {
    let folders = name
        .rsplit_once('/')
        .map(|(folders, _)| folders.replace('/', "\\"));
    let space = folders.map_or(r"App\Jobs".to_owned(), |folders| format!(r"App\Jobs\{folders}"));
    let text = format!("<?php\n\nnamespace {space};\n\n{TRAITS}\n\n{text}\n");
    copy.dir.write(format!("app/Jobs/{name}.php"), text);
}

fn codes(report: &Report) -> BTreeSet<String> {
    let findings = report.json["findings"].as_array().expect("a list of findings");
    let bad = findings.iter().filter(|finding| finding["severity"] == "error");
    let codes = bad.filter_map(|finding| finding["code"].as_str());
    codes
        .filter(|code| code.starts_with("php."))
        .map(str::to_owned)
        .collect()
}

/// Everything below a directory.
fn tree(root: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path.clone());
            }
            found.insert(path);
        }
    }
    found
}

/// How many job classes the application has.
fn classes() -> usize {
    let jobs = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/laravel/app/Jobs"));
    jobs.expect("the application has jobs").count()
}

#[test]
fn a_healthy_application_has_no_error_and_is_left_alone() {
    let copy = copy();
    let before = tree(copy.dir.path());
    let shop = copy.shop();
    let report = doctor(&shop);
    assert_eq!(codes(&report), BTreeSet::new(), "{:#}", report.json);
    let php = &report.json["php"];
    assert_eq!(
        (&php["sapi"], &php["classes_tried"]),
        (&json!("cli"), &json!(classes())),
        "{php:#}"
    );
    let extensions = php["extensions"].as_array().expect("a list of extensions");
    assert!(extensions.contains(&json!("mbstring")), "{php:#}");
    assert!(
        php["framework"]
            .as_str()
            .is_some_and(|version| version.starts_with("8.")),
        "{php:#}"
    );
    assert!(
        php["boot_ms"].as_u64().is_some() && php["boot_peak_mb"].as_u64() > Some(0),
        "{php:#}"
    );
    assert_eq!(
        tree(copy.dir.path()),
        before,
        "nothing is written in the application"
    );
    let text = shop.site.worker(&["doctor"]).run_to_end().stdout;
    assert!(
        text.contains(&format!(" MB, {} job classes tried", classes())),
        "{text}"
    );
}

#[test]
fn php_that_is_not_there_or_is_something_else() {
    let shop = Shop::redis().env("WORKER_PHP_BINARY", "php-of-nowhere");
    let report = doctor(&shop);
    report
        .one("php.missing")
        .is("error", "php-of-nowhere", "cannot be started: ")
        .fixed_by("WORKER_PHP_BINARY");
    assert!(
        report.store("Redis")["version"].is_string(),
        "the rest is examined"
    );
    let report = doctor(&Shop::redis().env("WORKER_PHP_BINARY", "sh"));
    report
        .one("php.missing")
        .is("error", "sh", "does not answer as PHP 7.4 or newer")
        .is("error", "sh", "its process ended with exit code 2 (")
        .fixed_by("--native-only");
    assert_eq!(report.json["php"]["version"], json!(null));
    let left_out = examine(&Shop::redis().env("WORKER_PHP_BINARY", "sh").site.worker(&[
        "doctor",
        "--json",
        "--native-only",
    ]));
    assert_eq!(
        (&left_out.json["php"], codes(&left_out)),
        (&json!(null), BTreeSet::new())
    );
    let report = doctor(&Shop::redis().env("WORKER_PHP_ARGS", "-n"));
    let missing: Vec<_> = report
        .of("php.extension")
        .iter()
        .map(|it| it["subject"].clone())
        .collect();
    assert!(
        missing.contains(&json!("pdo_sqlite")) && missing.contains(&json!("mbstring")),
        "{missing:?}"
    );
}

/// Job classes of which each is wrong in its own way.
fn break_classes(copy: &Copy) {
    add(
        copy,
        "Aborting",
        "exit(3);\n\nclass Aborting implements ShouldQueue {}",
    );
    add(
        copy,
        "Billing/Yearly/Attributed",
        "#[\\AllowDynamicProperties] final class Attributed implements NotThere {}",
    );
    add(
        copy,
        "Conflicting",
        "class Conflicting implements ShouldQueue { use Queueable; public $queue = 'high'; }",
    );
    add(copy, "Misspelt", "class Misspelled implements ShouldQueue {}");
    add(copy, "Orphaned", "class Orphaned extends NotThere {}");
    add(
        copy,
        "Unparsable",
        "class Unparsable implements ShouldQueue { public function handle( }",
    );
    add(copy, "Contract", "interface Contract {}");
    let nowhere = copy.dir.path().join("app/Jobs/Dangling.php");
    std::os::unix::fs::symlink("nowhere", nowhere).expect("a link");
    copy.dir.write(
        "Modules/Shop/Jobs/Ship.php",
        "<?php namespace Modules\\Shop\\Jobs;\nclass Ship {}\n",
    );
    copy.dir.write(
        "Modules/Shop/app/Jobs/Pack.php",
        "<?php\nnamespace Modules\\Shop\\Jobs;\n\nabstract class Pack {}\n",
    );
}

/// What is to be found of them: severity, class, a part of what is said.
const BROKEN: &[(&str, &str, &str)] = &[
    (
        "error",
        r"App\Jobs\Aborting",
        "its process ended with exit code 3",
    ),
    (
        "error",
        r"App\Jobs\Billing\Yearly\Attributed",
        r#"Interface "App\Jobs\Billing\Yearly\NotThere" not found"#,
    ),
    ("error", "Dangling", "app/Jobs/Dangling.php cannot be read"),
    (
        "error",
        r"App\Jobs\Conflicting",
        "define the same property ($queue)",
    ),
    (
        "error",
        r"App\Jobs\Orphaned",
        r#"Class "App\Jobs\NotThere" not found"#,
    ),
    ("error", r"App\Jobs\Unparsable", "ParseError: "),
    ("warning", r"Modules\Shop\Jobs\Ship", "Modules/Shop/Jobs/Ship.php"),
    (
        "warning",
        r"Modules\Shop\Jobs\Pack",
        "Modules/Shop/app/Jobs/Pack.php",
    ),
    ("warning", r"App\Jobs\Misspelled", "not found by the autoloader"),
];

#[test]
fn classes_that_cannot_be_loaded() {
    let copy = copy();
    break_classes(&copy);
    let report = doctor(&copy.shop());
    let found: Vec<_> = report
        .of("php.class")
        .iter()
        .map(|finding| {
            let text = |member: &str| finding[member].as_str().expect("a text").to_owned();
            (text("severity"), text("subject"), text("what"))
        })
        .collect();
    assert_eq!(found.len(), BROKEN.len(), "{found:#?}");
    for (severity, subject, what) in BROKEN {
        let fits =
            |it: &&(String, String, String)| it.0 == *severity && it.1 == *subject && it.2.contains(what);
        assert!(found.iter().any(|it| fits(&it)), "{subject}: {found:#?}");
    }
    assert_eq!(
        report.json["php"]["classes_tried"],
        classes() + BROKEN.len(),
        "the others were tried too"
    );
    assert_eq!(codes(&report), BTreeSet::from(["php.class".to_owned()]));
}

#[test]
fn an_application_that_does_not_boot() {
    let copy = copy();
    let shop = copy.shop();
    let base = copy.dir.path().display().to_string();
    for (text, what) in [
        (
            "<?php echo 'noise'; throw new RuntimeException('no luck');",
            "RuntimeException: no luck in ",
        ),
        ("<?php return new NotThere;", r#"Class "NotThere" not found"#),
        (
            "<?php class A { abstract function a(); }",
            "contains 1 abstract method",
        ),
        (
            "<?php require 'vendor/autoload.php';",
            "Failed opening required 'vendor/autoload.php'",
        ),
        (
            "<?php fwrite(STDERR, 'ask the owner'); exit(7);",
            "exit code 7 (ask the owner)",
        ),
    ] {
        copy.dir.write("bootstrap/app.php", text);
        let report = doctor(&shop);
        report
            .one("php.boot")
            .is("error", &base, what)
            .fixed_by("artisan");
        assert_eq!(report.json["php"]["boot_ms"], json!(null));
        assert_eq!(report.json["php"]["sapi"], "cli");
    }
}

#[test]
fn classes_whose_time_limit_is_too_long() {
    let copy = copy();
    add(
        &copy,
        "Import",
        "class Import implements ShouldQueue { use Queueable; public $timeout = 900; }",
    );
    add(
        &copy,
        "Long",
        "class Long implements ShouldQueue { public $queue = 'slow'; public $timeout = 700; }",
    );
    add(
        &copy,
        "Migrate",
        "class Migrate implements ShouldQueue { public $connection = 'migration'; public $timeout = 1200; }",
    );
    let shop = copy.shop().env("WORKER_MAX_TIMEOUT", "800");
    let report = doctor(&shop);
    let about = |subject: &str, severity: &str| {
        let found = [report.of("php.retry-after"), report.of("php.timeout")].concat();
        let found = found.into_iter();
        let mut found = found.filter(|it| it["subject"] == subject && it["severity"] == severity);
        let (first, more) = (found.next(), found.next());
        assert!(more.is_none(), "{:#}", report.json);
        super::Finding(first.unwrap_or_else(|| panic!("{subject} {severity} in {:#}", report.json)))
    };
    let list = r"App\Jobs\Import 900 s, App\Jobs\Long 700 s";
    about("retry_after of connection redis", "warning")
        .is("warning", "redis", list)
        .fixed_by("'retry_after' => 930");
    about("retry_after of connection migration", "warning")
        .is(
            "warning",
            "migration",
            r"is 600 s, and these may run for as long or longer: App\Jobs\Migrate 1200 s",
        )
        .fixed_by("'retry_after' => 1230 for the connection migration");
    about("queue default", "warning")
        .is(
            "warning",
            "default",
            r"has max_timeout 800 s, below that of classes (they are cut off there): App\Jobs\Import",
        )
        .fixed_by("max_timeout = 900");
    about("queue slow", "note")
        .is("note", "slow", r"App\Jobs\Long 700 s")
        .fixed_by("[queues.slow] timeout = 700");
    assert_eq!(codes(&report), BTreeSet::new());
}

#[test]
fn a_retry_after_that_the_application_has_in_its_files() {
    let copy = copy();
    let file = "config/queue.php";
    let text = fs::read_to_string(copy.dir.path().join(file)).expect("it is text");
    let changed = text.replace("(int) env('REDIS_QUEUE_RETRY_AFTER', $retryAfter)", "null");
    assert_ne!(text, changed);
    copy.dir.write(file, changed);
    doctor(&copy.shop())
        .one("config.retry-after")
        .is(
            "warning",
            "queue.connections.redis.retry_after",
            "is 60 s in the application, and 90 s here",
        )
        .fixed_by("REDIS_QUEUE_RETRY_AFTER=60");
}

#[test]
fn what_hangs_is_ended_and_the_rest_is_tried() {
    let (boot, class) = (copy(), copy());
    boot.dir.write(
        "bootstrap/app.php",
        "<?php fwrite(STDERR, 'asking the vault'); while (true) { usleep(1000); }",
    );
    add(
        &class,
        "Asking",
        "while (true) { usleep(1000); }\n\nclass Asking implements ShouldQueue {}",
    );
    let (boot, class) = std::thread::scope(|scope| {
        let boot = scope.spawn(|| doctor(&boot.shop()));
        let class = doctor(&class.shop());
        (boot.join().expect("it does not panic"), class)
    });
    boot.one("php.boot").is(
        "error",
        "the application at",
        "not done after 20 s, and was killed (asking the vault)",
    );
    class
        .one("php.class")
        .is("error", r"App\Jobs\Asking", "not done after 20 s, and was killed");
    assert_eq!(class.json["php"]["classes_tried"], classes() + 1);
    assert_eq!(class.of("php.incomplete").len(), 0, "{:#}", class.json);
}
