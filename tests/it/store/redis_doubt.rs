//! What a call took whose answer was lost goes back as it was, and nothing else is touched.

use std::sync::Arc;
use std::time::Duration;

use harness::{Fault, Proxy, SharedRedis, shared_redis};
use worker::store::port::{Held, Queue, Reserved, Settle};
use worker::store::redis::{RedisAddress, RedisOptions, RedisQueue};

use super::engine::{LONG, SHORT, queues, redis_options, settle, take, take_one, until, uuids};

const Q: &str = "mail";
/// A queue on which nothing ever lies.
const EMPTY: &str = "empty";

/// A driver behind a network, and one that goes round it, as another process would.
struct Line {
    redis: SharedRedis,
    network: Proxy,
    queue: RedisQueue,
    other: Arc<dyn Queue>,
}

impl Line {
    fn new() -> Self {
        let redis = shared_redis();
        let options = redis_options(&redis);
        let RedisAddress::Tcp { host, port, tls } = options.address.clone() else {
            panic!("the server listens on a port");
        };
        let network = Proxy::before(port);
        let address = RedisAddress::Tcp {
            host,
            port: network.port(),
            tls,
        };
        let other = RedisQueue::new(&options).expect("the options are good");
        Self {
            queue: RedisQueue::new(&RedisOptions { address, ..options }).expect("the options are good"),
            other: Arc::new(other),
            network,
            redis,
        }
    }

    /// Takes jobs for so long, and the answer is lost. One that has a payload with `bytes` is.
    async fn take_in_vain(&self, names: &[&str], lease: Duration, bytes: impl Into<Vec<u8>>) {
        self.network.cut_before_reply(bytes);
        let error = self.queue.reserve(&queues(names), 10, lease).await;
        let error = error.expect_err("the answer is lost");
        assert!(error.is_ambiguous() && !self.network.is_to_cut(), "{error}");
    }

    /// Takes nothing, so that only what is in doubt is dealt with.
    async fn look(&self) {
        let nothing = self.queue.reserve(&queues(&[EMPTY]), 1, LONG).await;
        assert!(nothing.expect("reserve").is_empty());
    }

    fn texts(&self, queue: &str) -> Vec<Vec<u8>> {
        let ready = self.redis.queue(queue).ready;
        ready.into_iter().map(|payload| payload.0).collect()
    }
}

