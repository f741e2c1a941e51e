//! Facts without a world: settings from pairs, stores that are as good as new.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Facts, Finding, Php, Redis, Seen, Severity, Sql, Store, Uses, judge};
use crate::config::{Clues, Config, Files, Inputs, Loaded, Problem, TextFile};
use crate::store::port::survey::{
    Column, Elsewhere, Failures, Holds, Index, Product, QueueState, RedisState, Server, TableState,
};
use crate::store::port::{Process, QueueName};
use crate::wire::{Cipher, Keys};

/// One start and what is found about it.
pub(super) struct Case {
    loaded: Loaded,
    problems: Vec<Problem>,
    clues: Clues,
    stores: Option<Vec<Store>>,
    php: Option<Php>,
    lanes: Vec<Vec<QueueName>>,
    all_queues: bool,
    now_s: i64,
    pub(super) findings: Vec<Finding>,
}

impl Case {
    /// With these variables alone.
    pub(super) fn new(env: &[(&str, &str)]) -> Self {
        Self::load(env, Files::default())
    }

    /// Jobs in Redis, failures and cache in SQLite, nothing wrong.
    pub(super) fn redis(env: &[(&str, &str)]) -> Self {
        let usual = [
            ("QUEUE_CONNECTION", "redis"),
            ("REDIS_PREFIX", "app_"),
            ("CACHE_PREFIX", "cache_"),
        ];
        Self::usual(&usual, env)
    }

    /// All in SQLite, nothing wrong.
    pub(super) fn database(env: &[(&str, &str)]) -> Self {
        Self::usual(
            &[("QUEUE_CONNECTION", "database"), ("CACHE_PREFIX", "cache_")],
            env,
        )
    }

    /// With these variables and this `.env`.
    pub(super) fn with_dotenv(env: &[(&str, &str)], text: &str) -> Self {
        let dotenv = TextFile {
            path: "/app/.env".into(),
            text: text.to_owned(),
        };
        Self::load(
            env,
            Files {
                dotenv: Some(dotenv),
                ..Files::default()
            },
        )
    }

    fn usual(usual: &[(&str, &str)], env: &[(&str, &str)]) -> Self {
        let database = [("DB_CONNECTION", "sqlite"), ("DB_DATABASE", "/app.sqlite")];
        Self::new(&[usual, &database, env].concat())
    }

    fn load(env: &[(&str, &str)], files: Files) -> Self {
        let env: BTreeMap<_, _> = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let inputs = Inputs {
            env: &env,
            working_dir: PathBuf::from("/app"),
            files,
            flags: BTreeMap::new(),
        };
        let (loaded, problems) = Config::examine(&inputs);
        let clues = Clues::read(&inputs, &loaded);
        let lanes = loaded
            .config
            .queues
            .iter()
            .map(|queue| vec![QueueName::new(&queue.name)])
            .collect();
        let case = Self {
            loaded,
            problems,
            clues,
            stores: None,
            php: None,
            lanes,
            all_queues: false,
            now_s: 1_800_000_000,
            findings: Vec::new(),
        };
        case.judged()
    }

    /// The same with these stores.
    pub(super) fn stores(mut self, stores: Vec<Store>) -> Self {
        self.stores = Some(stores);
        self.judged()
    }

    /// The same with this PHP.
    pub(super) fn php(mut self, php: Php) -> Self {
        self.php = Some(php);
        self.judged()
    }

    /// The same with these lanes.
    pub(super) fn lanes(mut self, lanes: &[&[&str]], all_queues: bool) -> Self {
        self.lanes = lanes
            .iter()
            .map(|lane| lane.iter().map(|name| QueueName::new(name)).collect())
            .collect();
        self.all_queues = all_queues;
        self.judged()
    }

    /// The same at another time.
    pub(super) fn at(mut self, now_s: i64) -> Self {
        self.now_s = now_s;
        self.judged()
    }

    fn judged(mut self) -> Self {
        let config = &self.loaded.config;
        let key = config.app.key.as_ref();
        let facts = Facts {
            loaded: &self.loaded,
            problems: &self.problems,
            clues: &self.clues,
            connection: &config.queue,
            lanes: self.lanes.clone(),
            all_queues: self.all_queues,
            now_s: self.now_s,
            old: Duration::from_secs(7 * 86_400),
            keys: key.map(|key| Keys::parse(key.expose(), &[], Cipher::Aes256Cbc).unwrap()),
            stores: self.stores.take().unwrap_or_default(),
            php: self.php.take(),
        };
        self.findings = judge(&facts);
        self.stores = Some(facts.stores);
        self.php = facts.php;
        self
    }

