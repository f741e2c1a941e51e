//! The rules of the house, checked by a machine.

use std::path::{Path, PathBuf};

/// What a room may use: rooms below it, whole or in part. A new edge is a commit of its own that says why.
const ROOMS: &[(&str, &[&str])] = &[
    // Floor 0: nothing of ours.
    ("wire", &[]),
    ("config", &[]),
    ("clock", &[]),
    ("telemetry", &[]),
    ("exit", &[]),
    ("failpoint", &[]),
    // Floor 1.
    ("store", &["wire", "config", "clock", "telemetry"]),
    ("runner", &["wire", "config", "clock", "telemetry"]),
    // Floor 2. A failed job that goes back to Redis may need an id, which dispatching makes.
    (
        "runtime",
        &[
            "store",
            "runner",
            "wire",
            "config",
            "clock",
            "telemetry",
            "failpoint",
        ],
    ),
    ("failed", &["store", "wire", "clock", "runtime::dispatch"]),
    ("moving", &["store", "wire"]),
    // Floor 2, and pure: what stores answered comes in as plain values.
    ("doctor", &["config", "store::port", "wire"]),
    // Floor 3.
    ("control", &["runtime::state", "store", "config", "clock"]),
    // Floor 5: everything is put together here.
    (
        "app",
        &[
            "control",
            "doctor",
            "failed",
            "moving",
            "runtime",
            "store",
            "runner",
            "wire",
            "config",
            "clock",
            "telemetry",
            "exit",
        ],
    ),
    // Floor 6. Commands call ports and print what these return, and make and read payloads.
    (
        "cli",
        &[
            "app",
            "control",
            "doctor",
            "failed",
            "moving",
            "config",
            "telemetry",
            "exit",
            "clock",
            "wire",
            "store::port",
            "store::connect",
            "store::sql",
            "runtime::decide",
            "runtime::dispatch",
            "runtime::engine",
            "runtime::report",
            "runtime::state",
        ],
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below these folders of the repository whose names end so, with their text.
fn files(folders: &[&str], endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder can be read");
            open.extend(entries.map(|entry| entry.expect("a folder can be read").path()));
        } else if endings
            .iter()
            .any(|ending| path.to_string_lossy().ends_with(ending))
        {
            let text = std::fs::read_to_string(&path).expect("a source file is text");
            let name = path.strip_prefix(root()).expect("it is below the root");
            found.push((name.to_string_lossy().into_owned(), text));
        }
    }
    found.sort();
    found
}

/// The room that a file of `src` belongs to.
fn room(file: &str) -> &str {
    let inside = file.strip_prefix("src/").unwrap_or(file);
    inside.split(['/', '.']).next().unwrap_or_default()
}

/// The paths that a text names below `crate::`, outside of comments.
fn named(text: &str) -> Vec<String> {
    let code: Vec<_> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let path = |rest: &str| {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        let path: String = rest.chars().take(end.unwrap_or(rest.len())).collect();
        path.trim_end_matches(':').to_owned()
    };
    code.split("crate::").skip(1).map(path).collect()
}

