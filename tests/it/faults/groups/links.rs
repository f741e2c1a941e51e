//! Chains, by what their links wrote down.

use std::collections::BTreeMap;

use crate::faults::Stage;
use crate::faults::fleet::Fleet;
use crate::faults::stage::Note;

/// Chains that were dispatched.
#[derive(Debug)]
pub(super) struct Chains {
    chains: usize,
    links: usize,
}

/// What the journal tells of one link.
#[derive(Debug, Default)]
struct Link {
    /// The jobs that were dispatched for it.
    uuids: Vec<String>,
    /// When its first run began, in milliseconds.
    start: Option<u64>,
    /// When its runs ended well.
    ends: Vec<u64>,
}

impl Chains {
    /// Has the application dispatch chains, with more options of `push:links`.
    pub(super) fn push(fleet: &Fleet, chains: usize, links: usize, more: &[&str]) -> Self {
        let journal = fleet.stage.journal().display().to_string();
        let (chain_count, link_count) = (format!("--chains={chains}"), format!("--links={links}"));
        let args = [&["push:links", &journal, &chain_count, &link_count], more].concat();
        fleet.laravel.php(&args);
        Self { chains, links }
    }

    /// Holds that each link has run, in order, and that no run has dispatched the next one twice. The jobs of later
    /// links become jobs of the stage. Returns how many links were dispatched again.
    #[track_caller]
    pub(super) fn check(&self, stage: &Stage) -> usize {
        let all = links(stage);
        let mut again = 0;
        for chain in 0..self.chains {
            let of = |n: usize| all.get(&(format!("chain{chain}"), n));
            for n in 0..self.links {
                let link = of(n).unwrap_or_else(|| panic!("link {n} of chain {chain} never ran"));
                let end = link.ends.first();
                let end = end.unwrap_or_else(|| panic!("link {n} of chain {chain} never ended"));
                let Some(next) = of(n + 1) else { continue };
                assert!(
                    next.start >= Some(*end),
                    "{n} of chain {chain} was overtaken: {link:?} {next:?}"
                );
                assert!(
                    next.uuids.len() <= link.ends.len(),
                    "a run of {n} of chain {chain} dispatched the next twice: {link:?} {next:?}"
                );
                again += next.uuids.len() - 1;
                stage.adopt("default", next.uuids.iter().cloned());
            }
            assert!(of(self.links).is_none());
        }
        again
    }
}

/// All links, by chain and number.
fn links(stage: &Stage) -> BTreeMap<(String, usize), Link> {
    let mut links: BTreeMap<(String, usize), Link> = BTreeMap::new();
    let mut of_job = BTreeMap::new();
    let text = std::fs::read_to_string(super::beside(stage, "links")).unwrap_or_default();
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let [uuid, chain, n] = words[..] else {
            panic!("three words: {line:?}")
        };
        let link = (chain.to_owned(), n.parse().expect("a link has a number"));
        let uuids = &mut links.entry(link.clone()).or_default().uuids;
        if !uuids.iter().any(|known| known == uuid) {
            uuids.push(uuid.to_owned());
        }
        of_job.insert(uuid.to_owned(), link);
    }
    for Note { event, uuid, at, .. } in stage.notes() {
        let Some(link) = of_job.get(&uuid).and_then(|link| links.get_mut(link)) else {
            continue;
        };
        match event.as_str() {
            "start" => link.start = link.start.or(Some(at)),
            "end" => link.ends.push(at),
            _ => {}
        }
    }
    links
}
