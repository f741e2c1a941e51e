//! `worker monitor`: sizes, alerts, and connections that cannot be asked.

use serde_json::{Value, json};

use crate::site::{Job, Site, now, on_every_site};

fn row<'a>(rows: &'a Value, queue: &str) -> &'a Value {
    let rows = rows.as_array().expect("a list").iter();
    rows.clone()
        .find(|row| row["queue"] == queue)
        .unwrap_or(&Value::Null)
}

on_every_site! {
    fn sizes_are_told_with_laravels_members(site: &Site) {
        site.push_all("default", &Job::new("A").times(3));
        site.command(&["dispatch", "A", "--delay", "60"]).success();
        let rows = site.command(&["queue:monitor", "default,high", "--max=4", "--json"]).json();
        let default = row(&rows, "default");
        let names: Vec<_> = default.as_object().expect("an object").keys().cloned().collect();
        let expected = [
            "connection", "queue", "size", "pending", "delayed", "reserved", "oldest_pending", "oldest_s", "status",
            "error",
        ];
        assert_eq!(names, expected);
        let counts = ["size", "pending", "delayed", "reserved"].map(|name| default[name].as_u64());
        assert_eq!(counts, [Some(4), Some(3), Some(1), Some(0)]);
        assert_eq!((&default["connection"], &default["status"]), (&json!(site.connection()), &json!("ALERT")));
        let oldest = default["oldest_pending"].as_f64().expect("a time");
        assert!(oldest <= now() + 2.0, "{oldest}");
        let high = row(&rows, "high");
        assert_eq!((&high["size"], &high["oldest_pending"]), (&json!(0), &Value::Null));
        assert_eq!((&high["status"], &high["error"]), (&json!("OK"), &Value::Null));
        let text = site.command(&["monitor", "default"]);
        let line = text.success().lines().find(|line| line.contains("default")).unwrap_or_default();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!((words[2..6].join(" "), words.last()), ("4 3 1 0".to_owned(), Some(&"OK")), "{}", text.stdout);
        assert_eq!(text.stderr, "");
    }

    fn the_exit_code_tells_only_when_asked(site: &Site) {
        site.push_all("default", &Job::new("A").times(3));
        site.command(&["monitor", "default", "--max=3"]).success();
        site.command(&["monitor", "default", "--max=3", "--fail"]).expect_code(1);
        site.command(&["monitor", "default", "--max=4", "--fail"]).success();
        site.command(&["monitor"]).expect_code(2);
    }

    fn a_connection_that_cannot_be_asked_is_a_row(site: &Site) {
        site.push("default", &Job::new("A"));
        let queues = format!("rabbit:mail,{}:default,sync:x", site.connection());
        let output = site.command(&["monitor", &queues, "--json"]);
        let rows = output.json();
        assert_eq!(row(&rows, "default")["size"], 1);
        for queue in ["mail", "x"] {
            let row = row(&rows, queue);
            assert_eq!((&row["status"], &row["size"]), (&json!("ERROR"), &Value::Null));
            assert!(row["error"].as_str().is_some_and(|error| error.contains("invalid configuration")), "{row}");
        }
        let text = site.command(&["monitor", &queues]);
        assert!(text.success().contains("ERROR") && text.stderr.contains("rabbit:mail: "), "{}", text.stderr);
        site.command(&["monitor", &queues, "--fail"]).expect_code(1);
    }
}

#[test]
fn several_connections_and_one_that_is_down() {
    let mut site = Site::own_redis();
    site.push_rows("imports", &[Job::new("A").text(false)]);
    site.server().kill();
    let rows = site
        .command(&["monitor", "redis:default,database:imports", "--json"])
        .json();
    assert_eq!(row(&rows, "imports")["size"], 1);
    assert_eq!(row(&rows, "default")["status"], "ERROR");
}
