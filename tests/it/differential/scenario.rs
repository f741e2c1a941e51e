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

/// A method of the classes below `App\Scenarios\Catalog`, and a queue of the same name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    /// Its name, in snake case.
    pub(crate) name: &'static str,
    /// How its workers are started.
    pub(crate) flags: Flags,
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

    /// The same with other flags.
    pub(crate) const fn with(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// The same with other outcomes where the queue is a table.
    pub(crate) const fn in_sql(mut self, outcomes: &'static [&'static str]) -> Self {
        self.in_sql = Some(outcomes);
        self
    }
}

/// A scenario with plain flags.
pub(crate) const fn scenario(name: &'static str, outcomes: &'static [&'static str]) -> Scenario {
    Scenario {
        name,
        flags: Flags::Plain,
        outcomes,
        in_sql: None,
    }
}
