//! aria2: one file from several servers, as most people get it.

use std::path::Path;
use std::process::Command;

use tnv_testbed::command;

/// The program that it needs.
pub(crate) const PROGRAM: &str = "aria2c";

/// A command that fetches a file from all of these at once, a connection to each, into a folder under this name. It makes
/// room as fast as it can and may divide the work as finely as it can.
pub(crate) fn fetch(urls: &[String], folder: &Path, name: &str) -> Command {
    let mut aria2: Command = command(PROGRAM);
    aria2.args([
        "--no-conf",
        "--quiet",
        "-x1",
        &format!("-s{}", urls.len()),
        "-k1M",
        "--file-allocation=falloc",
    ]);
    aria2.arg("-d").arg(folder).args(["-o", name]).args(urls);
    aria2
}