    /// How many findings there are of this kind.
    pub(super) fn count(&self, code: &str) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.code == code)
            .count()
    }

    /// What the findings of this kind are about.
    pub(super) fn subjects(&self, code: &str) -> Vec<&str> {
        let found = self.findings.iter().filter(|finding| finding.code == code);
        found.map(|finding| finding.subject.as_str()).collect()
    }

    /// The first finding of this kind.
    pub(super) fn first(&self, code: &str) -> &Finding {
        let found = self.findings.iter().find(|finding| finding.code == code);
        found.unwrap_or_else(|| panic!("no {code} in {:?}", self.findings))
    }

    /// How bad the worst finding of this kind is.
    pub(super) fn worst(&self, code: &str) -> Option<Severity> {
        self.findings
            .iter()
            .filter(|finding| finding.code == code)
            .map(|finding| finding.severity)
            .min()
    }
}

/// A server that is as good as new.
pub(super) fn server(product: Product) -> Server {
    let redis = RedisState {
        mode: "standalone".to_owned(),
        policy: Some("noeviction".to_owned()),
        used: 1 << 20,
        limit: 0,
        append_only: true,
        snapshots: Some(true),
        save_failed: false,
    };
    Server {
        product,
        version: "99.0.0".to_owned(),
        round_trip: Duration::from_millis(1),
        ahead_ms: Some(0),
        read_only: false,
        redis: (product == Product::Redis).then_some(redis),
    }
}

/// A Redis server with the jobs, none of them.
pub(super) fn redis_store() -> Store {
    let elsewhere = Elsewhere {
        places: Vec::new(),
        keys: 1000,
        complete: true,
    };
    Store {
        name: "Redis at cache:6379".to_owned(),
        uses: Uses {
            jobs: true,
            ..Uses::default()
        },
        server: Seen::Here(server(Product::Redis)),
        queues: Seen::Here(Vec::new()),
        processes: Seen::Here(Some(Vec::new())),
        redis: Some(Redis {
            db: 3,
            missing_rights: Seen::Here(Some(Vec::new())),
            elsewhere: Seen::Here(elsewhere),
        }),
        sql: None,
    }
}

/// A MySQL database with all there is.
pub(super) fn sql_store() -> Store {
    let failures = Failures {
        rows: 0,
        without_uuid: 0,
        duplicates: 0,
    };
    let tables = ["jobs", "failed_jobs", "cache"].map(table).to_vec();
    Store {
        name: "MySQL database app at db:3306".to_owned(),
        uses: Uses {
            jobs: true,
            failures: true,
            signals: true,
        },
        server: Seen::Here(server(Product::Mysql)),
        queues: Seen::Here(Vec::new()),
        processes: Seen::Here(Some(Vec::new())),
        redis: None,
        sql: Some(Sql {
            is_file: false,
            tables: Seen::Here(tables),
            failures: Seen::Here(failures),
        }),
    }
}

/// A column that may not be null.
pub(super) fn column(name: &str, declared: &str, holds: Holds) -> Column {
    Column {
        name: name.to_owned(),
        declared: declared.to_owned(),
        holds,
        nullable: false,
        charset: None,
    }
}

/// One of Laravel's tables as MySQL has it today.
pub(super) fn table(role: &'static str) -> TableState {
    let int = |name: &str| column(name, "int unsigned", Holds::Integer(u64::from(u32::MAX)));
    let big = |name: &str| column(name, "bigint", Holds::Integer(u64::MAX >> 1));
    let text = |name: &str| column(name, "varchar(255)", Holds::Text(Some(255)));
    let long = |name: &str| column(name, "longtext", Holds::Text(None));
    let small = column(
        "attempts",
        "smallint unsigned",
        Holds::Integer(u64::from(u16::MAX)),
    );
    let columns = match role {
        "jobs" => vec![
            big("id"),
            text("queue"),
            long("payload"),
            small,
            int("reserved_at"),
            int("available_at"),
            int("created_at"),
        ],
        "failed_jobs" => vec![
            big("id"),
            text("uuid"),
            text("connection"),
            text("queue"),
            long("payload"),
            long("exception"),
            column("failed_at", "timestamp", Holds::Time),
        ],
        "cache" => vec![text("key"), long("value"), big("expiration")],
        _ => Vec::new(),
    };
    let unique = Index {
        columns: vec!["uuid".to_owned()],
        unique: true,
    };
    TableState {
        role,
        name: role.to_owned(),
        columns: Some(columns),
        indexes: if role == "failed_jobs" {
            vec![unique]
        } else {
            Vec::new()
        },
    }
}

/// A queue with so many jobs that wait.
pub(super) fn queue(name: &str, pending: u64) -> QueueState {
    QueueState {
        pending,
        ..QueueState::empty(&QueueName::new(name))
    }
}

/// A worker process that serves these queues.
pub(super) fn process(queues: &[&str]) -> Process {
    Process {
        id: "1".to_owned(),
        host: "host".to_owned(),
        pid: 1,
        version: "0.1.0".to_owned(),
        connection: "redis".to_owned(),
        started_at: 0,
        state: "running".to_owned(),
        queues: queues.iter().map(|name| ((*name).to_owned(), 10)).collect(),
        running: Vec::new(),
        php: Vec::new(),
    }
}
