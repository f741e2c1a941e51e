//! How the process writes its log: for people on a terminal, JSON lines elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::util::SubscriberInitExt;

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
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_timer(SystemTime);
    let human = match format {
        Format::Auto => terminal,
        Format::Human => true,
        Format::Json => false,
    };
    let started = if human {
        builder.with_ansi(terminal).with_target(false).finish().try_init()
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .finish()
            .try_init()
    };
    if started.is_err() {
        tracing::debug!("The log was started before");
    }
}
