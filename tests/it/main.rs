//! The integration tests: real servers, the real framework, and the built binary. One module per behaviour.

#![expect(
    clippy::expect_used,
    reason = "a helper of a test has no better answer than to end the test"
)]

mod apalis;
mod commands;
mod demo;
mod dependencies;
mod deployment;
mod differential;
mod doctor;
mod faults;
mod floods;
mod harness;
mod http;
mod laravel;
mod limits;
mod model;
mod moving;
mod php;
mod poison;
mod shutdown;
mod site;
mod store;
mod store_sql;
mod tidy;
mod watchdog;
mod webhook;
mod wire;
