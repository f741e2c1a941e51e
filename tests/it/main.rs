//! The integration tests: real servers, the real framework, and the built binary. One module per behaviour.

#![expect(
    clippy::expect_used,
    reason = "a helper of a test has no better answer than to end the test"
)]

mod harness;
mod laravel;
mod store;
mod store_sql;
mod wire;
