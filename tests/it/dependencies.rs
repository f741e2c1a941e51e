//! What may be built into the worker: the rules of `deny.toml`, held without cargo-deny.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Every package that is built here, as cargo tells it.
fn packages() -> Vec<Value> {
    let here = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--offline",
            "--filter-platform",
            &here,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

/// The texts of a list in `deny.toml`; of a table its member `crate`.
fn rule(section: &str, name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    let text = std::fs::read_to_string(path).expect("deny.toml is there");
    let rules: toml::Table = text.parse().expect("deny.toml is TOML");
    let texts = rules[section][name]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| {
            let text = entry.get("crate").unwrap_or(entry);
            text.as_str().expect("a text").to_owned()
        });
    texts.collect()
}

fn text<'a>(package: &'a Value, member: &str) -> &'a str {
    package[member].as_str().unwrap_or_default()
}

/// A licence as packages state it: names, `AND`, `OR`, `WITH` and parentheses. An old form has `/` for `OR`.
struct Licence<'a> {
    words: Vec<&'a str>,
    allowed: &'a [String],
}

impl<'a> Licence<'a> {
    fn is_allowed(text: &'a str, allowed: &'a [String]) -> bool {
        let is_mark = |c: char| ['(', ')', '/'].contains(&c);
        let words = text.split_inclusive(is_mark).flat_map(|part| {
            let name = part.trim_end_matches(is_mark);
            let mark = part.get(name.len()..).unwrap_or_default();
            name.split_whitespace().chain((!mark.is_empty()).then_some(mark))
        });
        let mut words: Vec<&str> = words.map(|word| if word == "/" { "OR" } else { word }).collect();
        words.reverse();
        let mut licence = Self { words, allowed };
        licence.any() && licence.words.is_empty()
    }

    fn any(&mut self) -> bool {
        let mut is_good = self.all();
        while self.take("OR") {
            is_good |= self.all();
        }
        is_good
    }

    fn all(&mut self) -> bool {
        let mut is_good = self.one();
        while self.take("AND") {
            is_good &= self.one();
        }
        is_good
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            let is_good = self.any();
            return self.take(")") && is_good;
        }
        let name = self.words.pop().unwrap_or_default().to_owned();
        let name = match self.take("WITH") {
            true => format!("{name} WITH {}", self.words.pop().unwrap_or_default()),
            false => name,
        };
        self.allowed.contains(&name)
    }

    fn take(&mut self, word: &str) -> bool {
        let is_next = self.words.last() == Some(&word);
        if is_next {
            self.words.pop();
        }
        is_next
    }
}

#[test]
fn licences_are_read_as_they_are_meant() {
    let allowed = ["MIT", "ISC"].map(str::to_owned);
    let good = [
        "MIT",
        "GPL-3.0 OR MIT",
        "GPL-3.0/MIT",
        "(MIT OR GPL-3.0) AND ISC",
        "X WITH Y OR ISC",
    ];
    let bad = [
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "",
        "MIT WITH Y",
        "MIT (",
        "GPL-3.0 AND ISC OR X",
        "MIT ISC",
    ];
    for text in good {
        assert!(Licence::is_allowed(text, &allowed), "{text}");
    }
    for text in bad {
        assert!(!Licence::is_allowed(text, &allowed), "{text}");
    }
}

/// What a package names as its licence; where it only points at a text, what that calls itself.
fn licence(package: &Value) -> String {
    let named = text(package, "license");
    if !named.is_empty() {
        return named.to_owned();
    }
    let manifest = Path::new(text(package, "manifest_path"));
    let file = manifest.with_file_name(text(package, "license_file"));
    let first = std::fs::read_to_string(file).unwrap_or_default();
    let first = first.lines().next().unwrap_or_default();
    first.strip_suffix(" License").unwrap_or_default().to_owned()
}

#[test]
fn every_licence_is_allowed() {
    let allowed = rule("licenses", "allow");
    let packages = packages();
    assert!(packages.len() > 100);
    let refused: Vec<_> = (packages.iter())
        .map(|package| (text(package, "name"), licence(package)))
        .filter(|(_, licence)| !Licence::is_allowed(licence, &allowed))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn everything_comes_from_where_it_may() {
    let registries = rule("sources", "allow-registry");
    let registries: Vec<String> = registries.iter().map(|url| format!("registry+{url}")).collect();
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    for package in packages() {
        match package["source"].as_str() {
            Some(source) => assert!(registries.iter().any(|url| url == source), "{source}"),
            None => assert!(
                Path::new(text(&package, "manifest_path")).starts_with(own),
                "{package}"
            ),
        }
    }
}

#[test]
fn nothing_banned_is_built_and_nothing_new_twice() {
    let (banned, skipped) = (rule("bans", "deny"), rule("bans", "skip"));
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        let name = text(&package, "name").to_owned();
        assert!(!banned.contains(&name), "{name} is banned");
        let version = format!("{name}@{}", text(&package, "version"));
        let others = versions.entry(name).or_default();
        if !skipped.contains(&version) {
            others.push(version);
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    assert!(versions.is_empty(), "{versions:?}");
}
