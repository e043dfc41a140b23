//! A storage in this process, over real sockets, with a real catalog and real folders. Only the id server is played.

mod lab;

mod acks;
mod copies;
mod deletes;
mod downloads;
mod labels;
mod members;
mod parts;
mod peers;
mod scrub;
mod shared_volume;
mod starts;
mod uploads;
mod verify;
