//! What either side writes while it holds a job, beside what the other would have written.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::faults::fleet::{Fleet, Kind};
use crate::faults::stage::now_ms;

/// As the framework's script writes a reserved entry.
const REENCODE: &str =
    "local job = cjson.decode(ARGV[1]) job['attempts'] = job['attempts'] + 1 return cjson.encode(job)";

/// How many entries of each kind were seen in somebody's hands and compared.
#[derive(Debug, Default)]
pub(super) struct Looks {
    php: usize,
    ours: usize,
}

/// A reservation in the store.
struct Entry {
    text: Vec<u8>,
    attempts: u64,
    /// Unix time when it lapses, in seconds.
    lapses: f64,
    /// Whether it has been reserved once only, so that its bytes are known.
    fresh: bool,
}

impl Looks {
    /// Compares what is reserved now. Returns whether one of this kind had something.
    pub(super) fn look(&mut self, fleet: &Fleet, wanted: Kind) -> bool {
        let mut seen = false;
        let began = now_ms();
        let entries = entries(fleet);
        let looked = now_ms();
        let starts = starts(fleet);
        let dead = fleet.dead();
        for (uuid, entry) in entries {
            // Whoever has begun this attempt has written the entry.
            let Some(pid) = starts.get(&(uuid.clone(), entry.attempts)) else {
                continue;
            };
            // PHP and a table count in whole seconds, and the fraction of our scores is no time.
            let (soonest, latest) = (seconds(began) - 1.0, seconds(looked) + fleet.hold as f64 + 1.0);
            let is_past = entry.lapses < soonest && !dead.contains(pid) && fleet.stage.kind() != "sqlite";
            assert!(
                !is_past && entry.lapses <= latest,
                "{uuid} lapses at {}, seen between {began} and {looked}",
                entry.lapses
            );
            let kind = fleet.kind(*pid);
            compare(fleet, &uuid, &entry, kind);
            seen |= kind == wanted;
            match kind {
                Kind::Php => self.php += 1,
                Kind::Ours => self.ours += 1,
            }
        }
        seen
    }

    /// Holds that there was something to compare.
    pub(super) fn end(&self) {
        assert!(self.php > 0 && self.ours > 0, "nothing was compared: {self:?}");
    }
}

/// Which process has begun which attempt of which job.
fn starts(fleet: &Fleet) -> BTreeMap<(String, u64), u32> {
    let notes = fleet.stage.notes().into_iter();
    let starts = notes.filter(|note| note.event == "start");
    starts.map(|note| ((note.uuid, note.attempt), note.pid)).collect()
}

fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

/// What is reserved, by uuid.
fn entries(fleet: &Fleet) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    let stage = &fleet.stage;
    let Some(redis) = stage.redis_client() else {
        for row in stage.database().jobs() {
            let Some(reserved_at) = row.reserved_at else {
                continue;
            };
            let uuid = row.json()["uuid"].as_str().expect("a uuid").to_owned();
            let entry = Entry {
                attempts: u64::try_from(row.attempts).expect("attempts are not negative"),
                // Both sides count from this time.
                lapses: reserved_at as f64 + fleet.hold as f64,
                fresh: true,
                text: row.payload.into_bytes(),
            };
            entries.insert(uuid, entry);
        }
        return entries;
    };
    for reserved in redis.queue("default").reserved {
        let attempts = reserved.payload.attempts();
        let entry = Entry {
            attempts,
            lapses: reserved.score,
            fresh: attempts == 1,
            text: reserved.payload.0.clone(),
        };
        entries.insert(reserved.payload.uuid(), entry);
    }
    entries
}

fn compare(fleet: &Fleet, uuid: &str, entry: &Entry, kind: Kind) {
    let original = &fleet.originals[uuid];
    let shown = || String::from_utf8_lossy(&entry.text).into_owned();
    let Some(redis) = fleet.stage.redis_client() else {
        // Neither side touches the payload: a row of one is a row of the other.
        assert!(entry.text == *original, "{kind:?}: {}", shown());
        return;
    };
    let reencoded: Vec<u8> = redis.query(&[&b"EVAL"[..], REENCODE.as_bytes(), b"0", original]);
    if entry.fresh {
        let expected = match kind {
            // To the byte what the framework's script makes of what was pushed.
            Kind::Php => reencoded,
            // To the byte what was pushed, but for the number.
            Kind::Ours => one_more(original),
        };
        assert!(entry.text == expected, "{kind:?}: {}", shown());
    } else {
        // Whoever has had it before: it says the same.
        let json = |text: &[u8]| {
            let mut json: Value = serde_json::from_slice(text).expect("an entry is JSON");
            json["attempts"] = entry.attempts.into();
            json
        };
        assert_eq!(json(&entry.text), json(&reencoded), "{kind:?}");
    }
}

/// A payload with one attempt in place of none.
fn one_more(original: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(original).expect("a payload is UTF-8");
    assert_eq!(text.matches(r#""attempts":0"#).count(), 1);
    text.replace(r#""attempts":0"#, r#""attempts":1"#).into_bytes()
}
