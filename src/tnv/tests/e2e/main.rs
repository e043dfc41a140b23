//! End-to-end tests: the real binary as real processes, driven over real sockets by clients written here from the
//! protocol's pages alone, and by the programs people use: curl, wget, aria2, ffmpeg, mpv, VLC, tus clients, Chromium.
//!
//! `scripts/test` runs them against the release binary, whose path it gives in `TNV_BIN`; otherwise the binary that
//! cargo built beside them is used. `TNV_E2E_SEED` repeats a run of the random ones.

mod harness;

mod browser;
mod chaos;
mod client_cli;
mod cluster;
mod databases;
mod edge;
mod fetch;
mod full_disk;
mod gateway;
mod keepalived;
mod kill;
mod library;
mod members;
mod memory;
mod mixed;
mod peers;
mod players;
mod power;
mod several;
mod shared_volume;
mod shutdown;
mod slow;
mod tus_clients;
mod uploads;
mod viewers;
mod wire;
