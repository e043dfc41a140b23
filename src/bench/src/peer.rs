//! What tnv is measured beside.

pub(crate) mod aria2;
mod bare;
pub(crate) mod dd;
pub(crate) mod iperf3;
mod nginx;

pub(crate) use bare::BareLoop;
pub(crate) use nginx::Nginx;
