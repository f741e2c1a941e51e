//! Edits of a payload's text that leave every other byte as it was.
//!
//! A payload is never decoded and written anew: cjson and `json_encode` both change what they carry
//! (`[]` and `{}`, large integers, escapes). Each function here finds top-level members and splices.

use std::borrow::Cow;
use std::ops::Range;

use super::scan::{self, Kind, Raw, Scanner};
use super::{Error, json, number};

/// One top-level member: its name, where its key begins, and its value.
struct Member<'a> {
    name: Cow<'a, str>,
    start: usize,
    value: Raw,
}

/// The top-level members of a text, in order, and where a new last member belongs.
struct Members<'a> {
    text: &'a str,
    list: Vec<Member<'a>>,
    end: usize,
}

impl<'a> Members<'a> {
    fn find(text: &'a [u8]) -> Result<Self, Error> {
        let mut list = Vec::new();
        let text = scan::utf8(text)?;
        Scanner::new(text).document(|scanner, key| {
            let value = scanner.value()?;
            let name = key.unescaped(text);
            list.push(Member {
                name,
                start: key.span().start,
                value,
            });
            Ok(())
        })?;
        // The closing brace is the last byte that is not white space.
        let end = text.rfind('}').unwrap_or(text.len());
        Ok(Self { text, list, end })
    }

    /// The member that PHP would see: the last of its name.
    fn get(&self, name: &str) -> Option<&Member<'a>> {
        self.list.iter().rev().find(|member| member.name == name)
    }

    /// The member, unless it is `null`.
    fn some(&self, name: &str) -> Option<&Member<'a>> {
        self.get(name).filter(|member| member.value.kind != Kind::Null)
    }

    /// A splice that gives `name` this JSON text as its value, in place or as the last member.
    fn set(&self, name: &str, value: &str, appended: &mut String) -> Option<(Range<usize>, String)> {
        if let Some(member) = self.get(name) {
            return Some((member.value.span(), value.to_owned()));
        }
        if !self.list.is_empty() || !appended.is_empty() {
            appended.push(',');
        }
        json::write_string(name, appended);
        appended.push(':');
        appended.push_str(value);
        None
    }

    fn integer(&self, name: &str) -> Option<i64> {
        let value = self.some(name)?.value;
        number::integer(value.unescaped(self.text).trim())
    }
}

/// Sets `attempts` to this number: in place where the member stands, else as the last member.
///
/// # Errors
/// [`Error::Json`] when the text is not one JSON object.
pub fn with_attempts(text: &[u8], attempts: u64) -> Result<Vec<u8>, Error> {
    let members = Members::find(text)?;
    let mut appended = String::new();
    let set = members.set("attempts", &attempts.to_string(), &mut appended);
    Ok(splice(text, &members, set.into_iter().collect(), &appended))
}

/// Makes a payload fit for a Redis list: a missing (or `null`) `id` is added, `attempts` is set.
///
/// Payloads of the database driver have neither, and without a numeric `attempts` Laravel's pop script
/// loses the job. `id` is 32 random characters; one that stands already is kept.
///
/// # Errors
/// [`Error::Json`] when the text is not one JSON object.
pub fn with_id_and_attempts(text: &[u8], id: &str, attempts: u64) -> Result<Vec<u8>, Error> {
    let members = Members::find(text)?;
    let (mut splices, mut appended) = (Vec::new(), String::new());
    if members.some("id").is_none() {
        splices.extend(members.set("id", &quoted(id), &mut appended));
    }
    splices.extend(members.set("attempts", &attempts.to_string(), &mut appended));
    Ok(splice(text, &members, splices, &appended))
}

/// Prepares the payload of a failed job to be pushed again at `now` (Unix time, s).
///
/// - `attempts` becomes 0 where the member stands; it is not added.
/// - `uuid` is added (or filled in) when the payload has none, so that the record stays findable.
/// - `retryUntil` moves by its original window: `now + (retryUntil - createdAt)`, a negative window
///   counting as 0. A payload without `createdAt` (before Laravel 12) does not say its window, which
///   only the class knows: there a time already past becomes `null`, so that tries decide instead of
///   failing the job unseen, and one still to come is kept.
///
/// Laravel's `queue:retry` does the same but asks the class for a new `retryUntil` and re-encodes the
/// text (8.x to 13.x, `Queue/Console/RetryCommand.php`).
///
/// # Errors
/// [`Error::Json`] when the text is not one JSON object.
pub fn for_retry(text: &[u8], uuid: Option<&str>, now: i64) -> Result<Vec<u8>, Error> {
    let members = Members::find(text)?;
    let (mut splices, mut appended) = (Vec::new(), String::new());
    if members.some("attempts").is_some() {
        splices.extend(members.set("attempts", "0", &mut appended));
    }
    if let (Some(uuid), None) = (uuid, members.some("uuid")) {
        splices.extend(members.set("uuid", &quoted(uuid), &mut appended));
    }
    // Zero is no limit in PHP, so it stays.
    if let Some(until) = members.integer("retryUntil").filter(|&until| until != 0) {
        let moved = match members.integer("createdAt") {
            Some(created) => Some(
                now.saturating_add(until.saturating_sub(created).max(0))
                    .to_string(),
            ),
            None if until < now => Some("null".to_owned()),
            None => None,
        };
        splices.extend(moved.and_then(|moved| members.set("retryUntil", &moved, &mut appended)));
    }
    Ok(splice(text, &members, splices, &appended))
}

