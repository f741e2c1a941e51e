//! Two sides of one scenario beside each other.

use super::scenario::{Scenario, Store};
use super::snapshot::Snapshot;

/// Why the sides are not as they should be, ready to be read; nothing when they are.
pub(crate) fn complaints(
    scenario: &Scenario,
    store: Store,
    theirs: &[Snapshot],
    ours: &[Snapshot],
) -> Vec<String> {
    let mut found = Vec::new();
    let mut differs = false;
    for (round, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
        let name = format!("{}, round {}", scenario.name, round + 1);
        let sides = [
            ("artisan", scenario.theirs(store)[round], theirs),
            ("worker", scenario.ours(store)[round], ours),
        ];
        for (who, known, left) in sides {
            if left.outcome != known {
                found.push(format!(
                    "{name}: {who} left {:?} instead of {known:?}",
                    left.outcome
                ));
            }
        }
        let difference = difference(&theirs.lines, &ours.lines);
        differs |= !difference.is_empty();
        let unexpected: Vec<_> = difference
            .into_iter()
            .filter(|line| !is_allowed(scenario, store, line))
            .collect();
        if !unexpected.is_empty() {
            found.push(format!(
                "{name}: - artisan, + worker\n  {}",
                unexpected.join("\n  ")
            ));
        }
    }
    if scenario.difference_in(store).is_some() && !differs {
        found.push(format!("{}: the difference on purpose is gone", scenario.name));
    }
    found
}

fn is_allowed(scenario: &Scenario, store: Store, line: &str) -> bool {
    let difference = scenario.difference_in(store);
    let lines = difference.map_or(&[][..], |difference| difference.lines);
    let line = line.trim_start_matches(['-', '+', ' ']);
    lines.iter().any(|start| line.starts_with(start))
}

/// The lines that only one of two texts has, in order, with `- ` and `+ ` before them.
pub(crate) fn difference(theirs: &[String], ours: &[String]) -> Vec<String> {
    // The longest common subsequence of each pair of ends.
    let mut longest = vec![vec![0; ours.len() + 1]; theirs.len() + 1];
    for (i, their) in theirs.iter().enumerate().rev() {
        for (j, our) in ours.iter().enumerate().rev() {
            longest[i][j] = if their == our {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut found = Vec::new();
    while i < theirs.len() || j < ours.len() {
        if i < theirs.len() && j < ours.len() && theirs[i] == ours[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == ours.len() || i < theirs.len() && longest[i + 1][j] >= longest[i][j + 1] {
            found.push(format!("- {}", theirs[i]));
            i += 1;
        } else {
            found.push(format!("+ {}", ours[j]));
            j += 1;
        }
    }
    found
}
