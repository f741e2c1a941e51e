//! How the process writes its log: for people on a terminal, JSON lines elsewhere; and never a flood.

mod flood;

use std::io::IsTerminal;
use std::sync::LazyLock;
use std::time::Instant;

use tracing::warn;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use flood::Flood;

/// What keeps faults from flooding the log of this process.
static FLOOD: LazyLock<Flood> = LazyLock::new(Flood::default);

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// People when standard error is a terminal, else machines.
    Auto,
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Starts the log on standard error. `filter` is a list of directives as `RUST_LOG` takes them; one that
/// cannot be read counts as `info`. A second start changes nothing.
pub fn start(filter: &str, format: Format) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let human = match format {
        Format::Auto => terminal,
        Format::Human => true,
        Format::Json => false,
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_timer(SystemTime);
    let log = tracing_subscriber::registry().with(filter).with(&*FLOOD);
    let started = if human {
        log.with(lines.with_ansi(terminal).with_target(false)).try_init()
    } else {
        let lines = lines.json().flatten_event(true);
        log.with(lines.with_current_span(true).with_span_list(false))
            .try_init()
    };
    if started.is_err() {
        tracing::debug!("The log was started before");
    }
}

/// Says how many lines were left out for being too many, when some were; to be called every few seconds.
pub fn tell_left_out() {
    tell(FLOOD.left_out(Instant::now()));
}

/// Says all that was left out and not told yet; to be called at the end.
pub fn tell_rest() {
    tell(FLOOD.rest());
}

fn tell(left_out: Vec<(u64, String)>) {
    for (count, line) in left_out {
        warn!(
            left_out = count,
            "{count} more lines like this one were left out: {line}"
        );
    }
}
