//! The commands of the command line, on good input and on bad.

mod batches;
mod clear;
mod config;
mod control;
mod dispatch;
mod failed;
mod help;
mod inspect;
mod json;
mod migrate;
mod monitor;
mod moving;
mod status;
