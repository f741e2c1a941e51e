//! What differs from run to run: uuids, times, hashes and ciphertexts.

use serde_json::{Map, Value, json};

use crate::site::now;

/// A time of the test is at most so many seconds from now.
const NEAR: f64 = 2.0 * 86_400.0;

/// The uuids of a scenario's jobs, in the order in which they were first seen.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    uuids: Vec<String>,
}

impl Labels {
    /// Gives a job the next number, if it has none.
    pub(crate) fn learn(&mut self, uuid: &str) {
        if is_uuid(uuid) && !self.uuids.iter().any(|known| known == uuid) {
            self.uuids.push(uuid.to_owned());
        }
    }

    /// Whether a text contains the uuid of one of the jobs.
    pub(crate) fn knows_in(&self, text: &str) -> bool {
        self.uuids.iter().any(|uuid| text.contains(uuid))
    }

    /// A text with names for what differs.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (index, uuid) in self.uuids.iter().enumerate() {
            text = text.replace(uuid, &format!("job{}", index + 1));
        }
        let text = replaced(&text, is_part_of_uuid, |word| is_uuid(word).then_some("<uuid>"));
        let text = replaced(
            &text,
            |c| c.is_ascii_alphanumeric() || "+/=".contains(c),
            |word| {
                // Hashes of closures and their signatures.
                let hash = word.len() == 32 && word.chars().all(|c| c.is_ascii_hexdigit());
                let signature = word.len() == 44 && word.ends_with('=');
                (hash || signature).then_some("<hash>")
            },
        );
        replaced(
            &text,
            |c| c.is_ascii_digit(),
            |word| is_near(word).then_some("<time>"),
        )
    }

    /// A value with its members in order and its texts as [`text`](Self::text) makes them.
    pub(crate) fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => json!(self.text(text)),
            Value::Number(number) if is_near(&number.to_string()) => json!("<time>"),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(name, _)| *name);
                let members = members
                    .into_iter()
                    .map(|(name, value)| (name.clone(), self.value(value)));
                Value::Object(members.collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }

    /// A payload without its random id and without ciphertext.
    pub(crate) fn payload(&self, payload: &Value) -> Value {
        let mut payload = payload.clone();
        if payload["id"].is_string() {
            payload["id"] = json!("<id>");
        }
        let command = payload.pointer("/data/command").and_then(Value::as_str);
        if command.is_some_and(|command| !command.starts_with("O:")) {
            payload["data"]["command"] = json!("<encrypted>");
        }
        self.value(&payload)
    }
}

fn is_part_of_uuid(c: char) -> bool {
    c.is_ascii_hexdigit() || c == '-'
}

fn is_uuid(word: &str) -> bool {
    let groups = word.split('-').map(str::len);
    groups.eq([8, 4, 4, 4, 12]) && word.chars().all(is_part_of_uuid)
}

/// Whether a word is a unix time close to now.
fn is_near(word: &str) -> bool {
    let time = word.parse::<f64>();
    time.is_ok_and(|time| (time - now()).abs() < NEAR)
}

/// A text with some of its words replaced; `part` says which characters make up a word.
fn replaced(text: &str, part: impl Fn(char) -> bool, name: impl Fn(&str) -> Option<&'static str>) -> String {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(&part) {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !part(c)).unwrap_or(from.len()));
        done += before;
        done += name(word).unwrap_or(word);
        rest = after;
    }
    done + rest
}
