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

mod intake;
mod object;
mod package;
mod packages;
mod refusal;
mod sweep;

mod meetings;

mod nodes;
mod probe;
mod registry;

mod audit;
mod downloads;

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
