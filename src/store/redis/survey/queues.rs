//! Queue by queue: how many jobs, how old, and some of the payloads. And who consumes them.

use std::collections::BTreeSet;

use bytes::Bytes;
use redis::Value;

use super::super::depth::created_at;
use super::super::failure::Failure;
use super::super::keys::Keys;
use super::Asker;
use crate::store::port::survey::{Ask, QUEUES_MOST, QueueState, SAMPLE_BYTES, SAMPLE_MOST};
use crate::store::port::{Process, QueueName};

pub(super) async fn look(asker: &mut Asker, keys: &Keys, ask: &Ask) -> Result<Vec<QueueState>, Failure> {
    let scanned = asker.scan(&keys.queues_pattern()).await?;
    let mut names: BTreeSet<_> = ask.queues.iter().cloned().collect();
    names.extend(scanned.found.iter().filter_map(|key| keys.queue_of(key)));
    let now = asker.time_us().await? / 1_000_000;
    let mut states = Vec::new();
    for queue in names.into_iter().take(QUEUES_MOST) {
        states.push(one(asker, keys, ask, (queue, now)).await?);
    }
    Ok(states)
}

async fn one(
    asker: &mut Asker,
    keys: &Keys,
    ask: &Ask,
    (queue, now): (QueueName, i64),
) -> Result<QueueState, Failure> {
    let (list, delayed, reserved) = (keys.list(&queue), keys.delayed(&queue), keys.reserved(&queue));
    let old_s = i64::try_from(ask.old.as_secs()).unwrap_or(i64::MAX);
    let mut commands = redis::pipe();
    commands.cmd("LLEN").arg(&list);
    commands.cmd("ZCARD").arg(&delayed);
    commands.cmd("ZCARD").arg(&reserved);
    commands.cmd("ZCOUNT").arg(&reserved).arg("-inf").arg(now);
    commands
        .cmd("ZCOUNT")
        .arg(&delayed)
        .arg("-inf")
        .arg(now.saturating_sub(old_s));
    let (pending, waiting, held, lapsed, overdue): (u64, u64, u64, u64, u64) = asker.all(&commands).await?;
    let head = sample(asker, &list, End::Head).await?;
    let tail = if pending > u64::try_from(head.len()).unwrap_or(u64::MAX) {
        sample(asker, &list, End::Tail).await?
    } else {
        Vec::new()
    };
    let ages: Vec<_> = head.iter().map(|payload| age(payload, now)).collect();
    let old = ages
        .iter()
        .flatten()
        .filter(|age| i64::try_from(**age).is_ok_and(|age| age > old_s))
        .count();
    let whole = u64::try_from(head.len()).is_ok_and(|seen| seen >= pending);
    let mut samples = head;
    samples.extend(tail);
    for set in [&delayed, &reserved] {
        samples.extend(sample(asker, set, End::Scores).await?);
    }
    Ok(QueueState {
        pending,
        delayed: waiting,
        reserved: held.saturating_sub(lapsed),
        lapsed,
        lapsed_s: match lapsed {
            0 => None,
            _ => first_score(asker, &reserved)
                .await?
                .map(|score| seconds(now, score)),
        },
        oldest_s: ages.first().copied().flatten(),
        old: u64::try_from(old).unwrap_or_default().saturating_add(overdue),
        // The head of a list is its oldest part: beyond one that is young there are only younger ones.
        old_at_least: ages.iter().any(Option::is_none) || (!whole && old == ages.len()),
        samples,
        queue,
    })
}

#[derive(Clone, Copy)]
enum End {
    Head,
    Tail,
    Scores,
}

/// Payloads from one end of a key. Their sizes are not known before, so the first one tells how many more are asked
/// for at a time.
async fn sample(asker: &mut Asker, key: &str, end: End) -> Result<Vec<Bytes>, Failure> {
    let mut taken: Vec<Bytes> = Vec::new();
    let (mut bytes, mut step) = (0, 1);
    while taken.len() < SAMPLE_MOST && bytes < SAMPLE_BYTES {
        let from = i64::try_from(taken.len()).unwrap_or(i64::MAX);
        let to = from + i64::try_from(step).unwrap_or(1) - 1;
        let mut command = match end {
            End::Head | End::Tail => redis::cmd("LRANGE"),
            End::Scores => redis::cmd("ZRANGE"),
        };
        match end {
            End::Head | End::Scores => command.arg(key).arg(from).arg(to),
            End::Tail => command.arg(key).arg(-1 - to).arg(-1 - from),
        };
        let found: Vec<Vec<u8>> = asker.one(&command).await?;
        if found.is_empty() {
            break;
        }
        let full = found.len() == step;
        bytes += found.iter().map(Vec::len).sum::<usize>();
        taken.extend(found.into_iter().map(Bytes::from));
        if !full {
            break;
        }
        let usual = (bytes / taken.len()).max(1);
        step = (SAMPLE_BYTES.saturating_sub(bytes) / usual)
            .clamp(1, SAMPLE_MOST - taken.len().min(SAMPLE_MOST - 1));
    }
    Ok(taken)
}

async fn first_score(asker: &mut Asker, key: &str) -> Result<Option<f64>, Failure> {
    let mut command = redis::cmd("ZRANGE");
    command.arg(key).arg(0).arg(0).arg("WITHSCORES");
    let found: Vec<Value> = asker.one(&command).await?;
    Ok(found
        .get(1)
        .and_then(|score| redis::from_redis_value_ref(score).ok()))
}

#[expect(clippy::cast_possible_truncation, reason = "a float that is cast saturates")]
fn seconds(now: i64, score: f64) -> u64 {
    u64::try_from(now.saturating_sub(score as i64)).unwrap_or(0)
}

fn age(payload: &[u8], now: i64) -> Option<u64> {
    let created = i64::try_from(created_at(payload)?).ok()?;
    Some(u64::try_from(now.saturating_sub(created)).unwrap_or(0))
}

/// The worker processes that live.
pub(super) async fn processes(asker: &mut Asker, keys: &Keys) -> Result<Vec<Process>, Failure> {
    let now_ms = asker.time_us().await? / 1000;
    let mut living = redis::cmd("ZRANGEBYSCORE");
    living
        .arg(keys.own("processes"))
        .arg(format!("({now_ms}"))
        .arg("+inf");
    let ids: Vec<String> = asker.one(&living).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut words = redis::cmd("HMGET");
    words.arg(keys.own("process")).arg(&ids);
    let texts: Vec<Option<Vec<u8>>> = asker.one(&words).await?;
    // What another version wrote and this one cannot read is left out.
    Ok(texts
        .iter()
        .flatten()
        .filter_map(|text| serde_json::from_slice(text).ok())
        .collect())
}
