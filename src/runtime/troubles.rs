//! What is wrong now, by subject: readiness tells it, the log tells when it begins and when it is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{error, warn};

use crate::store::{Error, Kind};

/// What is wrong now.
#[derive(Debug, Default)]
pub struct Troubles(Mutex<BTreeMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    what: String,
    since: Instant,
    who: BTreeSet<String>,
    /// Whether it was told that nothing but a person can mend it.
    refused: bool,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What it is about, such as `store`.
    pub subject: String,
    /// What is wrong with it.
    pub what: String,
    /// When that began.
    pub since: Instant,
}

impl Troubles {
    /// Something is wrong. Returns whether this is news.
    pub fn set(&self, subject: &str, what: impl Into<String>) -> bool {
        self.join(subject, "", what.into(), false)
    }

    /// As [`Troubles::set`], but another text counts as news too.
    pub fn note(&self, subject: &str, what: &str) -> bool {
        let same = self.lock().get(subject).is_some_and(|entry| entry.what == what);
        self.join(subject, "", what.to_owned(), false);
        !same
    }

    /// It is right again. Returns whether this is news.
    pub fn clear(&self, subject: &str) -> bool {
        self.leave(subject, "").is_some()
    }

    /// All that is wrong, by subject.
    #[must_use]
    pub fn list(&self) -> Vec<Trouble> {
        let trouble = |(subject, entry): (&String, &Entry)| Trouble {
            subject: subject.clone(),
            what: entry.what.clone(),
            since: entry.since,
        };
        self.lock().iter().map(trouble).collect()
    }

    /// Something is wrong for one of several who see the same. Returns whether that is news: it was right for
    /// all, or it is `refused` now, which a person must know who so far read of a connection that broke.
    fn join(&self, subject: &str, who: &str, what: String, refused: bool) -> bool {
        let mut troubles = self.lock();
        let first = !troubles.contains_key(subject);
        let entry = troubles.entry(subject.to_owned()).or_insert_with(|| Entry {
            what: String::new(),
            since: Instant::now(),
            who: BTreeSet::new(),
            refused: false,
        });
        entry.what = what;
        entry.who.insert(who.to_owned());
        let news = first || refused && !entry.refused;
        entry.refused |= refused;
        news
    }

    /// It is right again for one of them. Returns how long it was wrong, when that was the last.
    fn leave(&self, subject: &str, who: &str) -> Option<Duration> {
        let mut troubles = self.lock();
        let entry = troubles.get_mut(subject)?;
        entry.who.remove(who);
        if !entry.who.is_empty() {
            return None;
        }
        troubles.remove(subject).map(|entry| entry.since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store as those see it who use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Where jobs are.
    Store,
    /// Where failures are recorded.
    FailedJobs,
}

impl Subject {
    /// The word of readiness.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::FailedJobs => "failed jobs",
        }
    }

    /// What a line of the log begins with.
    fn name(self) -> &'static str {
        match self {
            Self::Store => "The store",
            Self::FailedJobs => "The store of failed jobs",
        }
    }
}

/// One of those who use a store, and how that goes. However many meet the same fault, the log has one line
/// when the first meets it, one when it turns out to be a refusal, and one when all are well again.
#[derive(Debug)]
pub struct Witness {
    troubles: Arc<Troubles>,
    subject: Subject,
    doing: String,
    ill: AtomicBool,
}

impl Witness {
    /// One who uses the store in order to do something, such as `take jobs on lane default`.
    #[must_use]
    pub fn new(troubles: &Arc<Troubles>, subject: Subject, doing: impl Into<String>) -> Self {
        Self {
            troubles: Arc::clone(troubles),
            subject,
            doing: doing.into(),
            ill: AtomicBool::new(false),
        }
    }

    /// It did not work.
    pub fn failed(&self, error: &Error) {
        self.ill.store(true, Ordering::Relaxed);
        let refused = error.kind() == Kind::Refused;
        let news = self
            .troubles
            .join(self.subject.as_str(), &self.doing, error.to_string(), refused);
        if news {
            let hint = match (self.subject, error.kind()) {
                (Subject::FailedJobs, Kind::Refused) => "the jobs stay reserved until this is mended",
                _ => "trying again until it works",
            };
            error!("Failed to {}, {hint}: {error}", self.doing);
        }
    }

    /// Whether it did not work the last time.
    #[must_use]
    pub fn is_ill(&self) -> bool {
        self.ill.load(Ordering::Relaxed)
    }

    /// It worked.
    pub fn works(&self) {
        if !self.ill.swap(false, Ordering::Relaxed) {
            return;
        }
        if let Some(lasted) = self.troubles.leave(self.subject.as_str(), &self.doing) {
            warn!("{} works again after {} s", self.subject.name(), lasted.as_secs());
        }
    }
}

impl Drop for Witness {
    /// One who uses the store no more has nothing to say of it.
    fn drop(&mut self) {
        if self.is_ill() {
            self.troubles.leave(self.subject.as_str(), &self.doing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(troubles: &Troubles) -> Vec<(String, String)> {
        let all = troubles.list().into_iter();
        all.map(|trouble| (trouble.subject, trouble.what)).collect()
    }

    #[test]
    fn troubles_are_news_once() {
        let troubles = Troubles::default();
        assert!(troubles.set("store", "it does not answer"));
        assert!(!troubles.set("store", "it still does not"));
        assert_eq!(
            texts(&troubles),
            [("store".to_owned(), "it still does not".to_owned())]
        );
        assert!(troubles.clear("store"));
        assert!(!troubles.clear("store"));
        assert!(troubles.note("queues", "a"));
        assert!(!troubles.note("queues", "a"));
        assert!(troubles.note("queues", "b"));
    }

    #[test]
    fn a_refusal_is_news_once_whatever_was_told_before() {
        let troubles = Troubles::default();
        let join = |refused| troubles.join("store", "one", "away".to_owned(), refused);
        assert_eq!(
            [false, false, true, true, false, true].map(join),
            [true, false, true, false, false, false]
        );
        assert!(troubles.leave("store", "one").is_some());
        assert!(join(true), "it is another fault");
    }

    #[test]
    fn a_trouble_lasts_until_all_are_well() {
        let troubles = Arc::new(Troubles::default());
        let error = Error::new(Kind::Transient, "reserve", "it is away");
        let witness = |doing: &str| Witness::new(&troubles, Subject::Store, doing);
        let (one, other, third) = (witness("one"), witness("other"), witness("third"));
        one.failed(&error);
        let since = troubles.list().first().map(|trouble| trouble.since);
        other.failed(&error);
        third.failed(&error);
        one.works();
        one.works();
        assert_eq!(troubles.list().first().map(|trouble| trouble.since), since);
        other.works();
        assert_eq!(
            texts(&troubles),
            [("store".to_owned(), "reserve: it is away".to_owned())]
        );
        drop(third);
        assert!(texts(&troubles).is_empty());
    }
}
