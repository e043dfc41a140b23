//! The hub as its clients see it, in front of a whole cluster in this process.

mod cluster;
mod http;
mod node;

mod admin;
mod connections;
mod files;
mod meetings;
mod metalinks;
mod nodes;
mod packages;
