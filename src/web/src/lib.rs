//! What the HTTP servers of tnv share: the accept loop, HTTP/1.1 and HTTP/2 with their limits, bodies that are relayed
//! without a copy, ranges and conditions, forms, and what keeps foreign pages out.
//!
//! A server is a [`Site`], which [`serve`] serves. A GET or HEAD over HTTP/1.1 goes through a short lane of its own;
//! everything else goes through hyper. A site answers both alike and does not see the difference.

mod server;
mod site;

pub mod answer;
pub mod body;
pub mod inflow;
pub mod metalink;
pub mod refusal;
pub mod representation;

pub mod condition;
pub mod disposition;
pub mod form;
pub mod media;
pub mod multipart;
pub mod page;
pub mod path;
pub mod query;
pub mod range;

pub mod cors;
pub mod credentials;
pub mod host;
pub mod origin;

mod access;
mod connection;
mod lane;
mod metrics;
mod seat;
mod served;
mod stream;

pub use body::{Body, Piece};
pub use metrics::Counted;
pub use refusal::Refusal;
pub use representation::Representation;
pub use server::{Limits, serve};
pub use site::{Payload, Request, Site};
