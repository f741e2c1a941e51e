//! The commands of the command line, on good input and on bad.

mod clear;
mod config;
mod control;
mod dispatch;
mod failed;
mod help;
mod inspect;
mod migrate;
mod status;
