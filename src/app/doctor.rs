//! Asks everything that `worker doctor` judges: each question with a deadline of its own, all stores at once.

mod php;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};

use super::lanes::LaneFlags;
use super::words;
use crate::clock::{Clock, SystemClock};
use crate::config::{
    CacheStore, Clues, Database, FailedStore, Loaded, Origin, Problem, QueueConnection, QueueKind,
};
use crate::doctor::{Facts, Finding, Php, Redis, Seen, Severity, Sql, Store, Uses, judge};
use crate::store::Error;
use crate::store::apalis::TaskSurvey;
use crate::store::connect::{survey_redis, survey_sql, survey_tasks};
use crate::store::port::QueueName;
use crate::store::port::survey::{Ask, SqlSurvey, Survey, TableState};
use crate::store::redis::RedisSurvey;

/// How long one question may take: less than a connection of any driver takes to give up, so that it is this that is
/// said.
const LIMIT: Duration = Duration::from_secs(4);

/// What is to be examined.
#[derive(Debug)]
pub struct Examination<'a> {
    /// The settings, with defaults in the place of those that are wrong.
    pub loaded: &'a Loaded,
    /// What is wrong with them.
    pub problems: &'a [Problem],
    /// What they look like.
    pub clues: &'a Clues,
    /// The connection to take for the served one.
    pub connection: &'a QueueConnection,
    /// What the flags say of lanes.
    pub lanes: &'a LaneFlags,
    /// Jobs that have waited for longer than this count as old.
    pub old: Duration,
    /// Whether PHP is left out.
    pub native_only: bool,
}

/// What was examined, and what was found.
#[derive(Debug)]
pub struct Report {
    /// The stores, with what they answered.
    pub stores: Vec<Store>,
    /// PHP, where there is an application.
    pub php: Option<Php>,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether anything is wrong enough for the exit code 1.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        let worst = self.findings.first();
        worst.is_some_and(|finding| finding.severity == Severity::Error)
    }
}

/// Asks and judges. Nothing in any store is changed, and no trouble with one keeps the others from being examined.
pub async fn examine(of: &Examination<'_>) -> Report {
    let config = &of.loaded.config;
    let lanes = of.lanes.lanes(config, of.connection.queue());
    let lanes: Vec<Vec<QueueName>> = lanes.iter().map(|lane| lane.queues.clone()).collect();
    let ask = Ask {
        queues: lanes.iter().flatten().cloned().collect(),
        old: of.old,
        retry_after: retry_after(of.connection),
    };
    let php = async {
        let base = config.app.base_path.clone().filter(|_| !of.native_only)?;
        Some(php::examine(config, base).await)
    };
    let stores = join_all(targets(of).into_iter().map(|target| visit(target, of, &ask)));
    let (stores, php) = futures_util::join!(stores, php);
    let facts = Facts {
        loaded: of.loaded,
        problems: of.problems,
        clues: of.clues,
        connection: of.connection,
        lanes,
        all_queues: of.lanes.wants_all(),
        now_s: SystemClock.unix_s(),
        old: of.old,
        // A key that fits no cipher is among the problems.
        keys: super::keys(config).ok().flatten(),
        stores,
        php,
    };
    let findings = judge(&facts);
    Report {
        stores: facts.stores,
        php: facts.php,
        findings,
    }
}

fn retry_after(connection: &QueueConnection) -> Duration {
    match &connection.kind {
        QueueKind::Redis { retry_after, .. }
        | QueueKind::Database { retry_after, .. }
        | QueueKind::Embedded { retry_after, .. } => *retry_after,
        QueueKind::ApalisRedis { .. } | QueueKind::ApalisDatabase { .. } | QueueKind::Sync => Duration::ZERO,
    }
}

/// A store to be visited.
struct Target {
    place: Place,
    uses: Uses,
}

enum Place {
    /// The Redis server, and the database to look into first.
    Redis(u32),
    Sql(Database),
}

/// Every store that the settings name and that can be reached with them: a wrong `REDIS_URL` would lead to some other
/// server.
fn targets(of: &Examination<'_>) -> Vec<Target> {
    let wrong = |starts: &[&str]| {
        let begins = |problem: &Problem| starts.iter().any(|start| problem.name.starts_with(start));
        of.problems.iter().any(begins)
    };
    let mut targets = Vec::new();
    if !wrong(&["REDIS_"]) {
        targets.extend(redis_target(of));
    }
    if !wrong(&["DB_", "DATABASE_URL", "MYSQL"]) {
        targets.extend(sql_targets(of));
    }
    targets
}

