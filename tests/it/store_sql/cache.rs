//! The `database` cache store and the table of processes.

use std::time::Duration;

use bytes::Bytes;
use worker::store::Kind;
use worker::store::port::{Cache, CacheValue, Names, Presence, Process};
use worker::store::sql::{SqlCache, SqlPresence};

use super::recording;
use super::table::on_every_table;
use crate::store::engine::until;

const RESTART: &str = "illuminate:queue:restart";

fn process(id: &str) -> Process {
    Process {
        id: id.to_owned(),
        host: "h".to_owned(),
        pid: 1,
        version: "0".to_owned(),
        connection: "database".to_owned(),
        started_at: 1,
        state: "running".to_owned(),
        queues: vec![("mail".to_owned(), 10)],
        running: Vec::new(),
        php: Vec::new(),
    }
}

on_every_table! {
    /// What Laravel of each version wrote is read under the names without prefix.
    async fn laravels_signals_are_read(table: &Table) {
        for version in ["8.83.26", "12.67.0"] {
            let (file, db) = (&table.database, &table.db);
            file.execute("delete from cache");
            let recorded = recording(&format!("{version}/control/cache-store-database-{}.json", file.kind()));
            for row in recorded["cache_rows"].as_array().expect("rows") {
                let text = |name: &str| row[name].as_str().expect("text").replace('\\', "\\\\");
                // One value holds a NUL, which no statement may; nobody asks for it.
                if !text("value").contains('\0') {
                    let row = format!("('{}', '{}', 2000000000)", text("key"), text("value"));
                    file.execute(&format!("insert into cache values {row}"));
                }
            }
            let cache = SqlCache::new(db, &["facturino_cache_".to_owned()]);
            let keys = [
                RESTART,
                "illuminate:queue:paused:redis:einvoice",
                "int",
                "bool",
                "str",
                "none",
            ];
            let values = cache.get(&keys).await.expect("get");
            assert_eq!(values[0], Some(CacheValue::Int(1_768_471_200)), "{version}");
            if version != "8.83.26" {
                assert_eq!(values[1], Some(CacheValue::Bool(true)));
            }
            assert_eq!(values[2], Some(CacheValue::Int(42)));
            assert_eq!(values[3], Some(CacheValue::Bool(false)));
            let text = Bytes::from("s:10:\"текст\";");
            assert_eq!((&values[4], &values[5]), (&Some(CacheValue::Other(text)), &None));
        }
    }

    /// What we write is what Laravel writes, under both forms of the prefix, within the column.
    async fn signals_are_written_as_laravels(table: &Table) {
        let (file, db) = (&table.database, &table.db);
        let cache = SqlCache::new(db, &["p_".to_owned()]);
        let restart = CacheValue::Int(1_795_375_433);
        for _ in 0..2 {
            cache.put(RESTART, &restart, None, Names::All).await.expect("put");
        }
        let minute = Some(Duration::from_secs(60));
        cache
            .put("paused", &CacheValue::Bool(true), minute, Names::All)
            .await
            .expect("put");
        let now = file.now();
        for key in ["p_illuminate:queue:restart", "p_:illuminate:queue:restart"] {
            let found = file.texts(&format!(
                "select value from cache where {} = '{key}' and \
                 (expiration = 2147483647 or expiration between {now} + 315359990 and {now} + 315360000)",
                file.quoted("key")
            ));
            assert_eq!(found, ["i:1795375433;"], "{key}");
        }
        let short = format!("select count(*) from cache where value = 'b:1;' and expiration - {now} between 55 and 60");
        assert_eq!(file.number(&short), 2);
        assert_eq!(cache.get(&[RESTART]).await.expect("get"), [Some(restart)]);
        // Of two restart signals the later one counts.
        file.execute(&format!(
            "update cache set value = 'i:1795375999;' where {} = 'p_:illuminate:queue:restart'",
            file.quoted("key")
        ));
        let later = [Some(CacheValue::Int(1_795_375_999))];
        assert_eq!(cache.get(&[RESTART]).await.expect("get"), later);
        cache.forget(RESTART).await.expect("forget");
        assert_eq!(cache.get(&[RESTART, "paused"]).await.expect("get")[0], None);
        file.execute(&format!("update cache set expiration = {now}"));
        assert_eq!(cache.get(&["paused"]).await.expect("get"), [None]);
        assert!(cache.get(&[]).await.expect("get").is_empty());
    }

    /// A counter starts at one and keeps its time; what is no number is refused.
    async fn counters_count(table: &Table) {
        let (file, db) = (&table.database, &table.db);
        let cache = SqlCache::new(db, &["".to_owned()]);
        let day = Duration::from_secs(86_400);
        for expected in 1..=3 {
            assert_eq!(cache.increment("n", day).await.expect("increment"), expected);
        }
        let now = file.now();
        file.execute(&format!("update cache set expiration = {now} + 100"));
        assert_eq!(cache.increment("n", day).await.expect("increment"), 4);
        assert!((90..=100).contains(&file.number(&format!("select expiration - {now} from cache"))));
        file.execute(&format!("update cache set expiration = {now} - 1"));
        assert_eq!(cache.increment("n", day).await.expect("increment"), 1);
        cache
            .put("word", &CacheValue::Bool(true), None, Names::All)
            .await
            .expect("put");
        let error = cache.increment("word", day).await.expect_err("not a number");
        assert_eq!(error.kind(), Kind::Refused);
    }

    /// Processes are listed while they live; those that leave or fall silent are not.
    async fn processes_come_and_go(table: &Table) {
        let (file, db) = (&table.database, &table.db);
        let presence = SqlPresence::new(db);
        let long = Duration::from_secs(60);
        presence.beat(&process("b"), long).await.expect("beat");
        presence
            .beat(&process("silent"), Duration::from_millis(300))
            .await
            .expect("beat");
        let changed = Process {
            state: "draining".to_owned(),
            ..process("a")
        };
        presence.beat(&process("a"), long).await.expect("beat");
        presence.beat(&changed, long).await.expect("beat");
        until("the silent one is gone", async || {
            (presence.list().await.expect("list") == [changed.clone(), process("b")]).then_some(())
        })
        .await;
        presence.leave("a").await.expect("leave");
        presence.leave("never").await.expect("leave");
        presence.beat(&process("b"), long).await.expect("beat");
        assert_eq!(presence.list().await.expect("list"), [process("b")]);
        assert_eq!(file.number("select count(*) from worker_processes"), 1);
        let nowhere = SqlPresence::new(&table.bare);
        let error = nowhere.beat(&process("x"), long).await.expect_err("no table");
        assert_eq!(error.kind(), Kind::Refused);
        assert!(error.to_string().contains("worker migrate"), "{error}");
    }
}
