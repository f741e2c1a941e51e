//! Where everything is put together: the only file, with its folder, that names concrete types of every room.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use tracing::warn;
use worker_jobs::resources::Pool;
use worker_jobs::{Registry, Resources};

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Database, QueueConnection, QueueKind};
use crate::exit::{Exit, Failure};
use crate::runtime::dispatch::QueueDispatcher;
use crate::store::Error;
use crate::store::connect::{self, OpenError, Stores};
use crate::store::port::{Queue, QueueName};
use crate::store::sql::PostgresOptions;
use crate::wire::{Cipher, Keys};

pub mod bench;
pub mod daemon;
pub mod demo;
pub mod doctor;
pub mod foreground;
pub mod http;
pub mod lanes;
mod logins;
mod metrics;
pub mod php;
pub mod presence;
pub mod report;
pub mod schedule;
mod tending;
mod threads;
pub mod watchdog;
mod words;

/// The first wait for a store at start; doubles up to five seconds.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait between two tries at start.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The application as this process serves it: its settings and the stores of one connection.
#[derive(Debug, Clone)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// The connection served.
    pub connection: QueueConnection,
    /// Its stores.
    pub stores: Stores,
    /// The time.
    pub clock: Arc<dyn Clock>,
    jobs_database: Arc<OnceLock<worker_jobs::resources::Database>>,
}

