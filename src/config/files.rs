//! The files that hold settings: where they are, and their text.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::reader::Reader;
use super::{Env, Problem, Secret, vars};

/// The files of one start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// The directory that holds `artisan`.
    pub laravel_root: Option<PathBuf>,
    /// `.env.{APP_ENV}`, else `.env`.
    pub dotenv: Option<TextFile>,
    /// `WORKER_CONFIG`, else `worker.toml` of the working directory.
    pub toml: Option<TextFile>,
    /// The passwords in files, by the variables that name these.
    pub secrets: BTreeMap<&'static str, SecretFile>,
    /// Paths that were set and lead nowhere, and files that cannot be read; [`super::Config::load`] reports them.
    pub problems: Vec<Problem>,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// A file that holds a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds, without the end of the line.
    pub secret: Secret,
}

/// The most that a file of a password may hold: whatever is larger was named by mistake.
const LARGEST_SECRET: u64 = 64 * 1024;

impl Files {
    /// Looks for the files that `env` and `flags` point to.
    ///
    /// As in Laravel, `.env.{APP_ENV}` replaces `.env` when it exists; `APP_ENV` then comes from the flag `env` or
    /// from the environment.
    pub fn read(env: &dyn Env, flags: &BTreeMap<String, String>, working_dir: &Path) -> Self {
        let mut reader = Reader::new(env, flags);
        let set = reader.path(&vars::WORKER_LARAVEL_PATH, working_dir);
        let root = set.as_deref().unwrap_or(working_dir);
        let laravel_root = root.join("artisan").is_file().then(|| root.to_path_buf());
        if set.is_some() && laravel_root.is_none() {
            reader.problem(
                &vars::WORKER_LARAVEL_PATH,
                "leads to no directory that holds artisan",
            );
        }
        let specific = reader.text(&vars::APP_ENV).filter(|name| !name.contains('/'));
        let specific = specific.and_then(|name| read_text(&mut reader, root.join(format!(".env.{name}"))));
        let dotenv = specific.or_else(|| read_text(&mut reader, root.join(".env")));
        if let Some(file) = &dotenv {
            // What is wrong with its text, load says.
            let mut silent = Reader::new(env, flags);
            silent.add_dotenv(file);
            reader.adopt(silent);
        }
        let config = reader.path(&vars::WORKER_CONFIG, working_dir);
        let toml = read_text(
            &mut reader,
            config.clone().unwrap_or_else(|| working_dir.join("worker.toml")),
        );
        if config.is_some() && toml.is_none() {
            reader.problem(&vars::WORKER_CONFIG, "leads to no file that can be read");
        }
        let mut secrets = BTreeMap::new();
        for var in [&vars::REDIS_PASSWORD_FILE, &vars::DB_PASSWORD_FILE] {
            let Some(path) = reader.path(var, working_dir) else {
                continue;
            };
            match read_secret(&path) {
                Ok(secret) => drop(secrets.insert(var.name, SecretFile { path, secret })),
                Err(what) => reader.problem(var, what),
            }
        }
        Self {
            laravel_root,
            dotenv,
            toml,
            secrets,
            problems: reader.problems,
        }
    }
}

/// The password in the file at `path`, or what is wrong with it.
fn read_secret(path: &Path) -> Result<Secret, String> {
    let unreadable = |error: std::io::Error| format!("leads to no file that can be read: {error}");
    let mut text = String::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(LARGEST_SECRET + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        Err("leads to a file that holds nothing".to_owned())
    } else if secret.contains(['\n', '\0']) || text.len() as u64 > LARGEST_SECRET {
        Err("leads to a file that holds more than a password in one line".to_owned())
    } else {
        Ok(Secret::new(secret))
    }
}

/// The text of the file at `path`, `None` if there is none. Bytes that are not UTF-8 are replaced.
fn read_text(reader: &mut Reader<'_>, path: PathBuf) -> Option<TextFile> {
    match fs::read(&path) {
        Ok(bytes) => Some(TextFile {
            path,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
        Err(error) => {
            let what = format!("cannot be read: {error}");
            reader
                .problems
                .push(Problem::new(path.display().to_string(), what, ""));
            None
        }
    }
}

impl TextFile {
    /// The name of the file without its directory.
    pub(super) fn name(&self) -> String {
        self.path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_as_laravel_finds_them() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let none = BTreeMap::new();
        let read = |env: &[(&str, &str)], flags: &BTreeMap<String, String>| {
            let env: BTreeMap<_, _> = env
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect();
            Files::read(&env, flags, dir.path())
        };
        let problems = |files: Files| {
            files
                .problems
                .iter()
                .map(Problem::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(read(&[], &none), Files::default());
        write(".env", "WORKER_CONFIG=limits.toml\n");
        write(".env.testing", "");
        assert!(problems(read(&[], &none)).contains("WORKER_CONFIG (.env, line 1) leads to no file"));
        write("limits.toml", "# limits");
        write("artisan", "");
        let files = read(&[], &none);
        assert_eq!(files.laravel_root.as_deref(), Some(dir.path()));
        assert_eq!(files.toml.unwrap().text, "# limits");
        let specific = dir.path().join(".env.testing");
        assert_eq!(
            read(&[("APP_ENV", "testing")], &none).dotenv.unwrap().path,
            specific
        );
        let flag = BTreeMap::from([("env".to_owned(), "testing".to_owned())]);
        assert_eq!(
            read(&[("APP_ENV", "other")], &flag).dotenv.unwrap().path,
            specific
        );
        let wrong = problems(read(&[("WORKER_LARAVEL_PATH", "nowhere")], &none));
        assert!(wrong.contains("WORKER_LARAVEL_PATH (environment) leads to no directory"));
    }
}
