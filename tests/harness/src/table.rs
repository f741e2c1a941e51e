//! What fault tests wrote down, as a table for people.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

/// The columns: what a line calls them, and what a reader sees.
const COLUMNS: [(&str, &str); 10] = [
    ("fault", "fault"),
    ("what", "test"),
    ("store", "store"),
    ("injected", "injected"),
    ("jobs", "jobs"),
    ("done", "done"),
    ("failed", "failed as told"),
    ("ran_again", "ran again"),
    ("lost", "lost"),
    ("seconds", "seconds"),
];

/// The lines of a report as a Markdown table, in the order of the faults' numbers.
///
/// # Panics
///
/// When there is no such report, or a line is none.
pub fn of(report: &Path) -> String {
    let lines = std::fs::read_to_string(report).expect("the report can be read");
    let mut rows = BTreeMap::new();
    for (place, line) in lines.lines().enumerate() {
        let line: Value = serde_json::from_str(line).expect("a line of the report is JSON");
        let text = |name: &str| match &line[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let fault = text("fault");
        // `F1`, or `F1 PHP` where the same is done in another surrounding.
        let number = fault
            .trim_start_matches('F')
            .split(' ')
            .next()
            .unwrap_or_default();
        let number: u32 = number.parse().unwrap_or(u32::MAX);
        let cells: Vec<_> = COLUMNS.iter().map(|(name, _)| text(name)).collect();
        rows.insert((number, fault, text("store"), place), cells);
    }
    let titles: Vec<_> = COLUMNS.iter().map(|(_, title)| *title).collect();
    let mut table = format!("| {} |\n|{}\n", titles.join(" | "), "---|".repeat(COLUMNS.len()));
    for cells in rows.values() {
        writeln!(table, "| {} |", cells.join(" | ")).expect("a string takes any text");
    }
    table
}
