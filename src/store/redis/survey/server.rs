//! What the server says of itself.

use std::time::{Duration, Instant};

use redis::Value;

use super::super::failure::Failure;
use super::Asker;
use crate::clock::{Clock, SystemClock};
use crate::store::port::survey::{Product, RedisState, Server};

/// Questions whose median tells the round trip.
const PINGS: usize = 7;

pub(super) async fn look(asker: &mut Asker) -> Result<Server, Failure> {
    let round_trip = round_trip(asker).await?;
    let before = SystemClock.now();
    let there: Option<(i64, i64)> = asker.if_allowed(&redis::cmd("TIME")).await?;
    let here = i64::try_from((before + SystemClock.now()).as_millis() / 2).unwrap_or(i64::MAX);
    let info: String = asker.if_allowed(&redis::cmd("INFO")).await?.unwrap_or_default();
    let info = Info(&info);
    let mode = info.get("redis_mode").unwrap_or("standalone");
    Ok(Server {
        product: Product::Redis,
        version: info.get("redis_version").unwrap_or("unknown").to_owned(),
        round_trip,
        ahead_ms: there.map(|(s, us)| s.saturating_mul(1000).saturating_add(us / 1000) - here),
        read_only: info.get("role") == Some("slave"),
        redis: Some(RedisState {
            mode: mode.to_owned(),
            policy: info.get("maxmemory_policy").map(str::to_owned),
            used: info.number("used_memory"),
            limit: info.number("maxmemory"),
            append_only: info.get("aof_enabled") == Some("1"),
            snapshots: snapshots(asker).await?,
            save_failed: info.get("rdb_last_bgsave_status") == Some("err")
                || info.get("aof_last_write_status") == Some("err"),
        }),
    })
}

async fn round_trip(asker: &mut Asker) -> Result<Duration, Failure> {
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let asked = Instant::now();
        drop::<Value>(asker.one(&redis::cmd("PING")).await?);
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(PINGS / 2).copied().unwrap_or_default())
}

/// Whether the server makes snapshots; many platforms do not let a user ask.
async fn snapshots(asker: &mut Asker) -> Result<Option<bool>, Failure> {
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg("save");
    let answer: Option<Vec<String>> = asker.if_allowed(&command).await?;
    Ok(answer.and_then(|pair| pair.get(1).map(|save| !save.is_empty())))
}

/// The text of INFO: `name:value`, line by line.
struct Info<'a>(&'a str);

impl<'a> Info<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.trim_end())
    }

    fn number(&self, name: &str) -> u64 {
        self.get(name).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}
