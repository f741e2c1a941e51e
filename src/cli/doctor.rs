//! `worker doctor`: what is wrong before it hurts.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use owo_colors::{AnsiColors, OwoColorize};
use serde_json::{Value, json};

use super::session::{self, block_on};
use super::{Common, output};
use crate::app::doctor::{Examination, Report, examine};
use crate::app::lanes::LaneFlags;
use crate::config::{Clues, Config, ProcessEnv};
use crate::doctor::{Finding, Php, Severity, Store};
use crate::exit::Exit;
use crate::telemetry::{self, Format};

/// Arguments of `worker doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  worker doctor                           the connection of QUEUE_CONNECTION and everything around it
  worker doctor redis                     as if redis were the connection that is served
  worker doctor --queue default,high      judge these lanes, as worker run --queue would have them
  worker doctor --native-only             leave PHP out, as worker run --native-only does
  worker doctor --json | jq '.findings[] | select(.severity == \"error\")'

Looks at settings, .env and the cached configuration of the application; asks every configured store, each question
for 4 seconds at most, what it is, how far away it is, what it holds and what it may not do; looks at up to 100 payloads
per queue. Where there is an application, PHP boots it and loads its job classes, for a minute at most. Changes nothing.
Each finding says what is wrong, why that hurts, and what to type; docs/doctor.md lists them all. PHP workers cannot be
seen from here.

Exit code 1 when there are errors, 0 with warnings and notes.")]
pub(super) struct Args {
    /// The connection [default: `QUEUE_CONNECTION`].
    connection: Option<String>,
    /// Judge these lanes in place of those configured; as with `worker run`, once for each lane.
    #[arg(long, value_name = "LIST")]
    queue: Vec<String>,
    /// Jobs that have waited for longer than so many days are old.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Do not look at PHP.
    #[arg(long)]
    native_only: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Examines, prints, and says by the exit code whether there are errors.
///
/// # Errors
/// Exit 78 when CONNECTION is not one that is known.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    telemetry::start(common.filter("error"), Format::Human);
    let env = ProcessEnv::capture();
    let inputs = session::inputs(common, &env, BTreeMap::new())?;
    let (loaded, problems) = Config::examine(&inputs);
    let clues = Clues::read(&inputs, &loaded);
    let connection = match &args.connection {
        None => loaded.config.queue.clone(),
        Some(name) => loaded
            .config
            .connection(name)
            .map_err(|problem| session::invalid(&problem))?,
    };
    let lanes = LaneFlags {
        queues: args.queue.clone(),
        ..LaneFlags::default()
    };
    let examination = Examination {
        loaded: &loaded,
        problems: &problems,
        clues: &clues,
        connection: &connection,
        lanes: &lanes,
        old: Duration::from_secs(u64::from(args.days) * 86_400),
        native_only: args.native_only,
    };
    let report = block_on(async { Ok(examine(&examination).await) })?;
    let wanted = |finding: &&Finding| !common.is_quiet() || finding.severity == Severity::Error;
    let findings: Vec<_> = report.findings.iter().filter(wanted).collect();
    if args.json {
        output::json(&as_json(&connection.name, &report, &findings))?;
    } else {
        print(&connection.name, &report, &findings);
    }
    Ok(if report.has_errors() {
        Exit::Error
    } else {
        Exit::Done
    })
}

