//! Every effective value and where it came from, for `worker config`.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line, by its name without dashes.
    Flag(&'static str),
    /// The environment of the process.
    Environment,
    /// The `.env` file of this name, at this line.
    DotEnv(String, usize),
    /// `worker.toml`, at this line.
    Toml(usize),
    /// Part of the value of another variable, such as the host in a URL.
    Within(&'static str),
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag --{flag}"),
            Self::Environment => f.write_str("environment"),
            Self::DotEnv(file, line) => write!(f, "{file}, line {line}"),
            Self::Toml(line) => write!(f, "worker.toml, line {line}"),
            Self::Within(variable) => write!(f, "from {variable}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One setting as it took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The variable, or the key of `worker.toml` such as `queues.migration.timeout`.
    pub name: String,
    /// Its value in words, secrets masked; empty when there is none.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Every setting as it took effect, in the order of the table of variables, then queue by queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The files that were read: `.env` or its replacement, and `worker.toml`.
    pub files: Vec<PathBuf>,
    /// The settings.
    pub settings: Vec<Effective>,
}

impl Sources {
    /// The setting `name`: a variable, or a key such as `queues.migration.timeout`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Effective> {
        self.settings.iter().find(|setting| setting.name == name)
    }
}

impl fmt::Display for Sources {
    /// One line per setting: name, value, and the origin in brackets, in columns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            writeln!(f, "# read {}", file.display())?;
        }
        let width = |text: fn(&Effective) -> &str, most: usize| {
            let widths = self.settings.iter().map(|setting| text(setting).chars().count());
            widths.max().unwrap_or(0).min(most)
        };
        let (names, values) = (width(|s| &s.name, 40), width(|s| &s.value, 50));
        for setting in &self.settings {
            let value = if setting.value.is_empty() {
                "-"
            } else {
                &setting.value
            };
            writeln!(
                f,
                "{:names$}  {value:values$}  ({})",
                setting.name, setting.origin
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_up_and_says_where_from() {
        let setting = |name: &str, value: &str, origin| Effective {
            name: name.into(),
            value: value.into(),
            origin,
        };
        let sources = Sources {
            files: vec![PathBuf::from("/app/.env")],
            settings: vec![
                setting("WORKER_DRAIN", "60 s", Origin::Flag("drain")),
                setting("DB_HOST", "", Origin::Default),
                setting("DB_PORT", "3306", Origin::DotEnv(".env".into(), 3)),
            ],
        };
        let text = "# read /app/.env\nWORKER_DRAIN  60 s  (flag --drain)\nDB_HOST       -     (default)\n\
                    DB_PORT       3306  (.env, line 3)\n";
        assert_eq!(sources.to_string(), text);
        assert_eq!(
            sources.get("DB_HOST").map(|found| &found.origin),
            Some(&Origin::Default)
        );
        assert_eq!(Origin::Within("REDIS_URL").to_string(), "from REDIS_URL");
    }
}
