//! Connections: one that all commands share, and separate ones for a command that blocks.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2};
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue};
use redis::{
    ConnectionInfo, IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisError, ServerErrorKind, Value,
};
use tokio::sync::Mutex;

use super::failure::Failure;
use super::options::{RedisAddress, RedisOptions};
use super::script::Script;
use crate::config::Login;
use crate::store::Error;
use crate::store::login::Logon;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a command may go unanswered. The library's own half a second gives up on a server that is
/// merely slow, which then reserves jobs for nobody.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long written bytes may go unacknowledged by the other side before the connection counts as dead.
const SILENCE: Duration = Duration::from_secs(12);

/// The connection to one database, made when it is needed and replaced after it broke.
pub(in crate::store) struct Connection {
    info: ConnectionInfo,
    db: i64,
    logon: Logon,
    address: RedisAddress,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    live: Option<Live>,
    /// Counts connections, so that only the one that broke is thrown away.
    made: u64,
    failed: Option<(Instant, Failure)>,
}

#[derive(Clone)]
struct Live {
    number: u64,
    connection: MultiplexedConnection,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.address)
    }
}

impl Connection {
    /// Prepares a connection; none is made yet.
    ///
    /// # Errors
    /// When the options cannot be used, such as a database number out of range.
    pub(in crate::store) fn new(options: &RedisOptions) -> Result<Self, Error> {
        let refuse = |error: &RedisError| Failure::of(error).during("use these Redis options");
        let info = address(&options.address)
            .into_connection_info()
            .map_err(|error| refuse(&error))?
            .set_tcp_settings(tcp_settings());
        let connection = Self {
            info,
            db: i64::from(options.db),
            logon: Logon::new(options.first_login(), options.login.clone()),
            address: options.address.clone(),
            slot: Mutex::default(),
        };
        connection
            .client(&connection.logon.login())
            .map_err(|error| refuse(&error))?;
        Ok(connection)
    }

    fn client(&self, login: &Login) -> Result<Client, RedisError> {
        let mut settings = RedisConnectionInfo::default()
            .set_db(self.db)
            .set_skip_set_lib_name();
        if let Some(username) = &login.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &login.password {
            settings = settings.set_password(password.expose());
        }
        Client::open(self.info.clone().set_redis_settings(settings))
    }

    /// Sends one command and waits for its answer.
    pub(in crate::store) async fn send<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let mut live = self.live().await?;
        let answer = command.query_async(&mut live.connection).await;
        self.judge(live.number, answer).await
    }

    /// Sends several commands in one go and waits for their answers.
    pub(in crate::store) async fn send_all<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
    ) -> Result<T, Failure> {
        let mut live = self.live().await?;
        let answer = commands.query_async(&mut live.connection).await;
        self.judge(live.number, answer).await
    }

    /// Runs a script; `fill` writes the number of keys, the keys and the arguments. The script's text is
    /// sent only when the server does not know it.
    pub(in crate::store) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        fill: impl Fn(&mut Cmd) + Send + Sync,
    ) -> Result<T, Failure> {
        let mut live = self.live().await?;
        let mut command = script.by_hash();
        fill(&mut command);
        let mut answer = command.query_async(&mut live.connection).await;
        if let Err(error) = &answer
            && error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
        {
            let mut command = script.by_text();
            fill(&mut command);
            answer = command.query_async(&mut live.connection).await;
        }
        self.judge(live.number, answer).await
    }

    /// Makes a connection for a command that blocks: it has no time limit of its own.
    pub(in crate::store) async fn blocking(&self) -> Result<MultiplexedConnection, Failure> {
        self.connect(None).await
    }

    /// Lets nobody else use the present connection. Those who wait for an answer on it go on waiting.
    pub(in crate::store) fn distrust(&self) {
        // It is locked while a connection is made or thrown away.
        if let Ok(mut slot) = self.slot.try_lock() {
            slot.live = None;
        }
    }

    async fn live(&self) -> Result<Live, Failure> {
        let asked = Instant::now();
        let mut slot = self.slot.lock().await;
        if let Some(live) = &slot.live {
            return Ok(live.clone());
        }
        // Those who waited while another's attempt failed share its answer.
        if let Some((at, failure)) = &slot.failed
            && *at > asked
        {
            return Err(failure.clone());
        }
        match self.connect(Some(RESPONSE_TIMEOUT)).await {
            Ok(connection) => {
                slot.made += 1;
                let number = slot.made;
                let live = Live { number, connection };
                slot.live = Some(live.clone());
                Ok(live)
            }
            Err(failure) => {
                slot.failed = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    /// Connects with the login in use; when that is refused, with the one that the settings hold by now.
    async fn connect(&self, response_timeout: Option<Duration>) -> Result<MultiplexedConnection, Failure> {
        let connect = |login: Login| async move { self.connect_as(&login, response_timeout).await };
        let connected = self.logon.open(connect, |failure| failure.login_refused).await;
        connected.map_err(|failure| match failure.login_refused {
            true => failure.advised(&self.logon.advice()),
            false => failure,
        })
    }

    async fn connect_as(
        &self,
        login: &Login,
        response_timeout: Option<Duration>,
    ) -> Result<MultiplexedConnection, Failure> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(response_timeout);
        let not_connected = |error: &RedisError| Failure::not_connected(error, &self.address);
        let mut connection = self
            .client(login)
            .map_err(|error| not_connected(&error))?
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|error| not_connected(&error))?;
        let mut name = redis::cmd("CLIENT");
        name.arg("SETNAME").arg("worker");
        // A name helps people who look at the server; a user without this right works as well.
        let named = tokio::time::timeout(CONNECT_TIMEOUT, name.query_async::<Value>(&mut connection)).await;
        match named {
            Ok(Err(error)) if error.is_unrecoverable_error() || Failure::of(&error).login_refused => {
                Err(not_connected(&error))
            }
            Err(_) => {
                let silent = RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
                Err(not_connected(&silent))
            }
            Ok(_) => Ok(connection),
        }
    }

    async fn judge<T>(&self, number: u64, answer: Result<T, RedisError>) -> Result<T, Failure> {
        let error = match answer {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let failure = Failure::of(&error);
        if failure.reconnect {
            let mut slot = self.slot.lock().await;
            if slot.live.as_ref().is_some_and(|live| live.number == number) {
                slot.live = None;
            }
        }
        Err(failure)
    }
}

fn address(address: &RedisAddress) -> ConnectionAddr {
    match address {
        RedisAddress::Tcp {
            host,
            port,
            tls: false,
        } => ConnectionAddr::Tcp(host.clone(), *port),
        RedisAddress::Tcp {
            host,
            port,
            tls: true,
        } => ConnectionAddr::TcpTls {
            host: host.clone(),
            port: *port,
            insecure: false,
            tls_params: None,
        },
        RedisAddress::Unix(path) => ConnectionAddr::Unix(path.clone()),
    }
}

fn tcp_settings() -> TcpSettings {
    let probe = Duration::from_secs(4);
    let settings = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(socket2::TcpKeepalive::new().with_time(probe).with_interval(probe));
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(SILENCE);
    settings
}
