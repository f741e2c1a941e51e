//! The worker beside a real Laravel application: what one side writes, the other runs.

mod control;
mod crowd;
mod failed;
mod handed_back;
mod leases;
mod pushed;
mod side_by_side;
mod site;
mod unknown;
