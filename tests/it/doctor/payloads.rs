//! Payloads that cannot be read, or not opened.

use std::process::Command;

use harness::Laravel;
use serde_json::json;

use super::{Shop, doctor};
use crate::site::{Job, Site, on_every_site};

/// Lets phpredis push a payload with these options.
fn push_with(shop: &Shop, options: &[&str]) {
    let port = shop.server.port();
    let options: String = options
        .iter()
        .map(|option| format!("$redis->setOption({option});"))
        .collect();
    let payload = Job::new(r"App\Jobs\SendInvoice").text(true);
    let script = format!(
        "$redis = new Redis(); $redis->connect('127.0.0.1', {port}); $redis->select(3); {options}\
         $redis->rPush('facturino_queues:default', stream_get_contents(STDIN));"
    );
    let mut php = Command::new("php");
    php.args(["-r", &script]);
    harness::run_to_end("php", php, payload.as_bytes()).success();
}

#[test]
fn what_phpredis_packs_is_recognised() {
    for (option, how) in [
        ("Redis::OPT_SERIALIZER, Redis::SERIALIZER_PHP", "PHP serializer"),
        ("Redis::OPT_SERIALIZER, Redis::SERIALIZER_IGBINARY", "igbinary"),
        ("Redis::OPT_SERIALIZER, Redis::SERIALIZER_JSON", "JSON serializer"),
        ("Redis::OPT_COMPRESSION, Redis::COMPRESSION_LZF", "LZF"),
        ("Redis::OPT_COMPRESSION, Redis::COMPRESSION_ZSTD", "zstd"),
        ("Redis::OPT_COMPRESSION, Redis::COMPRESSION_LZ4", "LZ4"),
    ] {
        let shop = Shop::new(&[]);
        push_with(&shop, &[]);
        assert_eq!(shop.doctor(&[]).of("payload.packed").len(), 0);
        push_with(&shop, &[option]);
        let report = shop.doctor(&[]);
        report
            .one("payload.packed")
            .is("error", "queue default", how)
            .fixed_by("serializer");
        assert!(
            report
                .one("payload.packed")
                .text("what")
                .contains("(1 of 2 looked at)"),
            "{how}"
        );
    }
}

on_every_site! {
    fn payloads_that_are_no_jobs(site: &Site) {
        site.push_raw("default", &["hunter2", "{\"job\":5}"]);
        site.push("default", &Job::new("A"));
        let report = doctor(site, &[], &[]);
        report.one("payload.unreadable").is("warning", "queue default", "(2 of 3 looked at)");
        assert!(!report.output.stdout.contains("hunter2"), "{}", report.output.stdout);
    }
}

#[test]
fn encrypted_jobs_need_the_applications_key() {
    let site = Site::redis();
    let laravel = Laravel::new().envs(site.env());
    laravel.push("SecretJob", &json!({ "tag": "hunter2" }), &[]);
    let report = doctor(&site, &[], &[]);
    report
        .one("payload.no-key")
        .is("error", "queue default", "APP_KEY is not set")
        .fixed_by("APP_KEY");
    let report = doctor(&site, &[], &[("APP_KEY", "0123456789abcdef0123456789abcdef")]);
    report
        .one("payload.wrong-key")
        .is("error", "queue default", "(1 of 1 looked at)");
    let report = doctor(&site, &[], &[("APP_KEY", harness::laravel::APP_KEY)]);
    assert_eq!(
        report.of("payload.wrong-key").len() + report.of("payload.no-key").len(),
        0
    );
}
