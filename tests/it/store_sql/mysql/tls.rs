//! Encrypted connections, to a server with a certificate of its own making.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{MariadbDatabase, MariadbServer, Scratch};
use worker::config::MysqlTls;
use worker::store::port::Queue;
use worker::store::sql::{Database, MysqlOptions, SqlOptions, SqlQueue};
use worker::store::{Error, Kind};

use super::fixture;
use crate::store::engine::mysql_options;

fn openssl(dir: &Scratch, words: &[&str]) {
    let mut command = Command::new("openssl");
    command.args(words).current_dir(dir.path());
    harness::run_to_end("openssl", command, b"").success();
}

/// An authority and, signed by it, a certificate for `name`; files `ca.pem`, `cert.pem` and `key.pem`.
fn certificate(name: &str) -> Scratch {
    let dir = Scratch::new();
    let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
    let authority = [
        "-subj",
        "/CN=Test authority",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    ];
    openssl(&dir, &[&new[..], &authority].concat());
    let request = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server"];
    openssl(
        &dir,
        &[&request[..], &["-keyout", "key.pem", "-out", "server.csr"]].concat(),
    );
    dir.write(
        "names.ext",
        format!("subjectAltName={name}\nbasicConstraints=CA:FALSE\n").as_bytes(),
    );
    let sign = [
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
    ];
    let extended = ["-days", "2", "-extfile", "names.ext", "-out", "cert.pem"];
    openssl(&dir, &[&sign[..], &extended].concat());
    dir
}

/// A server with the certificate of a directory.
fn server(certificate: &Scratch) -> MariadbServer {
    let arg = |name: &str, file: &str| format!("--{name}={}", certificate.join(file).display());
    let args = [
        arg("ssl-cert", "cert.pem"),
        arg("ssl-key", "key.pem"),
        arg("ssl-ca", "ca.pem"),
    ];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    MariadbServer::start(&args)
}

async fn ping(database: &MariadbDatabase, tls: MysqlTls) -> Result<(), Error> {
    let options = MysqlOptions {
        tls,
        ..mysql_options(database)
    };
    SqlQueue::new(&Database::mysql(&options, SqlOptions::default()))
        .ping()
        .await
}

fn path(dir: &Scratch, file: &str) -> Option<PathBuf> {
    Some(dir.join(file)).filter(|path| Path::new(path).exists())
}

/// Each mode does what it says, against a server whose user may not come without encryption.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modes_are_kept() {
    let (ours, others) = (certificate("IP:127.0.0.1"), certificate("DNS:elsewhere.test"));
    let server = server(&ours);
    let database = server.database();
    ping(&database, MysqlTls::Disabled).await.expect("allowed so far");
    database.execute("alter user current_user() require ssl");
    let error = ping(&database, MysqlTls::Disabled)
        .await
        .expect_err("not encrypted");
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    for tls in [
        MysqlTls::Preferred,
        MysqlTls::Required,
        MysqlTls::VerifyCa(path(&ours, "ca.pem")),
        MysqlTls::VerifyIdentity(path(&ours, "ca.pem")),
    ] {
        ping(&database, tls.clone())
            .await
            .unwrap_or_else(|error| panic!("{tls:?}: {error}"));
    }
    for tls in [
        MysqlTls::VerifyCa(path(&others, "ca.pem")),
        MysqlTls::VerifyCa(None),
        MysqlTls::VerifyIdentity(path(&others, "ca.pem")),
    ] {
        let error = ping(&database, tls).await.expect_err("not to be trusted");
        assert_eq!(error.kind(), Kind::Refused, "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}

/// A certificate that names another host is good for its authority and not for its identity.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_hosts_certificate_is_no_identity() {
    let others = certificate("DNS:elsewhere.test");
    let server = server(&others);
    let database = server.database();
    let authority = path(&others, "ca.pem");
    ping(&database, MysqlTls::VerifyCa(authority.clone()))
        .await
        .expect("signed");
    let error = ping(&database, MysqlTls::VerifyIdentity(authority)).await;
    let error = error.expect_err("another's name");
    assert_eq!(error.kind(), Kind::Refused, "{error}");
}

/// Without encryption on the server what is required is refused, and what is preferred is done without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_encryption() {
    let (database, _db, _queue) = fixture().await;
    ping(&database, MysqlTls::Preferred).await.expect("done without");
    let error = ping(&database, MysqlTls::Required).await.expect_err("required");
    assert_eq!(error.kind(), Kind::Refused, "{error}");
    assert!(error.to_string().contains("TLS"), "{error}");
}
