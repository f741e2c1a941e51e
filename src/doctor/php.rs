//! PHP, and the application's job classes in it.

use super::catalogue::{PHP_BOOT, PHP_CLASS, PHP_INCOMPLETE, PHP_MISSING, PHP_SAPI, PHP_VERSION};
use super::{Facts, Finding, Severity};

mod extensions;
mod facts;
mod limits;

pub use facts::{Booted, Engine, JobClass, Loads, Php};

/// The oldest PHP that jobs run in, as PHP numbers it.
const OLDEST: u32 = 70_400;

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let Some(php) = &facts.php else {
        return Vec::new();
    };
    let engine = match &php.engine {
        Ok(engine) => engine,
        Err(why) => {
            let fix = "install PHP's command line (apt-get install php-cli), or set WORKER_PHP_BINARY to its path; \
                       run and doctor leave PHP out with --native-only";
            return vec![PHP_MISSING.found(&php.binary, why, fix)];
        }
    };
    let mut findings = version(php, engine);
    findings.extend(extensions::judge(facts, php, engine));
    if let Some(Err(why)) = &php.application {
        let what = format!("does not boot: {why}");
        let fix = format!("cd {} && {} artisan list, until it works", php.base, php.binary);
        findings.push(PHP_BOOT.found(format!("the application at {}", php.base), what, fix));
    }
    findings.extend(php.classes.iter().filter_map(class));
    findings.extend(limits::judge(facts, php));
    if let Some(why) = &php.unseen {
        let what = format!("were not all tried: {why}");
        findings.push(PHP_INCOMPLETE.found(
            "job classes",
            what,
            "mend what is found, and run worker doctor again",
        ));
    }
    findings
}

fn version(php: &Php, engine: &Engine) -> Vec<Finding> {
    let mut findings = Vec::new();
    if engine.number < OLDEST {
        let what = format!("is PHP {}, older than 7.4", engine.version);
        let fix = "install PHP 7.4 or newer, or set WORKER_PHP_BINARY to one that is there, such as php8.2";
        findings.push(PHP_VERSION.found(&php.binary, what, fix));
    }
    if engine.sapi != "cli" {
        let what = format!("is built as {}, not as cli", engine.sapi);
        findings.push(PHP_SAPI.found(
            &php.binary,
            what,
            "set WORKER_PHP_BINARY to PHP's command line (php-cli)",
        ));
    }
    findings
}

fn class(class: &JobClass) -> Option<Finding> {
    let subject = &class.name;
    match &class.loads {
        Loads::Fine { .. } => None,
        Loads::Broken(why) => {
            let fix = format!("mend {}; php -l finds errors of syntax only", class.file);
            Some(PHP_CLASS.found(subject, format!("cannot be loaded: {why}"), fix))
        }
        Loads::NotFound => {
            let what = format!("is not found by the autoloader, though it is in {}", class.file);
            let fix = "composer dump-autoload; the name must fit the file's path";
            Some(PHP_CLASS.found(subject, what, fix).at(Severity::Warning))
        }
    }
}

#[cfg(test)]
mod tests;
