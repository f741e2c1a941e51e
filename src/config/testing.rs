//! Starts without a process: settings from pairs of names and values.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Clues, Config, Database, Files, Flavour, Inputs, Loaded, MysqlTls, Problems, Secret, TextFile};

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Loads with everything said: environment, flags and files.
pub(super) fn load_all(
    env: &[(&str, &str)],
    flags: &[(&str, &str)],
    files: Files,
) -> Result<Loaded, Problems> {
    let working_dir = PathBuf::from("/home/user");
    Config::load(&Inputs {
        env: &map(env),
        working_dir,
        files,
        flags: map(flags),
    })
}

/// Loads from the environment alone, without an application.
pub(super) fn load(env: &[(&str, &str)]) -> Loaded {
    load_all(env, &[], Files::default()).unwrap()
}

/// Loads for an application at /app, whose `.env` says nothing.
pub(super) fn load_app(env: &[(&str, &str)]) -> Loaded {
    load_all(env, &[], app_files("")).unwrap()
}

/// What is wrong with the environment, problem by problem.
pub(super) fn problems(env: &[(&str, &str)]) -> Vec<String> {
    let problems = load_all(env, &[], Files::default()).unwrap_err();
    problems.0.iter().map(ToString::to_string).collect()
}

/// The files of an application at /app with the text of its `.env`.
pub(super) fn app_files(dotenv: &str) -> Files {
    Files {
        laravel_root: Some("/app".into()),
        dotenv: Some(file("/app/.env", dotenv)),
        ..Files::default()
    }
}

pub(super) fn file(path: &str, text: &str) -> TextFile {
    TextFile {
        path: path.into(),
        text: text.to_owned(),
    }
}

/// The names of the variables that a start warns about.
pub(super) fn warned(loaded: &Loaded) -> Vec<&str> {
    loaded
        .warnings
        .iter()
        .map(|warning| warning.name.as_str())
        .collect()
}

/// The default connection of an installation without an application.
pub(super) fn database(env: &[(&str, &str)]) -> Database {
    load(&[&[("QUEUE_CONNECTION", "database")], env].concat())
        .config
        .databases
        .default()
        .unwrap()
        .clone()
}

/// A MySQL connection without a socket and with the default encryption.
pub(super) fn mysql(
    host: &str,
    port: u16,
    database: &str,
    username: &str,
    password: Option<&str>,
) -> Database {
    Database::Mysql {
        flavour: Flavour::Mysql,
        host: host.to_owned(),
        port,
        socket: None,
        database: database.to_owned(),
        username: username.to_owned(),
        password: password.map(Secret::new),
        tls: MysqlTls::Preferred,
    }
}

/// What the settings of these variables and files look like.
pub(super) fn clues(env: &[(&str, &str)], files: Files) -> Clues {
    let inputs = Inputs {
        env: &map(env),
        working_dir: PathBuf::from("/home/user"),
        files,
        flags: map(&[]),
    };
    let (loaded, _) = Config::examine(&inputs);
    Clues::read(&inputs, &loaded)
}