impl App {
    /// Opens the stores of `connection`, and waits up to `patience` until the queue answers.
    ///
    /// # Errors
    /// Exit 78 for a configuration that cannot be served, 69 when the store does not answer in time.
    pub async fn open(
        config: Config,
        connection: QueueConnection,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let started = Instant::now();
        let mut wait = FIRST_WAIT;
        let mut said = false;
        loop {
            let error = match connect::open(&config, &connection).await {
                Ok(stores) => match stores.queue.ping().await {
                    Ok(()) => {
                        let config = Arc::new(config);
                        return Ok(Self {
                            config,
                            connection,
                            stores,
                            clock: Arc::new(SystemClock),
                            jobs_database: Arc::default(),
                        });
                    }
                    Err(error) => OpenError::Store(error),
                },
                Err(error) => error,
            };
            if !error.may_pass() || started.elapsed() + wait > patience {
                return Err(refused(&error, &connection.name));
            }
            if !said {
                said = true;
                warn!(
                    "Waiting up to {} s for the store of connection {}: {error}",
                    patience.as_secs(),
                    connection.name
                );
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Queues under the prefix that newer skeletons derive from the application's name, when ours was
    /// derived too and there are none under it: the likely reason why a worker finds nothing to do.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn elsewhere(&self) -> Result<Option<(String, Vec<QueueName>)>, Error> {
        let Some(prefix) = self.config.redis.prefix_alternative.clone() else {
            return Ok(None);
        };
        let QueueKind::Redis { db, .. } = &self.connection.kind else {
            return Ok(None);
        };
        if !self.stores.queue.queues().await?.is_empty() {
            return Ok(None);
        }
        let queues = connect::redis_under(&self.config, *db, &prefix)?.queues().await?;
        Ok((!queues.is_empty()).then_some((prefix, queues)))
    }

    /// The connection's own queue.
    #[must_use]
    pub fn default_queue(&self) -> QueueName {
        QueueName::new(self.connection.queue())
    }

    /// Dispatches onto the connection.
    #[must_use]
    pub fn dispatcher(&self) -> QueueDispatcher {
        QueueDispatcher::new(
            Arc::clone(&self.stores.queue),
            self.default_queue(),
            Arc::clone(&self.clock),
        )
    }

    /// The application's time zone.
    #[must_use]
    pub fn timezone(&self) -> TimeZone {
        TimeZone::get(&self.config.app.timezone).unwrap_or(TimeZone::UTC)
    }

    /// The keys that open encrypted commands; `None` without `APP_KEY`.
    ///
    /// # Errors
    /// When a key does not fit the cipher.
    pub fn keys(&self) -> anyhow::Result<Option<Keys>> {
        keys(&self.config)
    }

    /// The jobs that run natively, with what they may reach.
    ///
    /// # Errors
    /// When two jobs answer to one class, or a job lacks a resource.
    pub fn registry(&self) -> anyhow::Result<Registry> {
        let mut registry = Registry::new(self.resources()?);
        worker_jobs::catalog::register(&mut registry)?;
        worker_jobs::catalog::register_samples(&mut registry)?;
        Ok(registry)
    }

    fn resources(&self) -> anyhow::Result<Resources> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("worker/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(tls()?)
            .build()?;
        Ok(Resources {
            http: Some(http),
            database: self.jobs_database(),
        })
    }

    /// The one pool of the jobs of this process.
    fn jobs_database(&self) -> Option<worker_jobs::resources::Database> {
        if self.jobs_database.get().is_none() {
            let made = self.database()?;
            return Some(self.jobs_database.get_or_init(|| made).clone());
        }
        self.jobs_database.get().cloned()
    }

    /// The application's database, for jobs; connections are made when they are first used.
    fn database(&self) -> Option<worker_jobs::resources::Database> {
        let database = self.config.databases.default().ok()?;
        let pool = if let Some(postgres) = connect::postgres(&self.config, database) {
            Pool::Postgres(pool_options().connect_lazy_with(postgres_options(&postgres)))
        } else if let Some(mysql) = connect::mysql(&self.config, database) {
            Pool::Mysql(pool_options().connect_lazy_with(mysql.connect_options()))
        } else if let Database::Sqlite { path: Some(path) } = database {
            let options = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(path)
                .busy_timeout(Duration::from_secs(10));
            Pool::Sqlite(pool_options().connect_lazy_with(options))
        } else {
            return None;
        };
        Some(worker_jobs::resources::Database {
            pool,
            timezone: self.timezone(),
        })
    }
}

/// What a native job's connection to PostgreSQL is opened with.
fn postgres_options(postgres: &PostgresOptions) -> sqlx::postgres::PgConnectOptions {
    let search_path = [("search_path", postgres.quoted_search_path())];
    postgres.connect_options().options(search_path)
}

/// A small pool: jobs share it, and the server has other clients.
fn pool_options<DB: sqlx::Database>() -> sqlx::pool::PoolOptions<DB> {
    sqlx::pool::PoolOptions::new()
        .max_connections(5)
        .acquire_timeout(Duration::from_secs(10))
}

/// TLS that trusts the built-in authorities and those of the machine, so that a container without any works.
fn tls() -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let (taken, refused) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    tracing::debug!(taken, refused, "Read the machine's certificate authorities");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The keys that a configuration names.
///
/// # Errors
/// When a key does not fit the cipher.
pub fn keys(config: &Config) -> anyhow::Result<Option<Keys>> {
    let Some(key) = &config.app.key else {
        return Ok(None);
    };
    let previous: Vec<_> = config
        .app
        .previous_keys
        .iter()
        .map(crate::config::Secret::expose)
        .collect();
    let cipher = [Cipher::default(), Cipher::Aes128Cbc];
    let parsed = cipher
        .iter()
        .find_map(|cipher| Keys::parse(key.expose(), &previous, *cipher).ok());
    let refused = || {
        Failure::new(
            Exit::Config,
            "invalid configuration:\n  APP_KEY does not fit any cipher of Laravel",
        )
    };
    Ok(Some(parsed.ok_or_else(refused)?))
}

/// The queues of a connection, when its store answers.
///
/// # Errors
/// Exit 78 for a configuration that cannot be served, 69 when the store does not answer.
pub async fn open_queue(config: &Config, connection: &QueueConnection) -> anyhow::Result<Arc<dyn Queue>> {
    let name = &connection.name;
    let queue = connect::open_queue(config, connection)
        .await
        .map_err(|error| refused(&error, name))?;
    match queue.ping().await {
        Ok(()) => Ok(queue),
        Err(error) => Err(refused(&OpenError::Store(error), name)),
    }
}

/// A store that cannot be opened, as the end of a command.
pub fn refused(error: &OpenError, connection: &str) -> anyhow::Error {
    match error {
        OpenError::Config(problem) => {
            Failure::new(Exit::Config, format!("invalid configuration:\n  {problem}")).into()
        }
        OpenError::Store(error) => {
            let message = format!("the store of connection {connection} cannot be used: {error}");
            Failure::new(Exit::Unreachable, message).into()
        }
    }
}

/// A store's error as the end of a command.
pub fn unreachable(error: &Error) -> anyhow::Error {
    Failure::new(Exit::Unreachable, format!("failed to {error}")).into()
}
