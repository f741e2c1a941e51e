//! What commands print: tables for people, JSON for machines, errors on standard error.

use std::io::{IsTerminal, Write};

use comfy_table::presets::{NOTHING, UTF8_BORDERS_ONLY};
use comfy_table::{ContentArrangement, Table};

/// Prints a line of a command's result.
pub fn say(line: impl AsRef<str>) {
    print(&mut std::io::stdout().lock(), line.as_ref());
}

/// Writes a line; a reader that has gone away (`| head`) is no reason to fail.
fn print(out: &mut dyn Write, line: &str) {
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::debug!("Nobody reads the output: {error}");
    }
}

/// Prints a value as JSON.
///
/// # Errors
/// When the value has no JSON form.
pub fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints rows below a heading: with borders on a terminal, bare columns elsewhere.
pub fn table<R, C>(heading: &[&str], rows: R)
where
    R: IntoIterator<Item = Vec<C>>,
    C: ToString,
{
    let mut table = Table::new();
    let terminal = std::io::stdout().is_terminal();
    table.load_style(if terminal { UTF8_BORDERS_ONLY } else { NOTHING });
    table.set_content_arrangement(if terminal {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
    });
    table.set_header(heading.to_vec());
    for row in rows {
        table.add_row(row);
    }
    say(table.to_string());
}

/// Prints a remark that is no part of the result.
pub fn remark(line: impl AsRef<str>) {
    print(&mut std::io::stderr().lock(), line.as_ref());
}

/// Prints an error with its causes.
pub fn complain(error: &anyhow::Error) {
    remark(format!("worker: {error:#}"));
}