fn redis_target(of: &Examination<'_>) -> Option<Target> {
    let config = &of.loaded.config;
    let jobs = match of.connection.kind {
        QueueKind::Redis { db, .. } | QueueKind::ApalisRedis { db, .. } => Some(db),
        QueueKind::ApalisDatabase { .. }
        | QueueKind::Database { .. }
        | QueueKind::Embedded { .. }
        | QueueKind::Sync => None,
    };
    let signals = match config.cache {
        CacheStore::Redis { db, .. } => Some(db),
        CacheStore::Database { .. } | CacheStore::Unreadable { .. } => None,
    };
    let is_set = |name: &str| {
        let setting = of.loaded.sources.get(name);
        setting.is_some_and(|setting| setting.origin != Origin::Default && !setting.value.is_empty())
    };
    let configured = is_set("REDIS_URL") || is_set("REDIS_HOST");
    let db = jobs
        .or(signals)
        .or_else(|| configured.then_some(config.redis.queue_db))?;
    Some(Target {
        place: Place::Redis(db),
        uses: Uses {
            jobs: jobs.is_some(),
            failures: false,
            signals: signals.is_some(),
        },
    })
}

fn sql_targets(of: &Examination<'_>) -> Vec<Target> {
    let config = &of.loaded.config;
    let mut targets: Vec<(Database, Uses)> = Vec::new();
    let mut add =
        |database: &Database, uses: Uses| match targets.iter_mut().find(|(known, _)| known == database) {
            Some((_, known)) => {
                known.jobs |= uses.jobs;
                known.failures |= uses.failures;
                known.signals |= uses.signals;
            }
            None => targets.push((database.clone(), uses)),
        };
    let none = Uses::default();
    match &of.connection.kind {
        QueueKind::Database { database, .. } | QueueKind::ApalisDatabase { database, .. } => {
            add(database, Uses { jobs: true, ..none });
        }
        // The worker makes its own file when it first runs.
        QueueKind::Embedded { path, .. } if !path.exists() => return Vec::new(),
        QueueKind::Embedded { path, .. } => {
            let own = Database::Sqlite {
                path: Some(path.clone()),
            };
            add(&own, Uses { jobs: true, ..none });
        }
        QueueKind::Redis { .. } | QueueKind::ApalisRedis { .. } | QueueKind::Sync => {}
    }
    if let FailedStore::Database { database, .. } = &config.failed {
        add(
            database,
            Uses {
                failures: true,
                ..none
            },
        );
    }
    if let CacheStore::Database { database, .. } = &config.cache {
        add(
            database,
            Uses {
                signals: true,
                ..none
            },
        );
    }
    let named = of.loaded.sources.get("DB_CONNECTION");
    if named.is_some_and(|setting| setting.origin != Origin::Default)
        && let Ok(database) = config.databases.default()
    {
        add(database, none);
    }
    targets
        .into_iter()
        .map(|(database, uses)| Target {
            place: Place::Sql(database),
            uses,
        })
        .collect()
}

async fn visit(target: Target, of: &Examination<'_>, ask: &Ask) -> Store {
    let config = &of.loaded.config;
    let name = match &target.place {
        Place::Redis(_) => words::redis_server(config),
        Place::Sql(database) => words::database(database),
    };
    let mut visit = Visit::new(name, target.uses);
    if target.uses.jobs {
        match survey_tasks(config, of.connection) {
            Ok(tasks) => visit.tasks = tasks,
            Err(error) => return visit.unvisited(&error.to_string()),
        }
    }
    match target.place {
        Place::Redis(db) => match survey_redis(config, db) {
            Ok(survey) => redis(visit, &survey, db, ask).await,
            Err(error) => visit.unvisited(&error.to_string()),
        },
        Place::Sql(database) => {
            let blank = Sql {
                is_file: matches!(database, Database::Sqlite { .. }),
                tables: Seen::NotAsked,
                failures: Seen::NotAsked,
            };
            match survey_sql(config, of.connection, &database) {
                Ok(survey) => sql(visit, &survey, (blank, ask)).await,
                Err(error) => visit.unvisited(&error.to_string()),
            }
        }
    }
}

