//! Little room: few file descriptors, no temporary directory, nothing that can be written.

use harness::{DEADLINE, Daemon, Signal, wait_until};

use crate::http::{free_address, get};
use crate::site::{WORKER, on_every_site};

on_every_site! {
    /// Sockets of the store, of health and of systemd, and the files of SQLite: 64 descriptors are enough.
    fn it_works_with_few_file_descriptors_and_without_a_temporary_directory(site: &Site) {
        let address = free_address();
        site.push_all("default", &site.sample(5).times(300));
        let script = r#"ulimit -n 64; exec "$0" run --queue default --queue high --concurrency 5"#;
        let mut worker = Daemon::new("/bin/sh")
            .args(["-c", script, WORKER])
            .envs(site.env())
            .envs([("TMPDIR", "/nonexistent"), ("HOME", "/nonexistent"), ("WORKER_HTTP", address.as_str())])
            .spawn();
        site.wait_for_end_of("default");
        assert_eq!(site.noted("end").len(), 300);
        wait_until(DEADLINE, || get(&address, "/readyz").0 == 200);
        worker.signal(Signal::Term);
        assert_eq!(worker.wait_exit(DEADLINE), 0);
    }
}
