//! Real Laravel pushes, the worker runs: every form of job, every client, and the values inside.

use harness::{HttpStandIn, Reply, Request};
use serde_json::{Value, json};

use super::site::{Site, on_every_installation};

const WEBHOOK: &str = r"App\Jobs\DeliverWebhook";

/// What a webhook of this kind carries: every type of value that PHP makes of JSON.
fn body(kind: &str) -> Value {
    // The data of a string job is JSON that PHP wrote, and PHP writes 1.0 as 1.
    let round = if kind == "string" { json!(1) } else { json!(1.0) };
    json!({
        "kind": kind,
        "фактура": "№ 7 \"цитат\" \\ 🙂",
        "id": 9_007_199_254_740_993_i64,
        "total": 12.5,
        "round": round,
        "negative": -3,
        "none": null,
        "flags": [true, false],
        "lines": [{"sku": "a/b", "qty": 2}, {"sku": "", "qty": 0}],
        "by number": {"7": "seven", "3": "three"},
        "empty": [],
    })
}

fn data(server: &HttpStandIn, kind: &str) -> Value {
    json!({
        "url": server.url("/hook"),
        "payload": body(kind),
        "headers": {"X-Company": "7"},
        "timeoutSeconds": 5,
    })
}

fn of_kind<'a>(requests: &'a [Request], kind: &str) -> Vec<&'a Request> {
    requests
        .iter()
        .filter(|request| request.json()["kind"] == kind)
        .collect()
}

on_every_installation! {
    /// An object job with protected and private properties, a delayed one, two in bulk and a string job.
    fn every_form(site: Site) {
        let server = HttpStandIn::start([Reply::status(204)]);
        let push = |kind: &str, options: &[&str]| site.laravel.push(WEBHOOK, &data(&server, kind), options);
        push("object", &[]);
        push("delayed", &["--delay=1"]);
        push("bulk", &["--bulk", "--count=2"]);
        let string = format!("--data={}", data(&server, "string"));
        let handler = format!("{WEBHOOK}@handle");
        site.laravel.php(&["push:string", &handler, &string]);
        let pushed = site.jobs("default");
        assert_eq!(pushed.len(), 5);
        let command = pushed[0].payload["data"]["command"].as_str().expect("a command");
        assert!(
            command.contains("\0*\0url") && command.contains("\0App\\Jobs\\DeliverWebhook\0headers"),
            "{command:?}"
        );

        let _worker = site.consume(&[]);
        let requests = server.wait_for(5);
        for (kind, count) in [("object", 1), ("delayed", 1), ("bulk", 2), ("string", 1)] {
            let found = of_kind(&requests, kind);
            assert_eq!(found.len(), count, "{kind}");
            for request in found {
                assert_eq!(request.json(), body(kind));
                assert_eq!(request.header("x-company"), Some("7"));
            }
        }
        let mut uuids: Vec<_> = pushed.iter().map(super::site::Lying::uuid).collect();
        let mut keys: Vec<_> = requests
            .iter()
            .filter_map(|request| request.header("idempotency-key"))
            .collect();
        uuids.sort();
        keys.sort_unstable();
        assert_eq!(uuids, keys);
        site.wait_until_empty();
        assert!(site.failed().is_empty());
    }

    /// A delayed job waits for its time, although the worker is idle.
    fn a_delay_is_kept(site: Site) {
        let lines = site.lines_file();
        let _worker = site.consume(&[]);
        site.laravel
            .push(r"Worker\Demo\Sample", &json!({"journal": lines}), &["--delay=2"]);
        let due = site.jobs("default")[0].due.expect("a delayed job has its time");
        site.wait_for_event("end");
        let now = std::fs::metadata(&lines).and_then(|file| file.modified());
        let now = now.expect("the file was written");
        let since = now
            .duration_since(std::time::UNIX_EPOCH)
            .expect("the clock is right");
        assert!(since.as_secs_f64() >= due, "{since:?} {due}");
        assert!(
            since.as_secs_f64() < due + 4.0,
            "late: {since:?} instead of {due}"
        );
    }

    /// An e-mail that Laravel pushed is fanned out here, and a PHP worker runs what came of it.
    fn an_email_is_fanned_out_for_php(site: Site) {
        let attachment = |name: &str| json!({"path": format!("bills/{name}"), "original_name": name, "content_type": "application/pdf"});
        let names = ["a.pdf", "б.pdf", "c 3.pdf"];
        let email = json!({
            "companyId": 7,
            "from": "добавувач@example.com",
            "subject": null,
            "attachments": names.map(attachment),
        });
        site.laravel.push("ProcessInboundBillEmail", &email, &[]);
        site.consume_one();
        let parses = site.jobs("default");
        assert_eq!(parses.len(), 3);
        for parse in &parses {
            assert_eq!(parse.payload["maxTries"], 3);
            assert_eq!(parse.payload["backoff"], "30,120,300");
            assert_eq!(parse.attempts, 0);
        }

        let _php = site.php_consumes(&[]);
        let ran = site.laravel.journal().wait_for(3);
        let expected = names.map(|name| {
            json!({
                "companyId": 7,
                "filePath": format!("bills/{name}"),
                "originalName": name,
                "from": "добавувач@example.com",
                "subject": null,
                "contentType": "application/pdf",
            })
        });
        let data: Vec<_> = ran.iter().map(|record| record.data.clone()).collect();
        assert_eq!(data, expected);
        for (record, parse) in ran.iter().zip(&parses) {
            assert_eq!(record.job, r"App\Jobs\ParseInvoicePdfJob");
            assert_eq!(
                (record.attempts, record.uuid.clone()),
                (Some(1), Some(parse.uuid()))
            );
        }
        site.wait_until_empty();
    }
}

/// The other client writes the same.
#[test]
fn every_form_runs_through_predis() {
    every_form(Site::redis().env("REDIS_CLIENT", "predis"));
}

/// What was encrypted with the application's key is opened with it, and is not readable in the store.
#[test]
fn an_encrypted_job_is_opened_with_the_applications_key() {
    let site = Site::sqlite();
    let server = HttpStandIn::start([Reply::status(200)]);
    let mut secret = data(&server, "secret");
    secret["secret"] = json!(true);
    site.laravel.push(WEBHOOK, &secret, &[]);
    let command = site.jobs("default")[0].payload["data"]["command"].clone();
    assert!(command.as_str().is_some_and(|text| !text.starts_with("O:")));

    let _worker = site.consume(&[]);
    assert_eq!(server.wait_for(1)[0].json(), body("secret"));
    site.wait_until_empty();
    assert!(site.failed().is_empty());
}
