//! Packages as a whole: golden bytes, ranges, what a node is told, and other programs that read them.

mod archives;
mod foreign;
mod golden;
mod made;
mod manifests;
mod names;
mod programs;
mod ranges;
mod verifying;
