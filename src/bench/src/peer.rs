//! What tnv is measured beside.

pub(crate) mod nginx;
