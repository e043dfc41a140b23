//! The gateway as its clients see it: raw sockets in front, a tracker and a storage that the tests script
//! behind.

mod cluster;
mod http;
mod writes;

mod answers;
mod connections;
mod hosts;
mod http2;
mod lanes;
mod lists;
mod metalinks;
mod pages;
mod ranges;
mod sessions;
mod tus;
mod uploads;
mod upstream;
