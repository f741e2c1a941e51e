//! What the settings look like, beside what they mean: the facts behind `worker doctor`.
//!
//! Nothing here is judged. Values are masked as `worker config` masks them.

mod cached;
mod php_array;
mod urls;

use std::path::{Path, PathBuf};

pub use cached::{Cached, Difference};
pub use urls::{Server, UrlClue, UrlTrap};

use super::dotenv::Value;
use super::reader::Reader;
use super::secret::MASK;
use super::vars::{Shown, VARIABLES, Variable};
use super::{Inputs, Loaded, url};

/// What the settings look like.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Clues {
    /// The URLs that are set, in the order in which they win.
    pub urls: Vec<UrlClue>,
    /// Variables that the environment and `.env` set to different values.
    pub differing: Vec<Differing>,
    /// The `.env` that is there and not read, because `.env.{APP_ENV}` replaces it.
    pub replaced: Option<PathBuf>,
    /// The file that was read in its place, or `.env` itself.
    pub dotenv: Option<PathBuf>,
    /// The application's cached configuration, which Laravel reads in the place of all else.
    pub cached: Option<Cached>,
}

/// One variable with two values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differing {
    /// The variable.
    pub name: &'static str,
    /// What the environment says, masked; it is in force here.
    pub environment: String,
    /// What `.env` says, masked.
    pub dotenv: String,
    /// Where in `.env`, such as `.env, line 3`.
    pub place: String,
}

/// Beginnings of the names whose values web and workers must agree on.
const SHARED: &[&str] = &[
    "QUEUE_",
    "REDIS_",
    "DB_",
    "CACHE_",
    "MYSQL",
    "DATABASE_URL",
    "FEATURE_REDIS_QUEUES",
    "APP_NAME",
    "APP_KEY",
    "APP_PREVIOUS_KEYS",
];

impl Clues {
    /// Looks at the variables, the files, and the application's cached configuration on the disk.
    #[must_use]
    pub fn read(inputs: &Inputs<'_>, loaded: &Loaded) -> Self {
        let files = &inputs.files;
        let mut reader = Reader::new(inputs.env, &inputs.flags);
        if let Some(file) = &files.dotenv {
            reader.add_dotenv(file);
        }
        let dotenv = files.dotenv.as_ref().map(|file| file.path.clone());
        Self {
            urls: urls::read(&mut reader),
            differing: differing(&reader),
            replaced: dotenv.as_deref().and_then(replaced),
            cached: cached::read(
                files.laravel_root.as_deref(),
                dotenv.as_deref(),
                &mut reader,
                loaded,
            ),
            dotenv,
        }
    }
}

/// The plain `.env` beside another file that was read.
fn replaced(read: &Path) -> Option<PathBuf> {
    let plain = read.with_file_name(".env");
    (plain != read && plain.exists()).then_some(plain)
}

fn differing(reader: &Reader<'_>) -> Vec<Differing> {
    let shared = |var: &&&Variable| SHARED.iter().any(|start| var.name.starts_with(start));
    VARIABLES
        .iter()
        .filter(shared)
        .filter_map(|var| {
            let (outer, inner, origin) = reader.both(var)?;
            let different = Value::from_env(&outer) != Value::from_env(&inner);
            different.then(|| Differing {
                name: var.name,
                environment: masked(var, &outer),
                dotenv: masked(var, &inner),
                place: origin.to_string(),
            })
        })
        .collect()
}

/// The value as it may be shown.
fn masked(var: &Variable, text: &str) -> String {
    match var.shown {
        _ if text.is_empty() => "nothing".to_owned(),
        Shown::Plain => text.to_owned(),
        Shown::Secret => MASK.to_owned(),
        Shown::Url => url::masked(text),
    }
}
