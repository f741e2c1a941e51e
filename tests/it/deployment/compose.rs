//! The compose file, read with a parser of YAML.

use std::process::Command;

use harness::{Daemon, run_to_end};
use serde_json::Value;

use super::{default_s, read, seconds};
use crate::site::WORKER;

/// The file as JSON, with its anchors resolved.
fn compose() -> Value {
    let mut python = Command::new("python3");
    python.args([
        "-c",
        "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)",
    ]);
    run_to_end("python3", python, read("compose.yaml").as_bytes()).json()
}

/// The text of a member.
#[track_caller]
fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().expect("the member is a text")
}

/// A value as the worker gets it: `${NAME:-default}` without the variable, and `x` for what must be given.
fn resolved(value: &str) -> String {
    let Some(inner) = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        return value.to_owned();
    };
    inner
        .split_once(":-")
        .map_or("x", |(_, default)| default)
        .to_owned()
}

#[test]
fn every_service_is_hardened_and_those_with_data_keep_it() {
    let compose = compose();
    let services = compose["services"].as_object().expect("services");
    for (name, service) in services {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        let options = service["security_opt"].to_string();
        assert!(options.contains("no-new-privileges:true"), "{name}");
        assert!(service["logging"]["options"]["max-size"].is_string(), "{name}");
    }
    for name in ["redis", "postgres"] {
        let service = &services[name];
        assert!(service["healthcheck"]["test"].is_array(), "{name}");
        assert!(service["ports"].is_null(), "{name} is not published");
        let volume = service["volumes"][0].as_str().expect("a volume");
        let (volume, _) = volume.split_once(':').expect("it is mounted somewhere");
        assert!(
            compose["volumes"]
                .as_object()
                .is_some_and(|all| all.contains_key(volume)),
            "{volume}"
        );
        let condition = &services["worker"]["depends_on"][name]["condition"];
        assert_eq!(condition, "service_healthy", "{name}");
    }
    assert!(services["redis"]["command"].to_string().contains("noeviction"));
}

#[test]
fn the_worker_has_time_to_stop_and_is_started_again() {
    let worker = &compose()["services"]["worker"];
    let drain = text(&worker["environment"], "WORKER_DRAIN");
    assert_eq!(seconds(drain), default_s("WORKER_DRAIN"));
    assert!(seconds(text(worker, "stop_grace_period")) > seconds(drain) + 33);
    assert_eq!(worker["restart"], "always");
    assert!(
        worker["ports"][0]
            .as_str()
            .is_some_and(|port| port.starts_with("127.0.0.1:"))
    );
}

#[test]
fn no_secret_is_written_down() {
    for (name, service) in compose()["services"].as_object().expect("services") {
        let variables = service["environment"].as_object().expect("variables");
        let secret = |name: &str| {
            ["PASSWORD", "KEY", "AUTH", "SECRET", "TOKEN"]
                .iter()
                .any(|word| name.contains(word))
        };
        for (variable, value) in variables.iter().filter(|(variable, _)| secret(variable)) {
            let value = value.as_str().expect("a text");
            let given = ["", "null", "x"].contains(&resolved(value).as_str());
            assert!(value.starts_with("${") && given, "{name}: {variable}={value}");
        }
    }
}

/// What stands in the file is a configuration that the worker takes, and no variable is misspelt.
#[test]
fn the_worker_understands_its_variables() {
    let compose = compose();
    let environment = compose["services"]["worker"]["environment"]
        .as_object()
        .expect("variables");
    let variables: Vec<_> = environment
        .iter()
        .map(|(name, value)| (name.clone(), resolved(value.as_str().expect("a text"))))
        .collect();
    let config = Daemon::new(WORKER)
        .args(["config", "--json"])
        .envs(variables.clone())
        .run_to_end()
        .json();
    let settings = config["settings"].as_array().expect("a list of settings");
    for (name, _) in variables {
        let known = settings
            .iter()
            .any(|setting| setting["name"] == name.as_str() && setting["from"] == "environment");
        assert!(known, "{name}: {config}");
    }
}
