//! `worker clear`: every job of a queue, and a question in production.

use crate::site::{Job, on_every_site};

on_every_site! {
    fn all_jobs_of_a_queue_go(site: &Site) {
        site.push_all("default", &Job::new("A").times(4));
        site.command(&["dispatch", "A", "--delay", "60"]).success();
        site.push_all("high", &Job::new("A").times(2));
        site.push("einvoice", &Job::new("A"));
        assert_eq!(site.command(&["clear"]).success(), "5 jobs removed from default.\n");
        assert_eq!(site.queue("high").len(), 2, "only the connection's own queue unless others are named");
        let output = site.command(&["clear", site.connection(), "--queue", "high,einvoice"]);
        assert_eq!(output.success(), "2 jobs removed from high.\n1 jobs removed from einvoice.\n");
        for queue in ["default", "high", "einvoice"] {
            assert_eq!(site.queue(queue).len(), 0);
        }
    }

    fn in_production_it_wants_to_be_sure(site: &Site) {
        site.push("default", &Job::new("A"));
        let production = |args: &[&str]| site.worker(args).env("APP_ENV", "production").input("yes\n").run_to_end();
        let refused = production(&["clear"]);
        refused.expect_code(1);
        assert!(refused.stderr.contains("confirm, or use --force"), "{}", refused.stderr);
        assert_eq!(site.queue("default").len(), 1);
        production(&["clear", "--force"]).success();
        assert_eq!(site.queue("default").len(), 0);
    }
}
