//! Signs in the cache: restart, pause, and whatever else the stores hold.

use serde_json::Value as Json;
use worker::wire::cache::{self, Form};
use worker::wire::php::{self, Value};

use super::{VERSIONS, fixtures, strings};

#[test]
fn signs_are_read_and_written_as_laravel_does() {
    let mut count = 0;
    for version in VERSIONS {
        for (path, json) in fixtures(version, "control") {
            for (store, form) in [("redis", Form::Redis), ("database", Form::Database)] {
                for step in json["stores"][store].as_array().into_iter().flatten() {
                    let mut values = Vec::new();
                    collect(&step["state_after"], &mut values);
                    for (key, text) in values {
                        count += 1;
                        let value = cache::decode(text.as_bytes()).unwrap();
                        assert_eq!(cache::encode(&value, form), text.as_bytes(), "{}", path.display());
                        if key.ends_with("illuminate:queue:restart") {
                            assert!(value.as_int().is_some_and(|at| at > 1_700_000_000), "{key}");
                        } else {
                            assert_eq!(value, Value::Bool(true), "{key}");
                        }
                    }
                }
            }
        }
    }
    assert!(count > 20, "only {count} values found");
}

/// Keys and values, whether the state is of Redis databases or of table rows.
fn collect<'a>(state: &'a Json, values: &mut Vec<(&'a str, &'a str)>) {
    match state {
        Json::Array(rows) => {
            values.extend(
                rows.iter()
                    .filter_map(|row| Some((row["key"].as_str()?, row["value"].as_str()?))),
            );
        }
        Json::Object(databases) => {
            for (key, entry) in databases.values().filter_map(Json::as_object).flatten() {
                values.extend(entry["value"].as_str().map(|value| (key.as_str(), value)));
            }
        }
        _ => {}
    }
}

#[test]
fn rows_of_the_database_store_are_read() {
    let mut count = 0;
    for version in VERSIONS {
        for (path, json) in fixtures(version, "control") {
            for row in json["cache_rows"].as_array().into_iter().flatten() {
                let text = row["value"].as_str().unwrap();
                let value = cache::decode(text.as_bytes()).unwrap();
                count += 1;
                let encoded = cache::encode(&value, Form::Database);
                if !row["key"].as_str().unwrap().ends_with("nul") {
                    assert_eq!(encoded, text.as_bytes(), "{}", path.display());
                }
                assert_eq!(php::decode(&encoded).unwrap(), value);
            }
            let mut owners = Vec::new();
            strings(&json["cache_locks_rows"], |text| text.len() == 16, &mut owners);
            for owner in owners {
                assert_eq!(
                    cache::decode(owner.as_bytes()),
                    None,
                    "a lock's owner is no value"
                );
            }
        }
    }
    assert!(count > 50, "only {count} values found");
}
