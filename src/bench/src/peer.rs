//! What tnv is measured beside.

mod bare;
pub(crate) mod dd;
pub(crate) mod iperf3;
mod nginx;

pub(crate) use bare::BareLoop;
pub(crate) use nginx::Nginx;
