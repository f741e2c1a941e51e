//! What a user of the server's access list may not do.

use redis::{Cmd, RedisResult, Value};

use super::super::failure::Failure;
use super::super::keys::Keys;
use super::Asker;
use crate::store::port::QueueName;

/// Every command that the queues need, with arguments that could stand in a real one. `{list}` is a queue's list.
const NEEDED: &[&[&str]] = &[
    &["EVAL", "return 1", "0"],
    &["EVALSHA", "0000000000000000000000000000000000000000", "0"],
    &["TIME"],
    &["SCAN", "0"],
    &["BLPOP", "{list}:notify", "1"],
    &["EXISTS", "{list}"],
    &["LINDEX", "{list}", "0"],
    &["LLEN", "{list}"],
    &["LPUSH", "{list}", ""],
    &["LRANGE", "{list}", "0", "0"],
    &["LTRIM", "{list}", "0", "0"],
    &["RPUSH", "{list}", ""],
    &["UNLINK", "{list}"],
    &["ZADD", "{list}:reserved", "0", ""],
    &["ZCARD", "{list}:reserved"],
    &["ZCOUNT", "{list}:reserved", "0", "0"],
    &["ZRANGE", "{list}:delayed", "0", "0"],
    &["ZRANGEBYSCORE", "{list}:delayed", "0", "0"],
    &["ZREM", "{list}:reserved", ""],
    &["ZREMRANGEBYRANK", "{list}:delayed", "0", "0"],
    &["ZREMRANGEBYSCORE", "{list}:delayed", "0", "0"],
    &["ZSCORE", "{list}:reserved", ""],
    &["HSET", "{own}", "a", "b"],
    &["HGET", "{own}", "a"],
    &["HDEL", "{own}", "a"],
    &["SET", "{own}", "a"],
    &["GET", "{own}"],
    &["DEL", "{own}"],
];

/// The commands that the server does not take from this user, each with its key where it is the key that is refused.
pub(super) async fn missing(
    asker: &mut Asker,
    keys: &Keys,
    queue: &QueueName,
) -> Result<Option<Vec<String>>, Failure> {
    // Without a transaction the commands would be carried out.
    let opened: Result<Value, _> = asker.one(&redis::cmd("MULTI")).await;
    if !matches!(opened, Ok(Value::Okay)) {
        return Ok(None);
    }
    let (list, own) = (keys.list(queue), keys.own("doctor"));
    let mut commands = redis::pipe();
    commands.ignore_errors();
    let words = |words: &[&str]| -> Vec<String> {
        let word = |word: &&str| word.replace("{list}", &list).replace("{own}", &own);
        words.iter().map(word).collect()
    };
    let needed: Vec<_> = NEEDED.iter().map(|needed| words(needed)).collect();
    for needed in &needed {
        let mut command = Cmd::new();
        command.arg(needed);
        commands.add_command(command);
    }
    commands.cmd("DISCARD");
    let answers: Vec<RedisResult<Value>> = asker.all(&commands).await?;
    let refused = needed.iter().zip(&answers).filter_map(|(needed, answer)| {
        let said = answer.as_ref().err()?.to_string();
        let name = needed.first()?;
        Some(match needed.get(1) {
            Some(key) if said.contains("key") => format!("{name} {key}"),
            _ => name.clone(),
        })
    });
    Ok(Some(refused.collect()))
}