fn job(uuid: &str) -> String {
    format!(r#"{{"uuid":"{uuid}","data":[],"attempts":0,"delay":null}}"#)
}

fn first_attempts(jobs: &[Reserved]) -> bool {
    jobs.iter().all(|job| job.attempts == 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_costs_no_attempt() {
    let line = Line::new();
    for round in 0..3 {
        let names = ["a", "b", "c"].map(|name| format!("{name}{round}"));
        names.iter().for_each(|name| line.redis.push(Q, job(name)));
        line.take_in_vain(&[Q], LONG, names[1].clone()).await;
        let dump = line.redis.queue(Q);
        assert_eq!((dump.ready.len(), dump.reserved.len(), dump.notify), (0, 3, 0));

        let jobs = take(&line.queue, Q, 10).await;
        assert_eq!(uuids(&jobs), names);
        assert!(first_attempts(&jobs));
        let dump = line.redis.queue(Q);
        assert_eq!((dump.ready.len(), dump.reserved.len(), dump.notify), (0, 3, 0));
        for job in &jobs {
            assert_eq!(settle(&line.queue, job, Settle::Delete).await, Held::Yes);
        }
    }
    assert!(line.redis.queue(Q).is_empty());
}

/// Every form of payload is what it was before; what Laravel's script would write anew is written anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_text_is_what_it_was() {
    let (usual, garbage) = (job("x"), "{\"attempts\":}");
    let same = [
        usual.as_str(),
        r#"{"attempts":9,"delay":null}"#,
        r#"{"a":1,"attempts":99,"delay":600}"#,
        r#"{"a":1,"attempts":999999999}"#,
        "{ \"attempts\" : 4 ,\n\"b\": [] }",
        r#"{"attempts":1,"data":{"attempts":1}}"#,
        r#"{"attempts":1,"data":{"attempts":2}}"#,
        r#"{"data":{"attempts":2},"attempts":1,"z":{"attempts":1}}"#,
        r#"{"t":"\"attempts\":3","attempts":2,"z":",\"attempts\":3}"}"#,
        r#"{"attempts":5,"x":[],"attempts":1,"z":0}"#,
        r#"{"data":{"attempts":1}}"#,
        r#"{"attempts":null}"#,
        garbage,
    ];
    let anew = [
        (r#"{"attempts":"2"}"#, r#"{"attempts":2}"#),
        (r#"{"attempts":2.0}"#, r#"{"attempts":2}"#),
        (r#"{"attempts":-3}"#, r#"{"attempts":-3}"#),
        (r#"{"attempts":12345678901}"#, r#"{"attempts":12345678901}"#),
    ];
    let line = Line::new();
    for (text, back) in same.map(|text| (text, text)).into_iter().chain(anew) {
        line.redis.push(Q, text);
        line.take_in_vain(&[Q], LONG, text).await;
        line.look().await;
        assert_eq!(line.texts(Q), [back.as_bytes()]);
        let dump = line.redis.queue(Q);
        assert_eq!((dump.reserved.len(), dump.notify), (0, 1));
        line.other.clear(&queues(&[Q])[0]).await.expect("clear");
    }
}

/// Each goes to its own queue, before those that still wait there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_goes_back_to_its_own_queue() {
    let line = Line::new();
    for (queue, uuid) in [("high", "h"), ("low", "l")] {
        line.redis.push(queue, job(uuid));
    }
    line.take_in_vain(&["high", EMPTY, "low"], LONG, "\"l\"").await;
    line.redis.push("high", job("later"));
    line.look().await;
    assert_eq!(
        line.texts("high"),
        [job("h"), job("later")].map(String::into_bytes)
    );
    assert_eq!(line.texts("low"), [job("l").into_bytes()]);
}

/// A job that lapsed meanwhile belongs to who took it then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_took_is_not_touched() {
    let line = Line::new();
    line.redis.push(Q, job("a"));
    line.take_in_vain(&[Q], SHORT, "\"a\"").await;
    let taken = take_one(&*line.other, Q).await;
    assert_eq!(taken.attempts, 2, "it has lapsed");
    line.look().await;
    assert!(line.texts(Q).is_empty());
    assert_eq!(settle(&*line.other, &taken, Settle::Delete).await, Held::Yes);
    assert!(line.redis.queue(Q).is_empty());
}

/// When another's reservation has come to have the same score, nobody can tell them apart: both stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_told_apart_lapses() {
    let line = Line::new();
    line.redis.push(Q, job("a"));
    line.take_in_vain(&[Q], LONG, "\"a\"").await;
    let before = line.redis.queue(Q).reserved;
    let reserved = line.redis.key(&format!("queues:{Q}:reserved"));
    let score = format!("{:.20}", before[0].score);
    line.redis.query::<()>(&["ZADD", &reserved, &score, "another's"]);
    line.look().await;
    let after = line.redis.queue(Q);
    assert_eq!((after.ready.len(), after.reserved.len()), (0, 2));
}

/// The answer to the looking may be lost as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_twice_puts_back_once() {
    let line = Line::new();
    // The second time the server knows the script, so that what is cut was carried out.
    for uuid in ["a", "b"] {
        line.redis.push(Q, job(uuid));
        line.take_in_vain(&[Q], LONG, format!("\"{uuid}\"")).await;
        line.network.cut_after_request("worker:taken:");
        let error = line.queue.reserve(&queues(&[Q]), 1, LONG).await;
        assert!(error.expect_err("it is cut again").is_ambiguous());
        let jobs = take(&line.queue, Q, 10).await;
        assert_eq!(
            (uuids(&jobs), first_attempts(&jobs)),
            (vec![uuid.to_owned()], true)
        );
        assert!(line.texts(Q).is_empty());
        assert_eq!(settle(&line.queue, &jobs[0], Settle::Delete).await, Held::Yes);
    }
}

/// A caller that no longer waits for the answer has taken nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_call_takes_nothing() {
    let line = Line::new();
    line.look().await;
    line.redis.push(Q, job("a"));
    line.network.set(Fault::Deaf);
    let names = queues(&[Q]);
    tokio::select! {
        taken = line.queue.reserve(&names, 1, LONG) => panic!("no answer can come: {taken:?}"),
        () = until("it is taken", async || (line.redis.queue(Q).reserved.len() == 1).then_some(())) => {}
    }
    line.network.clear();
    let jobs = take(&line.queue, Q, 1).await;
    assert_eq!(
        (uuids(&jobs), first_attempts(&jobs)),
        (vec!["a".to_owned()], true)
    );
}

/// A call that reaches the server only after it was given up is found when it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_call_is_found_later() {
    let line = Line::new();
    line.look().await;
    line.redis.push(Q, job("a"));
    line.network.set(Fault::Silent);
    let names = queues(&[Q]);
    let given_up = tokio::time::timeout(SHORT, line.queue.reserve(&names, 1, LONG)).await;
    assert!(given_up.is_err());
    line.network.clear();
    let again = until("it is found", async || take(&line.queue, Q, 1).await.pop()).await;
    assert_eq!(again.attempts, 1);
}

/// Calls write down what they took under few keys, which end by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_keys_are_used() {
    let line = Line::new();
    for round in 0..5 {
        line.redis.push(Q, job(&format!("a{round}")));
        assert_eq!(take(&line.queue, Q, 1).await.len(), 1);
    }
    let ours = line.redis.key("worker:taken:");
    let keys = line.redis.keys();
    let keys: Vec<_> = keys.iter().filter(|key| key.starts_with(&ours)).collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    let ttl: u64 = line.redis.query(&["TTL", keys[0]]);
    assert!((1..=LONG.as_secs()).contains(&ttl), "{ttl}");
}