fn as_json(connection: &str, report: &Report, findings: &[&Finding]) -> Value {
    let stores: Vec<_> = report
        .stores
        .iter()
        .map(|store| {
            let server = store.server.get();
            json!({
                "name": store.name,
                "holds": holds(store),
                "product": server.map(|server| server.product.name()),
                "version": server.map(|server| &server.version),
                "round_trip_ms": server.map(|server| server.round_trip.as_secs_f64() * 1000.0),
                "clock_ahead_ms": server.and_then(|server| server.ahead_ms),
                "payloads_seen": samples(store),
            })
        })
        .collect();
    let count = |severity| {
        report
            .findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    json!({
        "connection": connection,
        "stores": stores,
        "php": report.php.as_ref().map(php_as_json),
        "findings": findings,
        "errors": count(Severity::Error),
        "warnings": count(Severity::Warning),
        "notes": count(Severity::Note),
    })
}

fn php_as_json(php: &Php) -> Value {
    let engine = php.engine.as_ref().ok();
    let booted = php.booted();
    json!({
        "binary": php.binary,
        "application": php.base,
        "version": engine.map(|engine| &engine.version),
        "sapi": engine.map(|engine| &engine.sapi),
        "extensions": engine.map(|engine| &engine.extensions),
        "framework": booted.map(|booted| &booted.framework),
        "boot_ms": booted.map(|booted| booted.ms),
        "boot_peak_mb": booted.map(|booted| booted.peak_mb),
        "classes_tried": php.classes.len(),
    })
}

/// One line on PHP and the application.
fn php_in_words(php: &Php) -> String {
    let engine = match &php.engine {
        Ok(engine) => format!("PHP {} ({})", engine.version, engine.sapi),
        Err(_) => return format!("{}: no answer", php.binary),
    };
    let application = match php.booted() {
        Some(booted) => format!(
            "Laravel {} boots in {} ms with {} MB, {} job classes tried",
            booted.framework,
            booted.ms,
            booted.peak_mb,
            php.classes.len()
        ),
        None => "does not boot".to_owned(),
    };
    format!("{engine}, the application at {}: {application}", php.base)
}

/// What a store is used for, in Laravel's words.
fn holds(store: &Store) -> Vec<&'static str> {
    let uses = [
        (store.uses.jobs, "jobs"),
        (store.uses.failures, "failed jobs"),
        (store.uses.signals, "signals"),
    ];
    uses.into_iter()
        .filter(|(used, _)| *used)
        .map(|(_, word)| word)
        .collect()
}

fn samples(store: &Store) -> usize {
    let queues = store.queues.get().map_or(&[][..], Vec::as_slice);
    queues.iter().map(|queue| queue.samples.len()).sum()
}

fn print(connection: &str, report: &Report, findings: &[&Finding]) {
    let mut out = anstream::stdout().lock();
    let written = write_report(&mut out, connection, report, findings);
    if let Err(error) = written.and_then(|()| out.flush()) {
        tracing::debug!("Nobody reads the output: {error}");
    }
}

fn write_report(
    out: &mut impl Write,
    connection: &str,
    report: &Report,
    findings: &[&Finding],
) -> std::io::Result<()> {
    writeln!(out, "Connection {}", connection.bold())?;
    for store in &report.stores {
        let about = match store.server.get() {
            Some(server) => {
                let seen = match samples(store) {
                    0 => String::new(),
                    count => format!(", {count} payloads looked at"),
                };
                let ms = server.round_trip.as_secs_f64() * 1000.0;
                format!(
                    "{} {}, {ms:.1} ms away{seen}",
                    server.product.name(),
                    server.version
                )
            }
            None => "no answer".to_owned(),
        };
        let holds = match holds(store).join(", ") {
            holds if holds.is_empty() => "nothing of the worker's".to_owned(),
            holds => holds,
        };
        writeln!(out, "  {} ({holds}): {about}", store.name)?;
    }
    if let Some(php) = &report.php {
        writeln!(out, "  {}", php_in_words(php))?;
    }
    for (severity, heading, color) in [
        (Severity::Error, "Errors", AnsiColors::Red),
        (Severity::Warning, "Warnings", AnsiColors::Yellow),
        (Severity::Note, "Notes", AnsiColors::Cyan),
    ] {
        let some: Vec<_> = findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .collect();
        if !some.is_empty() {
            writeln!(
                out,
                "\n{}",
                format!("{heading} ({})", some.len()).color(color).bold()
            )?;
        }
        for finding in some {
            write_finding(out, finding, color)?;
        }
    }
    if report.findings.is_empty() {
        writeln!(out, "\n{}", "Nothing is wrong.".green())?;
    }
    Ok(())
}

fn write_finding(out: &mut impl Write, finding: &Finding, color: AnsiColors) -> std::io::Result<()> {
    let Finding {
        code,
        subject,
        what,
        why,
        fix,
        ..
    } = finding;
    writeln!(
        out,
        "  {} {} {what}",
        format!("[{code}]").color(color),
        subject.bold()
    )?;
    writeln!(out, "      {} {why}", "why:".dimmed())?;
    writeln!(out, "      {} {fix}", "fix:".dimmed())
}