/// Takes out every top-level member of these names, with one comma each.
///
/// # Errors
/// [`Error::Json`] when the text is not one JSON object.
pub fn without_members(text: &[u8], names: &[&str]) -> Result<Vec<u8>, Error> {
    let members = Members::find(text)?;
    let dropped = |member: &Member<'_>| names.contains(&&*member.name);
    let mut splices = Vec::new();
    let mut kept_end = None;
    let mut list = members.list.iter().peekable();
    while let Some(member) = list.next() {
        if !dropped(member) {
            kept_end = Some(member.value.span().end);
            continue;
        }
        let range = match (list.peek(), kept_end) {
            // Up to the next key: the comma behind goes too.
            (Some(next), _) => member.start..next.start,
            // The last member takes the comma before it along, from the end of the last one kept.
            (None, Some(end)) => end..member.value.span().end,
            (None, None) => member.start..member.value.span().end,
        };
        splices.push((range, String::new()));
    }
    Ok(splice(text, &members, merge(splices), ""))
}

/// Joins ranges that touch or overlap, so that a splice never goes backwards.
fn merge(splices: Vec<(Range<usize>, String)>) -> Vec<(Range<usize>, String)> {
    let mut merged: Vec<(Range<usize>, String)> = Vec::with_capacity(splices.len());
    for (range, text) in splices {
        while merged.last().is_some_and(|(last, _)| last.start >= range.start) {
            merged.pop();
        }
        match merged.last_mut() {
            Some((last, _)) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => merged.push((range, text)),
        }
    }
    merged
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    json::write_string(text, &mut out);
    out
}

