//! What real Laravel wrote into Redis, and its own scripts.

use std::path::PathBuf;
use std::sync::Arc;

use harness::{Redis, SharedRedis, shared_redis};
use serde_json::Value;
use worker::store::port::Queue;
use worker::store::redis::RedisQueue;

use super::engine::redis_options;

/// The recordings of one test, by version and client.
pub(crate) const RECORDED: [&str; 4] = [
    "8.83.26/redis/{}-phpredis.json",
    "11.56.0/redis/{}-predis.json",
    "12.67.0/redis/{}-predis.json",
    "13.26.1/redis/{}-predis.json",
];

/// The prefix of the recorded application.
const RECORDED_PREFIX: &str = "facturino_";

/// A server's view of its own with a driver on it.
pub(crate) struct Wire {
    pub(crate) redis: SharedRedis,
    pub(crate) queue: Arc<dyn Queue>,
}

impl Wire {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let redis = shared_redis();
        let queue = RedisQueue::new(&redis_options(&redis)).expect("the options are good");
        Self {
            queue: Arc::new(queue),
            redis,
        }
    }

    /// The key of a queue, or one that begins with it.
    pub(crate) fn key(&self, name: &str) -> String {
        self.redis.key(&format!("queues:{name}"))
    }

    /// Runs one of Laravel's scripts on keys given without prefix.
    pub(crate) fn laravel(&self, script: &str, keys: &[&str], args: &[&str]) -> Vec<Vec<u8>> {
        let mut words = vec!["EVAL".to_owned(), laravel_script(script), keys.len().to_string()];
        words.extend(keys.iter().map(|key| self.key(key)));
        words.extend(args.iter().map(ToString::to_string));
        let answer: redis::Value = self.redis.query(&words);
        // Release answers with true, the others with lists.
        redis::from_redis_value(answer).unwrap_or_default()
    }

    /// Puts a recorded state of the queues into the store.
    pub(crate) fn restore(&self, state: &Value) {
        for (key, held) in state.as_object().expect("a state is an object") {
            let key = self
                .redis
                .key(key.strip_prefix(RECORDED_PREFIX).expect("the prefix"));
            for value in held["values"].as_array().expect("values") {
                if held["type"] == "list" {
                    self.redis.query::<()>(&["RPUSH", &key, text(value)]);
                } else {
                    let score = value["score"].to_string();
                    self.redis
                        .query::<()>(&["ZADD", &key, &score, text(&value["member"])]);
                }
            }
        }
    }
}

/// The server's time in whole seconds.
pub(crate) fn now(redis: &Redis) -> u64 {
    let time: (u64, u64) = redis.query(&["TIME"]);
    time.0
}

/// A file of recordings.
pub(crate) fn recording(path: &str) -> Value {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/laravel")
        .join(path);
    let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_slice(&bytes).expect("a recording is JSON")
}

/// The step of a recorded life with this name.
pub(crate) fn step<'a>(life: &'a Value, name: &str) -> &'a Value {
    life["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .find(|step| step["step"].as_str().is_some_and(|step| step.starts_with(name)))
        .unwrap_or_else(|| panic!("no step {name:?}"))
}

/// The text of a value that must be one.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// A script of the framework that Debian installs. Those used here are the same from Laravel 8 to 13, as
/// their hashes in the recordings show.
fn laravel_script(name: &str) -> String {
    const FILE: &str = "/usr/share/php/Illuminate/Queue/LuaScripts.php";
    let source = std::fs::read_to_string(FILE)
        .unwrap_or_else(|error| panic!("{FILE}: {error}; install php-laravel-framework"));
    let (_, rest) = source
        .split_once(&format!("function {name}()"))
        .unwrap_or_else(|| panic!("no script {name}"));
    let (_, rest) = rest.split_once("<<<'LUA'\n").expect("the script begins");
    let (script, _) = rest.split_once("\nLUA;").expect("the script ends");
    script.to_owned()
}
