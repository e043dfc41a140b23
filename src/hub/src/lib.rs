//! The hub: meetings and their files, packages made of them, and the nodes that hand those out.
//!
//! [`Hub::bind`] opens the database and the socket, [`Hub::run`] serves. Meetings, agendas and the names of files are
//! rows; the bytes of files lie in the cluster, each version under an id of its own. A package is a zip that is never
//! there as a whole: what it consists of is known from the rows, and its bytes are read from the cluster as a client takes
//! them. A client that asks for a package is sent to the best node that holds it, and served here if there is none.

mod config;
mod hub;
mod service;

mod access;
mod api;
mod page;
mod route;

mod answer;
mod form;
mod intake;
mod package;
mod packages;
mod refusal;
mod sweep;

mod meetings;

mod metalinks;

mod nodes;
mod probe;
mod registry;

mod audit;
mod downloads;

mod web;

#[path = "../../http/src/condition.rs"]
#[allow(dead_code, reason = "shared with the gateway, which uses all of it")]
mod condition;
#[path = "../../http/src/cors.rs"]
#[allow(dead_code, reason = "shared with the gateway, which uses all of it")]
mod cors;
#[path = "../../http/src/disposition.rs"]
#[allow(dead_code, reason = "shared with the gateway, which uses all of it")]
mod disposition;
#[path = "../../http/src/form/header.rs"]
#[allow(dead_code, reason = "shared with the gateway, which uses all of it")]
mod form_header;
#[path = "../../http/src/host.rs"]
#[allow(dead_code, reason = "shared with the gateway, which uses all of it")]
mod host;
#[path = "../../http/src/inflow.rs"]
#[allow(dead_code, reason = "shared with the gateway, which uses all of it")]
mod inflow;
mod metrics;
#[path = "../../http/src/multipart.rs"]
#[allow(dead_code, reason = "shared with the gateway, which uses all of it")]
mod multipart;
#[path = "../../http/src/origin.rs"]
#[allow(dead_code, reason = "shared with the gateway, which uses all of it")]
mod origin;
#[path = "../../http/src/query.rs"]
#[allow(dead_code, reason = "shared with the gateway, which uses all of it")]
mod query;
#[path = "../../http/src/range.rs"]
#[allow(dead_code, reason = "shared with the gateway, which uses all of it")]
mod range;
#[allow(dead_code, reason = "shared with the gateway, which uses all of it")]
#[path = "../../http/src/stream.rs"]
mod stream;

pub use access::{BadCidr, Cidr, Secret};
pub use config::Config;
pub use hub::{Hub, StartError};
pub use meetings::{
    AgendaItem, Joined, Meeting, MeetingFile, Meetings, MySqlMeetings, Position, SCHEMA, SqliteMeetings,
    Status, Subject, Whole, contract as meetings_contract,
};
pub use registry::{
    Address, Asker, BadAddress, BadNodeId, Beat, Choice, Finding, Node, NodeId, Policy, Registration,
    Registry, Target, TooManyNodes, WEIGHTS,
};
