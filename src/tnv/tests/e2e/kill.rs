//! Crashes: SIGKILL at every step of an upload, and again and again under load. What was acknowledged is kept, what
//! was deleted stays deleted, nothing half-done is left.

pub(crate) mod ledger;
mod load;
mod step;
