//! `worker monitor`: how many jobs queues hold, and which hold too many.

use serde_json::{Value, json};

use super::session::{Session, block_on};
use super::{Common, output};
use crate::app::open_queue;
use crate::clock::{Clock, SystemClock};
use crate::exit::Exit;
use crate::store::port::{Depth, QueueName};

/// Arguments of `worker monitor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  worker monitor default,einvoice                  of the connection of QUEUE_CONNECTION
  worker monitor redis:high,database:default --max=100
  worker monitor default --json | jq -r '.[].status'
  worker monitor default --max=500 --fail || page-someone

A queue's size is what waits, what is delayed and what runs; ALERT says that it is --max or more, ERROR that \
its connection cannot be asked. The exit code is 0 all the same, as artisan's, unless --fail is given. \
Nobody is notified: the event QueueBusy exists in PHP only.")]
pub(super) struct Args {
    /// The queues, as QUEUE or CONNECTION:QUEUE, separated by commas.
    #[arg(value_name = "QUEUES", value_delimiter = ',', required = true)]
    queues: Vec<String>,
    /// The size from which on a queue holds too many.
    #[arg(long, default_value_t = 1000)]
    max: u64,
    /// Exit code 1 when a queue holds too many or cannot be asked.
    #[arg(long)]
    fail: bool,
    /// Print JSON, with the members of queue:monitor --json.
    #[arg(long)]
    json: bool,
}

/// One queue, and what its connection said.
struct Row {
    connection: String,
    queue: QueueName,
    depth: Result<Depth, String>,
}

/// Prints the size of each queue.
///
/// # Errors
/// Exit 78 when the settings cannot be read. A connection that cannot be asked is a row.
pub(super) fn run(common: &Common, args: &Args) -> anyhow::Result<Exit> {
    let session = Session::start(common)?;
    let rows = block_on(async { Ok(args.look(&session).await) })?;
    if args.json {
        let rows: Vec<Value> = rows.iter().map(|row| row.as_json(args.max)).collect();
        output::json(&rows)?;
    } else {
        let heading = [
            "connection",
            "queue",
            "size",
            "pending",
            "delayed",
            "reserved",
            "oldest",
            "status",
        ];
        output::table(&heading, rows.iter().map(|row| row.as_text(args.max)));
        for row in &rows {
            if let Err(error) = &row.depth {
                output::remark(format!("{}:{}: {error}", row.connection, row.queue));
            }
        }
    }
    let fine = rows.iter().all(|row| row.status(args.max) == "OK");
    Ok(if args.fail && !fine {
        Exit::Error
    } else {
        Exit::Done
    })
}

impl Args {
    /// The queues in the order asked for; those of one connection in one call.
    async fn look(&self, session: &Session) -> Vec<Row> {
        let own = &session.loaded.config.queue.name;
        let named: Vec<(&str, QueueName)> = self
            .queues
            .iter()
            .map(|text| {
                let (connection, queue) = text.split_once(':').unwrap_or((own, text));
                (connection, QueueName::new(queue))
            })
            .collect();
        let mut rows: Vec<Option<Row>> = named.iter().map(|_| None).collect();
        for place in 0..named.len() {
            if rows[place].is_some() {
                continue;
            }
            let connection = named[place].0;
            let places: Vec<usize> = (place..named.len())
                .filter(|other| named[*other].0 == connection)
                .collect();
            let queues: Vec<QueueName> = places.iter().map(|place| named[*place].1.clone()).collect();
            let depths = depths(session, connection, &queues).await;
            for (nth, place) in places.into_iter().enumerate() {
                rows[place] = Some(Row {
                    connection: connection.to_owned(),
                    queue: named[place].1.clone(),
                    depth: depths
                        .as_ref()
                        .map(|depths| depths[nth].clone())
                        .map_err(one_line),
                });
            }
        }
        rows.into_iter().flatten().collect()
    }
}

async fn depths(session: &Session, connection: &str, queues: &[QueueName]) -> anyhow::Result<Vec<Depth>> {
    let connection = session.connection(Some(connection))?;
    let queue = open_queue(&session.loaded.config, &connection).await?;
    let depths = queue
        .depth(queues)
        .await
        .map_err(|error| crate::app::unreachable(&error))?;
    anyhow::ensure!(depths.len() == queues.len(), "the store told of other queues");
    Ok(depths)
}

/// What is wrong with a connection, in one line.
fn one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// All jobs of a queue, as Laravel counts them.
fn size(depth: &Depth) -> u64 {
    depth.pending + depth.delayed + depth.reserved
}

impl Row {
    fn status(&self, max: u64) -> &'static str {
        match &self.depth {
            Ok(depth) if size(depth) >= max => "ALERT",
            Ok(_) => "OK",
            Err(_) => "ERROR",
        }
    }

    fn as_text(&self, max: u64) -> Vec<String> {
        let number = |of: fn(&Depth) -> u64| match &self.depth {
            Ok(depth) => of(depth).to_string(),
            Err(_) => "-".to_owned(),
        };
        let oldest = self.depth.as_ref().ok().and_then(|depth| depth.oldest_s);
        vec![
            self.connection.clone(),
            self.queue.to_string(),
            number(size),
            number(|depth| depth.pending),
            number(|depth| depth.delayed),
            number(|depth| depth.reserved),
            oldest.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s")),
            self.status(max).to_owned(),
        ]
    }

    fn as_json(&self, max: u64) -> Value {
        let depth = self.depth.as_ref().ok();
        let oldest_s = depth.and_then(|depth| depth.oldest_s);
        let oldest = oldest_s.map(|age| SystemClock.unix_s() - i64::try_from(age).unwrap_or(i64::MAX));
        json!({
            "connection": self.connection,
            "queue": self.queue.as_str(),
            "size": depth.map(size),
            "pending": depth.map(|depth| depth.pending),
            "delayed": depth.map(|depth| depth.delayed),
            "reserved": depth.map(|depth| depth.reserved),
            "oldest_pending": oldest,
            "oldest_s": oldest_s,
            "status": self.status(max),
            "error": self.depth.as_ref().err(),
        })
    }
}
