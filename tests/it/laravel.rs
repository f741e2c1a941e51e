//! The worker beside a real Laravel application: what one side writes, the other runs.

mod control;
mod crowd;
mod failed;
mod handed_back;
mod leases;
mod moved;
mod pushed;
mod side_by_side;
pub(crate) mod site;
mod unknown;
