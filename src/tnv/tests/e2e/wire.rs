//! The binary protocol, command by command: what is answered, and what is refused with which number.

mod every_server;
mod id;
mod storage;
mod tracker;