/// Replaces the ranges, and puts `appended` before the closing brace.
fn splice(
    text: &[u8],
    members: &Members<'_>,
    mut splices: Vec<(Range<usize>, String)>,
    appended: &str,
) -> Vec<u8> {
    splices.sort_by_key(|(range, _)| range.start);
    let last = members
        .list
        .last()
        .map_or(members.end, |member| member.value.span().end);
    if !appended.is_empty() {
        splices.push((last..last, appended.to_owned()));
    }
    let mut out = Vec::with_capacity(text.len().saturating_add(appended.len()).saturating_add(32));
    let mut at = 0;
    for (range, replacement) in splices {
        out.extend_from_slice(text.get(at..range.start).unwrap_or_default());
        out.extend_from_slice(replacement.as_bytes());
        at = range.end;
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn text(bytes: Result<Vec<u8>, Error>) -> String {
        String::from_utf8(bytes.unwrap()).unwrap()
    }

    #[test]
    fn sets_attempts_in_place_or_at_the_end() {
        let set = |json: &str| text(with_attempts(json.as_bytes(), 7));
        assert_eq!(
            set(r#"{"job":"a","attempts":0,"delay":null}"#),
            r#"{"job":"a","attempts":7,"delay":null}"#
        );
        assert_eq!(set(r#"{"job":"a"}"#), r#"{"job":"a","attempts":7}"#);
        assert_eq!(set("{ }"), r#"{ "attempts":7}"#);
        assert_eq!(set("{\"a\":1 }\n"), "{\"a\":1,\"attempts\":7 }\n");
        assert_eq!(set(r#"{"attempts":"12"}"#), r#"{"attempts":7}"#);
        assert_eq!(
            set(r#"{"attempts":1,"attempts":2}"#),
            r#"{"attempts":1,"attempts":7}"#
        );
        assert_eq!(set(r#"{"x":"\"attempts\":0","y":{"attempts":1}}"#), {
            r#"{"x":"\"attempts\":0","y":{"attempts":1},"attempts":7}"#
        });
        assert_eq!(set(r#"{"\u0061ttempts":1}"#), r#"{"\u0061ttempts":7}"#);
    }

    #[test]
    fn refuses_what_is_not_an_object() {
        for bad in ["", "[]", "null", "{\"a\":1", "{\"a\":1}}", "{\"a\":tru}"] {
            assert!(with_attempts(bad.as_bytes(), 1).is_err(), "{bad}");
        }
    }

    #[test]
    fn makes_a_payload_fit_for_redis() {
        let set = |json: &str| text(with_id_and_attempts(json.as_bytes(), "abc", 0));
        assert_eq!(set(r#"{"job":"a"}"#), r#"{"job":"a","id":"abc","attempts":0}"#);
        assert_eq!(set(r#"{"id":"x","attempts":3}"#), r#"{"id":"x","attempts":0}"#);
        assert_eq!(set(r#"{"attempts":3,"id":null}"#), r#"{"attempts":0,"id":"abc"}"#);
        assert_eq!(set("{}"), r#"{"id":"abc","attempts":0}"#);
    }

    #[test]
    fn prepares_a_retry() {
        let retry = |json: &str| text(for_retry(json.as_bytes(), Some("u"), 1000));
        assert_eq!(
            retry(r#"{"job":"a","attempts":3}"#),
            r#"{"job":"a","attempts":0,"uuid":"u"}"#
        );
        assert_eq!(retry(r#"{"uuid":"v"}"#), r#"{"uuid":"v"}"#);
        assert_eq!(
            retry(r#"{"uuid":"v","retryUntil":400,"createdAt":100}"#),
            r#"{"uuid":"v","retryUntil":1300,"createdAt":100}"#
        );
        assert_eq!(
            retry(r#"{"uuid":"v","retryUntil":400}"#),
            r#"{"uuid":"v","retryUntil":null}"#
        );
        assert_eq!(
            retry(r#"{"uuid":"v","retryUntil":4000}"#),
            r#"{"uuid":"v","retryUntil":4000}"#
        );
        assert_eq!(
            retry(r#"{"uuid":"v","retryUntil":null}"#),
            r#"{"uuid":"v","retryUntil":null}"#
        );
        assert_eq!(
            retry(r#"{"uuid":"v","attempts":null}"#),
            r#"{"uuid":"v","attempts":null}"#
        );
    }

    #[test]
    fn takes_members_out() {
        let cut = |json: &str| text(without_members(json.as_bytes(), &["id", "attempts"]));
        assert_eq!(cut(r#"{"a":1,"id":"x","attempts":0,"b":2}"#), r#"{"a":1,"b":2}"#);
        assert_eq!(cut(r#"{"a":1,"id":"x","attempts":0}"#), r#"{"a":1}"#);
        assert_eq!(cut(r#"{"id":"x","a":1,"attempts":0}"#), r#"{"a":1}"#);
        assert_eq!(cut(r#"{"id":"x","attempts":0}"#), "{}");
        assert_eq!(cut(r#"{"id":1,"id":2,"a":{"id":3}}"#), r#"{"a":{"id":3}}"#);
        assert_eq!(cut(r#"{ "a":1 , "id":2 }"#), r#"{ "a":1 }"#);
        assert_eq!(cut(r#"{"a":1}"#), r#"{"a":1}"#);
    }

    fn objects() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec!["a", "b", "id", "attempts", "retryUntil", "x\\\"y", "č"]);
        let value = prop::sample::select(vec![
            "1",
            "null",
            "\"},{\"",
            "[]",
            "{}",
            "{\"id\":[1, 2]}",
            "-1.5e3",
        ]);
        let space = prop::sample::select(vec!["", " ", "\n\t"]);
        prop::collection::vec((name, value, space), 0..6).prop_map(|members| {
            let member = |(n, v, s): &(&str, &str, &str)| format!("{s}\"{n}\"{s}:{s}{v}{s}");
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
        })
    }

    proptest! {
        #[test]
        fn everything_else_stays(json in objects(), attempts in any::<u64>()) {
            let before: serde_json::Map<String, Value> = serde_json::from_str(&json).unwrap();
            let edited = text(with_attempts(json.as_bytes(), attempts));
            let mut after: serde_json::Map<String, Value> = serde_json::from_str(&edited).unwrap();
            prop_assert_eq!(after.get("attempts"), Some(&Value::from(attempts)));
            let cut = text(without_members(edited.as_bytes(), &["attempts"]));
            prop_assert_eq!(&cut, &text(without_members(json.as_bytes(), &["attempts"])));
            let mut rest = before;
            rest.shift_remove("attempts");
            after.shift_remove("attempts");
            prop_assert_eq!(&serde_json::from_str::<serde_json::Map<String, Value>>(&cut).unwrap(), &rest);
            prop_assert_eq!(after, rest);
        }

        #[test]
        fn survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..48)) {
            drop(with_id_and_attempts(&bytes, "x", 1));
            drop(for_retry(&bytes, None, 1));
            drop(without_members(&bytes, &["a"]));
        }
    }
}
