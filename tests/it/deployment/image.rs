//! The Dockerfile's steps, done by hand as far as that goes: what is copied is what the build needs.

use std::path::{Component, Path, PathBuf};
use std::process::Command;

use harness::{Scratch, run_to_end};

use super::{files_below, read, root};

/// The sources that the build stage copies.
fn copied() -> Vec<String> {
    let dockerfile = read("Dockerfile");
    let copies = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY "));
    let local = copies.filter(|args| !args.starts_with("--from="));
    local
        .flat_map(|args| {
            let mut names: Vec<_> = args.split_whitespace().map(str::to_owned).collect();
            names.pop();
            names
        })
        .collect()
}

/// Whether `.dockerignore` lets a file into the build's context; the last pattern that fits decides.
fn let_through(patterns: &str, file: &Path) -> bool {
    let mut through = true;
    for pattern in patterns
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (taken, pattern) = match pattern.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, pattern),
        };
        // A pattern that fits a folder fits all that is in it.
        if file.ancestors().any(|path| fits(pattern, path)) {
            through = taken;
        }
    }
    through
}

/// Whether a pattern fits a path: `*` is any one name, a leading `**/` any number of folders.
fn fits(pattern: &str, path: &Path) -> bool {
    let names: Vec<_> = path.components().map(Component::as_os_str).collect();
    let (anywhere, pattern) = match pattern.strip_prefix("**/") {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let wanted: Vec<_> = pattern.split('/').collect();
    let skipped = names.len().checked_sub(wanted.len());
    let Some(skipped) = skipped.filter(|skipped| anywhere || *skipped == 0) else {
        return false;
    };
    let pairs = wanted.iter().zip(&names[skipped..]);
    !names.is_empty()
        && pairs
            .into_iter()
            .all(|(wanted, name)| *wanted == "*" || name.to_str() == Some(wanted))
}

/// Copies what the build stage would copy to an empty directory.
fn context() -> Scratch {
    let dir = Scratch::new();
    let patterns = read(".dockerignore");
    for source in copied() {
        let files: Vec<PathBuf> = files_below(&root().join(&source));
        let inside = files
            .iter()
            .map(|file| file.strip_prefix(root()).expect("it is below the root"));
        let mut taken = 0;
        for file in inside.filter(|file| let_through(&patterns, file)) {
            let content = std::fs::read(root().join(file)).expect("a source can be read");
            dir.write(file, content);
            taken += 1;
        }
        assert!(
            taken > 0,
            "COPY {source}: nothing of it is there, or .dockerignore keeps it out"
        );
    }
    dir
}

#[test]
fn what_is_copied_is_a_complete_workspace() {
    let dir = context();
    let mut rustc = Command::new("rustc");
    rustc.arg("-vV");
    let version = run_to_end("rustc", rustc, b"");
    let host = version
        .success()
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("rustc has a host");
    let mut cargo = Command::new("cargo");
    cargo.args([
        "metadata",
        "--locked",
        "--offline",
        "--format-version",
        "1",
        "--filter-platform",
        host,
    ]);
    cargo.current_dir(dir.path());
    let metadata = run_to_end("cargo metadata", cargo, b"").json();
    let packages = metadata["packages"].as_array().expect("packages");
    let worker = packages
        .iter()
        .find(|package| package["name"] == "worker")
        .expect("the worker is there");
    let binary = worker["targets"]
        .as_array()
        .expect("targets")
        .iter()
        .find(|target| target["kind"][0] == "bin");
    let path = binary.expect("it has a binary")["src_path"]
        .as_str()
        .expect("a path");
    assert!(
        Path::new(path).starts_with(dir.path()) && Path::new(path).exists(),
        "{path}"
    );
}

/// A file that the compiler is to include must be copied too.
#[test]
fn what_the_compiler_includes_is_copied() {
    let dir = context();
    let mut included = 0;
    for file in files_below(dir.path()) {
        if file.extension().is_none_or(|extension| extension != "rs") || file.starts_with(dir.join("tests")) {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a source is text");
        let folder = file.parent().expect("a file is in a folder");
        for macro_name in ["include_str!(\"", "include_bytes!(\"", "include!(\""] {
            for rest in text.split(macro_name).skip(1) {
                let name = rest.split('"').next().unwrap_or_default();
                assert!(folder.join(name).exists(), "{} includes {name}", file.display());
                included += 1;
            }
        }
    }
    assert!(included >= 8, "the migrations at least: {included}");
}

#[test]
fn nothing_else_reaches_the_build() {
    let patterns = read(".dockerignore");
    for kept_out in [
        ".env",
        ".git/config",
        "target/debug/worker",
        "jobs/target/x",
        "tests/it/main.rs",
        "docs/wire.md",
        "secrets/key",
    ] {
        assert!(!let_through(&patterns, Path::new(kept_out)), "{kept_out}");
    }
    for taken in [
        "Cargo.toml",
        "src/main.rs",
        "jobs/src/lib.rs",
        "tests/harness/src/lib.rs",
        "migrations/README.md",
    ] {
        assert!(let_through(&patterns, Path::new(taken)), "{taken}");
    }
}

/// A static binary alone: without a shell, without root, with a signal that drains.
#[test]
fn the_image_holds_the_binary_and_little_else() {
    let dockerfile = read("Dockerfile");
    let (_, runtime) = dockerfile
        .split_once("FROM scratch\n")
        .expect("the last stage is empty");
    for line in [
        "USER 65532:65532",
        "STOPSIGNAL SIGTERM",
        "ENTRYPOINT [\"/usr/local/bin/worker\"]",
        "CMD [\"run\"]",
    ] {
        assert!(runtime.lines().any(|own| own == line), "{line} is missing");
    }
}
