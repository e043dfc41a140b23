//! HTTP.

pub(crate) mod condition;
pub(crate) mod host;
pub(crate) mod multipart;
pub(crate) mod origin;
pub(crate) mod range;
pub(crate) mod server;
