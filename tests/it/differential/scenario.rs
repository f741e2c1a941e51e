//! One scenario: what is dispatched, how the workers are started, and what is known of its end.

/// The flags that both workers are started with. Scenarios with equal ones share a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Flags {
    /// One try, no backoff.
    Plain,
    /// What a payload does not say is said by the flags.
    Policy,
    /// As `Plain`, for attempts that end their worker, which takes time.
    Ends,
}

impl Flags {
    /// Each of them.
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Policy, Self::Ends];

    /// As they stand on the command line of either worker.
    pub(crate) fn args(self) -> &'static [&'static str] {
        match self {
            Self::Plain | Self::Ends => &["--tries=1"],
            Self::Policy => &["--tries=3", "--backoff=60,300", "--timeout=2"],
        }
    }
}

/// Where the queues are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    /// In Redis.
    Redis,
    /// In a table.
    Sql,
}

/// A difference that is there on purpose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Difference {
    /// Where it shows.
    pub(crate) stores: &'static [Store],
    /// How the lines begin that may differ.
    pub(crate) lines: &'static [&'static str],
    /// What the outcome is here instead, round by round; empty when the outcomes agree.
    pub(crate) ours: &'static [&'static str],
    /// The words of docs/compatibility.md that say so.
    pub(crate) because: &'static str,
}

/// Wherever the queues are.
const EVERYWHERE: &[Store] = &[Store::Redis, Store::Sql];

impl Difference {
    /// In lines that begin so, for what the document says in these words.
    pub(crate) const fn of(lines: &'static [&'static str], because: &'static str) -> Self {
        Self {
            stores: EVERYWHERE,
            lines,
            ours: &[],
            because,
        }
    }

    /// The same in one store alone.
    pub(crate) const fn only(mut self, stores: &'static [Store]) -> Self {
        self.stores = stores;
        self
    }

    /// The same where the outcomes differ as well.
    pub(crate) const fn leaving(mut self, ours: &'static [&'static str]) -> Self {
        self.ours = ours;
        self
    }
}

/// A method of the classes below `App\Scenarios\Catalog`, and a queue of the same name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    /// Its name, in snake case.
    pub(crate) name: &'static str,
    /// How its workers are started.
    pub(crate) flags: Flags,
    /// What may differ.
    pub(crate) difference: Option<Difference>,
    outcomes: &'static [&'static str],
    in_sql: Option<&'static [&'static str]>,
}

impl Scenario {
    /// The queues it uses: its own, and one that nobody consumes.
    pub(crate) fn queues(&self) -> [String; 2] {
        [self.name.to_owned(), format!("{}.other", self.name)]
    }

    /// How many rounds it runs. Between two rounds everything becomes due.
    pub(crate) fn rounds(&self) -> usize {
        self.outcomes.len()
    }

    /// What the framework's own worker leaves after each round.
    pub(crate) fn theirs(&self, store: Store) -> &'static [&'static str] {
        match self.in_sql {
            Some(outcomes) if store == Store::Sql => outcomes,
            _ => self.outcomes,
        }
    }

    /// What this worker should leave after each round.
    pub(crate) fn ours(&self, store: Store) -> &'static [&'static str] {
        match self.difference_in(store) {
            Some(difference) if !difference.ours.is_empty() => difference.ours,
            _ => self.theirs(store),
        }
    }

    /// What may differ in this store.
    pub(crate) fn difference_in(&self, store: Store) -> Option<Difference> {
        self.difference
            .filter(|difference| difference.stores.contains(&store))
    }

    /// The same with other flags.
    pub(crate) const fn with(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// The same with a difference.
    pub(crate) const fn but(mut self, difference: Difference) -> Self {
        self.difference = Some(difference);
        self
    }

    /// The same with other outcomes where the queue is a table.
    pub(crate) const fn in_sql(mut self, outcomes: &'static [&'static str]) -> Self {
        self.in_sql = Some(outcomes);
        self
    }
}

/// A scenario with plain flags and no difference.
pub(crate) const fn scenario(name: &'static str, outcomes: &'static [&'static str]) -> Scenario {
    Scenario {
        name,
        flags: Flags::Plain,
        difference: None,
        outcomes,
        in_sql: None,
    }
}