/// Whether a path is `entry`, or below it.
fn is_below(path: &str, entry: &str) -> bool {
    path.strip_prefix(entry)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn rooms_know_only_what_lies_below() {
    let mut edges = Vec::new();
    for (file, text) in files(&["src"], &[".rs"]) {
        let room = room(&file);
        if ["main", "lib"].contains(&room) {
            continue;
        }
        let entry = ROOMS.iter().find(|(name, _)| *name == room);
        let (_, allowed) = entry.unwrap_or_else(|| panic!("the room {room} has no place in the table"));
        for other in named(&text) {
            if !is_below(&other, room) && !allowed.iter().any(|entry| is_below(&other, entry)) {
                edges.push(format!("{file} uses {other}"));
            }
        }
    }
    edges.sort();
    edges.dedup();
    assert!(
        edges.is_empty(),
        "edges that the table does not have:\n{}",
        edges.join("\n")
    );
}

#[test]
fn every_room_is_built_and_every_name_is_a_room() {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs is there");
    let mut built: Vec<_> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let mut table: Vec<_> = ROOMS.iter().map(|(name, _)| *name).collect();
    built.sort_unstable();
    table.sort_unstable();
    assert_eq!(built, table);
}

#[test]
fn the_jobs_do_not_know_the_daemon_nor_the_store_the_jobs() {
    for (file, text) in files(&["jobs/src"], &[".rs"]) {
        assert!(!text.contains("use worker::"), "{file}");
    }
    for (file, text) in files(&["src/store", "src/wire", "src/config"], &[".rs"]) {
        assert!(!text.contains("worker_jobs"), "{file} knows the jobs");
    }
}

/// An upgrade of apalis may cost two files, and the room of its own queues: that serves the layouts of its
/// storages, so it must follow them. The room's own name is no naming of the crates, nor is a connection's.
#[test]
fn apalis_is_named_in_two_files_and_one_room() {
    let mut naming = Vec::new();
    for (file, text) in files(&["src", "jobs/src"], &[".rs"]) {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code = code.map(|line| line.replace("super::apalis::", "").replace("store::apalis::", ""));
        let names = |line: &String| {
            line.contains("apalis::")
                || line.contains("apalis_core")
                || line.contains("apalis_redis::")
                || line.contains("apalis_postgres")
                || line.contains("apalis_sqlite")
        };
        if code.into_iter().any(|line| names(&line)) && !file.starts_with("src/store/apalis") {
            naming.push(file);
        }
    }
    assert_eq!(naming, ["src/runtime/worker.rs", "src/store/backend.rs"]);
}

#[test]
fn no_file_is_too_long() {
    for (file, text) in files(&["src", "jobs", "tests/it", "tests/harness"], &[".rs"]) {
        let lines = text.lines().count();
        assert!(lines <= 500, "{file} has {lines} lines");
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    for (file, text) in files(&["src", "jobs/src", "tests/it", "tests/harness/src"], &[".rs"]) {
        assert!(text.starts_with("//! "), "{file} does not open with a //! line");
        assert!(
            !file.ends_with("/mod.rs"),
            "{file}: a module is named after what it is"
        );
    }
}

/// What is in the repository works on any machine.
#[test]
fn no_path_of_a_machine() {
    let folders = [
        "src",
        "jobs",
        "tests/it",
        "tests/harness",
        "tests/laravel",
        "migrations",
        ".ci",
        ".config",
    ];
    let mut texts = files(&folders, &[".rs", ".toml", ".sh", ".php", ".sql", "/run"]);
    texts.extend(files(
        &[
            "tests/run",
            "Cargo.toml",
            "clippy.toml",
            "worker.example.toml",
            ".env.example",
        ],
        &[""],
    ));
    let elsewhere = ["work", "root", "home", "Users", "workspace", "shared"];
    for (file, text) in texts.iter().filter(|(file, _)| file != "tests/it/tidy.rs") {
        for line in text.lines() {
            for folder in elsewhere {
                let path = format!("/{folder}/");
                // Homes of users that do not exist are fine as examples.
                let example = line.contains("/home/user") || line.contains("HOME");
                assert!(
                    !line.contains(&path) || example || line.contains(&format!(".{path}")),
                    "{file}: {line}"
                );
            }
        }
    }
}

#[test]
fn no_note_of_what_is_to_be_done() {
    let words = ["TO", "FIX"].map(|word| word.to_owned() + if word == "TO" { "DO" } else { "ME" });
    for (file, text) in files(&["src", "jobs/src", "tests/it", "tests/harness/src"], &[".rs"]) {
        for word in &words {
            assert!(
                !text.contains(word.as_str()),
                "{file}: {word} belongs into an issue"
            );
        }
    }
}
