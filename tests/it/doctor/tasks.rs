//! Queues of Rust producers.

use serde_json::json;

use super::examine;
use crate::apalis::yard::on_every_layout;

on_every_layout! {
    fn what_nobody_serves_is_found(yard: &Yard) {
        yard.push("mail", &[json!(1), json!(2)]);
        let report = examine(&yard.worker(&["doctor", "--json"]));
        report.one("queue.unserved").is("warning", "queue mail", "has 2 jobs");
        let odd = |code: &&str| code.starts_with("table.") || code.starts_with("connection.");
        assert_eq!(report.complaints().into_iter().filter(odd).collect::<Vec<_>>(), [""; 0]);
        assert_eq!(report.json["stores"][0]["holds"][0], "jobs");
    }

    fn a_table_that_no_producer_made(yard: &Yard) {
        yard.drop_tables();
        let report = examine(&yard.worker(&["doctor", "--json"]));
        // Redis makes what is pushed to.
        if yard.client().is_some() {
            assert!(report.of("table.missing").is_empty(), "{:#}", report.json);
        } else {
            report.one("table.missing").is("error", "obs", "is not in").fixed_by("Storage::setup");
        }
    }
}
