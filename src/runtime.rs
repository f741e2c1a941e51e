//! Running jobs: reserve, run under a limit, decide, settle.
//!
//! A job's way goes one way through this room: [`reserve`] takes it and puts it under a [`hold`];
//! [`worker`] is the apalis worker that carries it to a slot; [`attempt`] runs it and asks [`decide`] for
//! the verdict; [`settle`] writes it. [`troubles`] and [`pulse`] tell how that goes. Stores and runners are known by their traits only.

pub mod attempt;
pub mod decide;
pub mod dispatch;
pub mod engine;
pub mod history;
pub mod hold;
pub mod lane;
pub mod pulse;
pub mod report;
pub mod reserve;
pub mod settle;
pub mod state;
pub mod troubles;
pub mod unknown;
pub mod worker;
