//! Encrypted connections, as `DB_SSLMODE` asks for them.

use std::process::Command;

use harness::{Daemon, PostgresServer, Scratch};
use worker::config::SslMode;
use worker::store::Kind;
use worker::store::port::Queue;
use worker::store::sql::SqlQueue;

use super::open;
use crate::site::WORKER;
use crate::store::engine::postgres_options;

fn run(command: &mut Command) {
    let output = command.output().expect("it can be started");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A server with a certificate that it has signed itself, for `localhost`.
fn server(dir: &Scratch) -> PostgresServer {
    let (key, certificate) = (dir.join("key.pem"), dir.join("certificate.pem"));
    let mut make = Command::new("openssl");
    make.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ])
    .args(["-days", "30", "-subj", "/CN=localhost"])
    .args([
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ])
    .arg("-keyout")
    .arg(&key)
    .arg("-out")
    .arg(&certificate);
    run(&mut make);
    // The server's user must read them, as nobody else may.
    run(Command::new("chown").arg("-R").arg("postgres").arg(dir.path()));
    run(Command::new("chmod").arg("600").arg(&key));
    PostgresServer::start(&[
        "ssl=on",
        &format!("ssl_key_file={}", key.display()),
        &format!("ssl_cert_file={}", certificate.display()),
    ])
}

/// What must be encrypted is; an authority that nobody knows is refused where that was asked for, and taken
/// when it is named as libpq has it named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modes_are_libpqs() {
    let dir = Scratch::new();
    let server = server(&dir);
    let database = server.database();
    for (mode, encrypted) in [
        (SslMode::Disable, Some(0)),
        (SslMode::Allow, Some(0)),
        (SslMode::Prefer, Some(1)),
        (SslMode::Require, Some(1)),
        (SslMode::VerifyCa, None),
        (SslMode::VerifyFull, None),
    ] {
        let mut options = postgres_options(&database);
        options.sslmode = mode;
        let queue = SqlQueue::new(&open(&options));
        let answer = queue.ping().await;
        let sessions = database.number(&format!(
            "select count(*) from pg_stat_ssl join pg_stat_activity using (pid) \
             where ssl and application_name = 'worker' and datname = '{}'",
            database.name()
        ));
        match encrypted {
            Some(expected) => {
                answer.expect("it answers");
                assert_eq!(sessions, expected, "{mode:?}");
            }
            None => {
                let error = answer.expect_err("nobody knows the authority");
                assert_eq!(error.kind(), Kind::Refused, "{error}");
                assert!(error.to_string().contains("DB_SSLMODE"), "{error}");
            }
        }
    }
    for (host, exit) in [("localhost", 0), ("127.0.0.1", 69)] {
        let worker = Daemon::new(WORKER)
            .args(["status"])
            .envs(database.env())
            .env("DB_HOST", host)
            .env("DB_SSLMODE", "verify-full")
            .env("PGSSLROOTCERT", dir.join("certificate.pem"));
        worker.run_to_end().expect_code(exit);
    }
}

/// `allow` becomes encrypted when the server insists; a server without encryption cannot be required to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_may_insist() {
    let dir = Scratch::new();
    let server = server(&dir);
    let database = server.database();
    let rules = server.dir().join("data/pg_hba.conf");
    std::fs::write(&rules, "hostssl all all all scram-sha-256\n").expect("write");
    let mut admin = postgres_options(&database);
    admin.sslmode = SslMode::Require;
    database.execute("select pg_reload_conf()");
    let mut options = postgres_options(&database);
    options.sslmode = SslMode::Allow;
    crate::store::engine::until("the new rules hold", async || {
        let mut plain = options.clone();
        plain.sslmode = SslMode::Disable;
        SqlQueue::new(&open(&plain)).ping().await.err()
    })
    .await;
    SqlQueue::new(&open(&options))
        .ping()
        .await
        .expect("it becomes encrypted");

    let plain = harness::PostgresDatabase::temp();
    let mut options = postgres_options(&plain);
    options.sslmode = SslMode::Require;
    let error = SqlQueue::new(&open(&options))
        .ping()
        .await
        .expect_err("no encryption there");
    assert_eq!(error.kind(), Kind::Refused, "{error}");
}
