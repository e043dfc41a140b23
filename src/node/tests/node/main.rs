//! A node as its hub and its clients see it, against a hub that lies, breaks off, goes away and comes back.

mod away;
mod cleaning;
mod damage;
mod downloads;
mod hub;
mod lab;
mod lies;
mod settings;
mod sync;
