//! What tnv is measured beside.

mod bare;
mod nginx;

pub(crate) use bare::BareLoop;
pub(crate) use nginx::Nginx;
