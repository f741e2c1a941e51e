//! The login that connections of one server use, and how a new one takes its place.
//!
//! A server that refuses a login has the settings read anew; when these hold another one, and the server takes that, it
//! is everybody's from then on. Whoever connects meanwhile does the same, and all come to the same end.

use tracing::{info, warn};

use crate::config::{Found, Login, LoginSource};

/// The login of one server, shared by nobody but through its source.
#[derive(Debug)]
pub(in crate::store) struct Logon {
    fixed: Login,
    source: Option<LoginSource>,
}

/// Another login than the one that was refused.
enum Renewed {
    /// Someone else has tried it with success.
    Known(Login),
    /// Read from the settings just now.
    Read(Found),
}

impl Renewed {
    /// The login to try.
    fn login(&self) -> Login {
        match self {
            Self::Known(login) => login.clone(),
            Self::Read(found) => found.login.clone(),
        }
    }
}

impl Logon {
    /// A login that never changes, unless there is a source.
    pub(in crate::store) fn new(fixed: Login, source: Option<LoginSource>) -> Self {
        Self { fixed, source }
    }

    /// The login in use.
    pub(in crate::store) fn login(&self) -> Login {
        let source = self.source.as_ref();
        source.map_or_else(|| self.fixed.clone(), LoginSource::login)
    }

    /// Connects with the login in use; when that is refused, once more with the one that the settings hold by now.
    ///
    /// # Errors
    /// Those of `connect`.
    pub(in crate::store) async fn open<T, E, F>(
        &self,
        connect: impl Fn(Login) -> F,
        is_refused: impl Fn(&E) -> bool,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let used = self.login();
        let refused = match connect(used.clone()).await {
            Err(error) if is_refused(&error) => error,
            done => return done,
        };
        let Some(renewed) = self.renew(&used).await else {
            return Err(refused);
        };
        let opened = connect(renewed.login()).await?;
        self.keep(renewed);
        Ok(opened)
    }

    /// After a server refused `used`: another login to try, if there is one by now.
    async fn renew(&self, used: &Login) -> Option<Renewed> {
        let source = self.source.as_ref()?;
        let login = source.login();
        if login != *used {
            return Some(Renewed::Known(login));
        }
        let reader = source.clone();
        // The files may lie on a disk that is slow.
        let read = tokio::task::spawn_blocking(move || reader.read()).await;
        match read.map_err(|error| error.to_string()).and_then(|read| read) {
            Ok(found) => (found.login != *used).then_some(Renewed::Read(found)),
            Err(why) => {
                if source.note(&why) {
                    warn!("The login was refused, and the settings hold no other that can be used: {why}");
                }
                None
            }
        }
    }

    /// The server has taken a renewed login.
    fn keep(&self, renewed: Renewed) {
        let (Some(source), Renewed::Read(found)) = (&self.source, renewed) else {
            return;
        };
        let place = found.place.to_string();
        if source.take(found) {
            info!("New login taken from {place}");
        }
    }

    /// What a person should know about a login that was refused; empty where that cannot be said.
    pub(in crate::store) fn advice(&self) -> String {
        self.source.as_ref().map(LoginSource::advice).unwrap_or_default()
    }
}
