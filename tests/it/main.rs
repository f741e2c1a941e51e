//! The integration tests: real servers, the real framework, and the built binary. One module per behaviour.

mod harness;
mod store;
