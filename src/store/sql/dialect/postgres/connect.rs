//! Making connections, and telling a server from a pooler in front of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};
use tracing::info;

use super::error::{Failure, is_of_a_pooler, is_of_login, wants_encryption};
use crate::config::{Login, SslMode};
use crate::store::login::Logon;
use crate::store::sql::options::{PostgresOptions, with_postgres_login};

/// How long it may take until a new connection is ready.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a statement waits for a lock that another transaction holds.
const LOCKS: &str = "10s";

/// A planner that knows a table as empty, as those of jobs often are, expects a handful of rows: it would rather
/// gather and sort them all than follow the index, which is slow when there are a million.
const BY_INDEX: (&str, &str) = ("enable_bitmapscan", "off");

/// A connection, ready for statements.
#[derive(Debug)]
pub(in crate::store) struct Link {
    pub(in crate::store) connection: PgConnection,
    /// The server's process behind it; `None` behind a pooler, where that changes.
    pub(in crate::store) pid: Option<i32>,
}

/// Where and how to connect.
#[derive(Debug)]
pub(in crate::store) struct Door {
    plain: PgConnectOptions,
    direct: PgConnectOptions,
    logon: Logon,
    /// What a session must hold to be ours alone.
    mark: String,
    search_path: String,
    or_encrypted: bool,
    place: String,
    pooled: AtomicBool,
}

impl Door {
    pub(in crate::store) fn new(options: &PostgresOptions) -> Self {
        let plain = options.connect_options_of_nobody();
        let search_path = options.quoted_search_path();
        let mark = format!("{:016x}", fastrand::u64(..));
        let direct = plain.clone().options([
            ("worker.mark", mark.as_str()),
            ("search_path", &search_path),
            ("default_transaction_isolation", "read committed"),
            ("lock_timeout", LOCKS),
            BY_INDEX,
            // The server gives up on us, and with that our locks, when the network does not answer.
            ("tcp_keepalives_idle", "30"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
        ]);
        let place = match options.host.starts_with('/') {
            true => options.host.clone(),
            false => format!("{}:{}", options.host, options.port),
        };
        Self {
            plain,
            direct,
            logon: Logon::new(options.login(), options.login.clone()),
            mark,
            search_path,
            or_encrypted: options.sslmode == SslMode::Allow,
            place,
            pooled: AtomicBool::new(false),
        }
    }

    /// Whether a pooler is known to stand before the server: each transaction may then run in another
    /// session, and nothing of a session lasts.
    pub(in crate::store) fn is_pooled(&self) -> bool {
        self.pooled.load(Ordering::Acquire)
    }

    /// Remembers that there is a pooler, and says so once.
    pub(in crate::store) fn found_a_pooler(&self) {
        if !self.pooled.swap(true, Ordering::AcqRel) {
            info!(
                "PostgreSQL at {} is behind a connection pooler: each step is a transaction of its own, and jobs are \
                 not announced but looked for, every WORKER_SLEEP at least",
                self.place
            );
        }
    }

    /// How a transaction begins behind a pooler: with the settings that a session of our own would have.
    pub(in crate::store) fn begin_pooled(&self) -> String {
        format!(
            "begin isolation level read committed; set local search_path to {}; set local lock_timeout to '{LOCKS}'; \
             set local {} to {}",
            self.search_path, BY_INDEX.0, BY_INDEX.1
        )
    }

    /// Opens a connection and recognises what is at its other end.
    pub(in crate::store) async fn connect(&self) -> Result<Link, Failure> {
        let failed = |error| Failure::Connect {
            place: self.place.clone(),
            advice: if is_of_login(&error) {
                self.logon.advice()
            } else {
                String::new()
            },
            error,
        };
        let connected = tokio::time::timeout(CONNECT, self.recognise()).await;
        let silent = |_| {
            let why = format!("no answer within {} s", CONNECT.as_secs());
            sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, why))
        };
        connected.map_err(silent).and_then(|done| done).map_err(failed)
    }

    async fn recognise(&self) -> Result<Link, sqlx::Error> {
        if !self.is_pooled() {
            match self.open(&self.direct).await {
                Ok(connection) => return self.greet(connection).await,
                Err(error) if is_of_a_pooler(&error) => self.found_a_pooler(),
                Err(error) => return Err(error),
            }
        }
        let connection = self.open(&self.plain).await?;
        Ok(Link {
            connection,
            pid: None,
        })
    }

    /// Asks a new session whether it is the one that we asked for. A pooler that did not refuse our settings
    /// has dropped them, since its sessions are not ours alone.
    async fn greet(&self, mut connection: PgConnection) -> Result<Link, sqlx::Error> {
        // Plans for the values at hand: a table of jobs is empty in one minute and large in the next.
        let greeting = format!(
            "select pg_backend_pid(), case when current_setting('worker.mark', true) = '{}' \
             and current_setting('server_version_num')::int >= 120000 \
             then set_config('plan_cache_mode', 'force_custom_plan', false) end, \
             coalesce(current_setting('worker.mark', true), '')",
            self.mark
        );
        let row = sqlx::raw_sql(AssertSqlSafe(greeting))
            .fetch_one(&mut connection)
            .await?;
        let mark: String = row.try_get(2)?;
        let pid = if mark == self.mark {
            Some(row.try_get(0)?)
        } else {
            self.found_a_pooler();
            None
        };
        Ok(Link { connection, pid })
    }

    async fn open(&self, options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
        let connect = |login: Login| async move { self.open_as(options, &login).await };
        self.logon.open(connect, is_of_login).await
    }

    async fn open_as(&self, options: &PgConnectOptions, login: &Login) -> Result<PgConnection, sqlx::Error> {
        let options = with_postgres_login(options.clone(), login);
        match options.connect().await {
            // libpq's `allow`: encrypted when the server insists.
            Err(error) if self.or_encrypted && wants_encryption(&error) => {
                options.ssl_mode(PgSslMode::Require).connect().await
            }
            opened => opened,
        }
    }

    /// Opens a connection that listens, to no channel yet. When it breaks it is not made anew by itself.
    ///
    /// # Errors
    /// When it cannot be opened within [`CONNECT`].
    pub(in crate::store) async fn listener(&self) -> Result<PgListener, sqlx::Error> {
        let connect = |login: Login| async move {
            let pool = PgPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(CONNECT)
                .idle_timeout(None)
                .max_lifetime(None)
                .connect_lazy_with(with_postgres_login(self.direct.clone(), &login));
            PgListener::connect_with(&pool).await
        };
        let mut listener = self.logon.open(connect, is_of_login).await?;
        listener.eager_reconnect(false);
        Ok(listener)
    }
}