/// A store about which nothing is known yet.
struct Visit {
    store: Store,
    /// The look at its jobs when they are tasks of Rust producers.
    tasks: Option<TaskSurvey>,
}

impl Visit {
    fn new(name: String, uses: Uses) -> Self {
        let store = Store {
            name,
            uses,
            server: Seen::NotAsked,
            queues: Seen::NotAsked,
            processes: Seen::NotAsked,
            redis: None,
            sql: None,
        };
        Self { store, tasks: None }
    }

    fn unvisited(mut self, why: &str) -> Store {
        self.store.server = Seen::Failed(why.to_owned());
        self.store
    }

    /// Asks what the server is; without an answer nothing else is asked.
    async fn knock(&mut self, survey: &dyn Survey) -> bool {
        self.store.server = within(survey.server()).await;
        self.store.server.get().is_some()
    }

    /// Asks for queues and their consumers.
    async fn jobs(&mut self, survey: &dyn Survey, ask: &Ask) {
        let queues = async {
            match &self.tasks {
                Some(tasks) => within(tasks.queues(ask)).await,
                None => within(survey.queues(ask)).await,
            }
        };
        (self.store.queues, self.store.processes) = futures_util::join!(queues, within(survey.processes()));
    }

    /// Whether the table of jobs is there. That of tasks, which takes its place, is told of when it is not.
    async fn has_jobs(&self, tables: &mut Vec<TableState>) -> bool {
        let Some(tasks) = &self.tasks else {
            return has(tables, "jobs", "queue");
        };
        // In SQLite it is found under the name of Laravel's.
        tables.retain(|table| table.role != "jobs");
        let Seen::Here(Some(name)) = within(tasks.missing_table()).await else {
            return true;
        };
        tables.push(TableState {
            role: "tasks",
            name: name.to_owned(),
            columns: None,
            indexes: Vec::new(),
        });
        false
    }
}

fn has(tables: &[TableState], role: &str, column: &str) -> bool {
    let table = tables.iter().find(|table| table.role == role);
    table.is_some_and(|table| table.column(column).is_some())
}

async fn redis(mut visit: Visit, survey: &RedisSurvey, db: u32, ask: &Ask) -> Store {
    let mut redis = Redis {
        db,
        missing_rights: Seen::NotAsked,
        elsewhere: Seen::NotAsked,
    };
    if visit.knock(survey).await && visit.store.uses.jobs {
        if visit.tasks.is_some() {
            // The names of their keys have no prefix, and other rights are needed.
            visit.jobs(survey, ask).await;
        } else {
            let any = QueueName::new("default");
            let queue = ask.queues.first().unwrap_or(&any);
            (redis.missing_rights, redis.elsewhere, ()) = futures_util::join!(
                within(survey.missing_rights(queue)),
                within(survey.elsewhere()),
                visit.jobs(survey, ask),
            );
        }
    }
    visit.store.redis = Some(redis);
    visit.store
}

async fn sql(mut visit: Visit, survey: &Arc<dyn SqlSurvey>, (mut sql, ask): (Sql, &Ask)) -> Store {
    if visit.knock(survey.as_ref()).await {
        sql.tables = within(survey.tables()).await;
        // A table that is not there is a finding of its own.
        let (with_jobs, with_failures) = match &mut sql.tables {
            Seen::Here(tables) => (visit.has_jobs(tables).await, has(tables, "failed_jobs", "uuid")),
            Seen::NotAsked | Seen::Failed(_) | Seen::Late(_) => (false, false),
        };
        let jobs = async {
            if visit.store.uses.jobs && with_jobs {
                visit.jobs(survey.as_ref(), ask).await;
            }
        };
        let failures: BoxFuture<'_, _> = match with_failures {
            true => Box::pin(within(survey.failures())),
            false => Box::pin(async { Seen::NotAsked }),
        };
        (sql.failures, ()) = futures_util::join!(failures, jobs);
    }
    visit.store.sql = Some(sql);
    visit.store
}

/// The answer, if it comes in time.
async fn within<T>(question: impl Future<Output = Result<T, Error>>) -> Seen<T> {
    match tokio::time::timeout(LIMIT, question).await {
        Ok(Ok(answer)) => Seen::Here(answer),
        Ok(Err(error)) => Seen::Failed(error.to_string()),
        Err(_) => Seen::Late(LIMIT),
    }
}
