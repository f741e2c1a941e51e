//! Looks up variables in all their places, parses them, and remembers what was wrong and what took effect.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::dotenv::{self, Value};
use super::explain::{Effective, Origin};
use super::secret::MASK;
use super::vars::{Shown, VARIABLES, Variable};
use super::{Env, Place, Problem, Secret, SecretFile, TextFile, Warning, units, url};

/// Reads settings for one start.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    env: &'a dyn Env,
    flags: &'a BTreeMap<String, String>,
    dotenv: BTreeMap<String, (String, Origin)>,
    secrets: BTreeMap<&'static str, SecretFile>,
    shown: BTreeMap<&'static str, (String, Origin)>,
    bad: BTreeSet<&'static str>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(env: &'a dyn Env, flags: &'a BTreeMap<String, String>) -> Self {
        Self {
            env,
            flags,
            dotenv: BTreeMap::new(),
            secrets: BTreeMap::new(),
            shown: BTreeMap::new(),
            bad: BTreeSet::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Takes in the text of a `.env` file.
    pub(super) fn add_dotenv(&mut self, file: &TextFile) {
        let env = self.env;
        match dotenv::parse(&file.text, &|name| env.get(name)?.into_string().ok()) {
            Ok(entries) => {
                for entry in entries {
                    let origin = Origin::DotEnv(file.name(), entry.line);
                    match entry.value {
                        Some(value) => drop(self.dotenv.insert(entry.name, (value, origin))),
                        None => drop(self.dotenv.remove(&entry.name)),
                    }
                }
            }
            Err(error) => {
                let problem = Problem::new(file.name(), format!("cannot be read: {}", error.what), "");
                self.problems.push(problem.at(format!("line {}", error.line)));
            }
        }
    }

    /// Takes in what files of passwords hold.
    pub(super) fn add_secrets(&mut self, secrets: &BTreeMap<&'static str, SecretFile>) {
        self.secrets.clone_from(secrets);
    }

    /// Takes over the `.env` of another reader, not its problems.
    pub(super) fn adopt(&mut self, other: Self) {
        self.dotenv = other.dotenv;
    }

    /// Names that are set in the environment or in `.env`, be it to nothing.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.env.names().into_iter().chain(self.dotenv.keys().cloned())
    }

    /// Warns of variables that are empty in the environment and so hide what `.env` says, as they do in Laravel.
    pub(super) fn warn_of_hidden(&mut self) {
        for var in VARIABLES {
            let hides = self.env.get(var.name).is_some_and(|value| value.is_empty());
            if hides
                && self
                    .dotenv
                    .get(var.name)
                    .is_some_and(|(value, _)| !value.is_empty())
            {
                self.warn(
                    var,
                    "is set to nothing in the environment, which hides its value in .env",
                );
            }
        }
    }

    /// The value of a flag that has no variable.
    pub(super) fn flag(&self, flag: &str) -> Option<&'a str> {
        self.flags.get(flag).map(String::as_str)
    }

    /// The text of `var` as the environment and as `.env` say it, where both do.
    pub(super) fn both(&self, var: &'static Variable) -> Option<(String, String, Origin)> {
        let outer = self.env.get(var.name)?.into_string().ok()?;
        let (inner, origin) = self.dotenv.get(var.name)?.clone();
        Some((outer, inner, origin))
    }

    /// The text of `var` as it was written, from the first place that has it.
    pub(super) fn raw(&mut self, var: &'static Variable) -> Option<(String, Origin)> {
        if let Some(value) = self.flags.get(var.flag) {
            return Some((value.clone(), Origin::Flag(var.flag)));
        }
        let Some(value) = self.env.get(var.name) else {
            return self.dotenv.get(var.name).cloned();
        };
        if let Ok(value) = value.into_string() {
            return Some((value, Origin::Environment));
        }
        if self.bad.insert(var.name) {
            let problem = Problem::new(var.name, "is not Unicode text", var.form);
            self.problems.push(problem.at(Origin::Environment));
        }
        None
    }

    /// Whether `var` is set at all, be it to nothing.
    pub(super) fn is_set(&mut self, var: &'static Variable) -> bool {
        self.raw(var).is_some()
    }

    /// Whether `var` is set to `null`, in Laravel's words.
    pub(super) fn is_null(&mut self, var: &'static Variable) -> bool {
        self.raw(var)
            .is_some_and(|(raw, _)| Value::from_env(&raw) == Value::Null)
    }

    /// The text of `var` by Laravel's rules and PHP's way to make text of a truth value, even if it is nothing.
    pub(super) fn explicit(&mut self, var: &'static Variable) -> Option<String> {
        let (raw, origin) = self.raw(var)?;
        let text = match Value::from_env(&raw) {
            Value::Text(text) => text,
            Value::Bool(true) => "1".to_owned(),
            Value::Bool(false) | Value::Null => String::new(),
        };
        let shown = match var.shown {
            _ if text.is_empty() => String::new(),
            Shown::Plain => text.clone(),
            Shown::Secret => MASK.to_owned(),
            Shown::Url => url::masked(&text),
        };
        self.show(var, shown, origin);
        Some(text)
    }

    /// The text of `var`; nothing and `null` are none.
    pub(super) fn text(&mut self, var: &'static Variable) -> Option<String> {
        self.explicit(var).filter(|text| !text.is_empty())
    }

    pub(super) fn text_or(&mut self, var: &'static Variable, default: &str) -> String {
        self.text(var).unwrap_or_else(|| default.to_owned())
    }

    pub(super) fn secret(&mut self, var: &'static Variable) -> Option<Secret> {
        self.text(var).map(Secret::new)
    }

    /// The password in `var`, or in the file that `file` names.
    pub(super) fn password(&mut self, var: &'static Variable, file: &'static Variable) -> Option<Secret> {
        let password = self.secret(var);
        if self.text(file).is_none() {
            return password;
        }
        if password.is_some() {
            self.problem(
                file,
                format!("is set, and so is {}: keep one of the two", var.name),
            );
        }
        self.show(var, MASK, Origin::Within(file.name));
        self.secrets.get(file.name).map(|found| found.secret.clone())
    }

    /// Where the password in `var` is written, once all is read.
    pub(super) fn password_place(&mut self, var: &'static Variable) -> Place {
        let holder = match self.shown.get(var.name) {
            Some((_, Origin::Within(name))) => VARIABLES.iter().find(|holder| holder.name == *name),
            Some(_) | None => None,
        };
        let holder = holder.copied().unwrap_or(var);
        Place {
            variable: holder.name,
            origin: self.origin(holder),
            file: self.secrets.get(holder.name).map(|found| found.path.clone()),
        }
    }

    /// The path in `var`, relative to `base`.
    pub(super) fn path(&mut self, var: &'static Variable, base: &std::path::Path) -> Option<PathBuf> {
        self.text(var).map(|path| base.join(path))
    }

    /// What `parse` makes of `var`; a refusal is a problem of the words `what`.
    pub(super) fn parsed<T>(
        &mut self,
        var: &'static Variable,
        what: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(var)?;
        // `true` is text 1 to PHP, but surely not meant as the number.
        let word = self
            .raw(var)
            .filter(|(raw, _)| matches!(Value::from_env(raw), Value::Bool(_)));
        let parsed = parse(word.map_or(text, |(raw, _)| raw).trim());
        if parsed.is_none() {
            self.problem(var, what);
        }
        parsed
    }

    /// The whole number in `var`, which must lie within `range`.
    pub(super) fn number<T>(&mut self, var: &'static Variable, range: RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd,
    {
        self.parsed(var, "is not a number in the allowed range", |text| {
            text.parse().ok().filter(|number| range.contains(number))
        })
    }

    /// The duration in `var`, which must lie within `range`; shown in seconds.
    pub(super) fn duration(
        &mut self,
        var: &'static Variable,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let what = "is not a duration in the allowed range";
        let Some(duration) = self.parsed(var, what, |text| {
            units::duration(text).filter(|d| range.contains(d))
        }) else {
            self.show(var, units::seconds(default), Origin::Default);
            return default;
        };
        self.reshow(var, units::seconds(duration));
        duration
    }

    /// The meaning of the word in `var`.
    pub(super) fn choice<T: Copy>(&mut self, var: &'static Variable, choices: &[(&str, T)]) -> Option<T> {
        self.parsed(var, "is not one of the allowed words", |text| {
            choices
                .iter()
                .find(|(word, _)| *word == text)
                .map(|(_, meaning)| *meaning)
        })
    }

    /// Whether PHP takes the value of `var` for true.
    pub(super) fn truthy(&mut self, var: &'static Variable) -> bool {
        let truth = self.text(var).is_some_and(|text| text != "0");
        if self.is_set(var) {
            self.reshow(var, truth.to_string());
        }
        truth
    }

    /// Where the value of `var` was found.
    pub(super) fn origin(&mut self, var: &'static Variable) -> Origin {
        self.raw(var).map_or(Origin::Default, |(_, origin)| origin)
    }

    /// Where the value of `var` stands, empty if nowhere.
    fn place(&mut self, var: &'static Variable) -> String {
        self.raw(var)
            .map(|(_, origin)| origin.to_string())
            .unwrap_or_default()
    }

    /// `var` is wrong; its form says what is allowed. Only the first problem of a variable counts.
    pub(super) fn problem(&mut self, var: &'static Variable, what: impl Into<String>) {
        if self.bad.insert(var.name) {
            let place = self.place(var);
            self.problems
                .push(Problem::new(var.name, what, var.form).at(place));
        }
    }

    /// `var` is legal, but surprises.
    pub(super) fn warn(&mut self, var: &'static Variable, what: impl Into<String>) {
        let warning = Warning {
            name: var.name.to_owned(),
            what: what.into(),
        };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// What `worker config` prints for `var`.
    pub(super) fn show(&mut self, var: &'static Variable, value: impl Into<String>, origin: Origin) {
        self.shown.insert(var.name, (value.into(), origin));
    }

    /// Replaces the printed value of `var`, not its origin.
    fn reshow(&mut self, var: &'static Variable, value: String) {
        if let Some((shown, _)) = self.shown.get_mut(var.name) {
            *shown = value;
        }
    }

    /// What `worker config` prints for `var` unless somebody has set it.
    pub(super) fn show_default(&mut self, var: &'static Variable, value: impl Display) {
        if self.shown.get(var.name).is_none_or(|(shown, _)| shown.is_empty()) {
            self.show(var, value.to_string(), Origin::Default);
        }
    }

    /// Every variable of the table as it took effect.
    pub(super) fn effective(&self) -> Vec<Effective> {
        let effective = |var: &&Variable| {
            let (value, origin) = match self.shown.get(var.name) {
                Some(shown) => shown.clone(),
                None => (var.default.to_owned(), Origin::Default),
            };
            Effective {
                name: var.name.to_owned(),
                value,
                origin,
            }
        };
        VARIABLES.iter().map(effective).collect()
    }
}
