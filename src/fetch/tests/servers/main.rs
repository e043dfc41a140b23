//! Whole files from servers on real sockets, most of which misbehave: always the right bytes, or a clear error.

mod bench;
mod server;

mod agreement;
mod damage;
mod failing;
mod lies;
mod links;
mod mixed;
mod resume;
mod several;
