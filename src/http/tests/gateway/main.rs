//! The gateway as its clients see it: raw sockets in front, a tracker and a storage that the tests script
//! behind.

mod cluster;
mod http;

mod answers;
mod connections;
mod ranges;
mod upstream;
