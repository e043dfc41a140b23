//! The `client` command line: upload, download, list and delete files of a cluster, and fetch one from many servers.
//!
//! Results go to standard output and nothing else does; remarks, progress and errors go to standard error; the exit
//! code tells what kind of failure it was. One subcommand, one file.
//!
//! The process does one thing for one user. Quick file system calls are therefore made in place; whatever moves a
//! file's bytes runs beside the reactor, so that a signal is always heard.

mod args;
mod argv;
mod session;

mod cat;
mod delete;
mod download;
mod fetch;
mod filesize;
mod groups;
mod ls;
mod member;
mod scrub;
mod shell;
mod stat;
mod upload;

mod fingerprint;
mod labels;
mod piece;
mod selection;
mod send;
mod size;
mod unfinished;

mod name;
mod part;
mod partial;
mod sink;
mod target;

mod jobs;
mod retry;
mod state;

mod console;
mod error;
mod progress;
mod signal;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::args::{Cli, Command};
use crate::console::Console;
use crate::error::Error;
use crate::state::StateFolder;

/// Runs the command line `args`, whose first word is the program's name, and returns the exit code that
/// `client --help` documents. It starts its own runtime, so it must not be called from within one.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let wants_json = args::wants_json(&args);
    let cli = match args::parse(args) {
        Ok(cli) => cli,
        Err(refusal) => return refuse(&refusal, wants_json),
    };
    let mut console = Console::standard(cli.global.json, cli.global.quiet);
    let printed = match &cli.command {
        Command::Completions(wanted) => Some(Ok(shell::completions(wanted))),
        Command::Man(_) => Some(shell::man_page()),
        _ => None,
    };
    if let Some(text) = printed {
        let text = text.map_err(|error| Error::local(error.to_string()));
        return ExitCode::from(match text.and_then(|text| console.print(&text)) {
            Ok(()) => 0,
            Err(error) => fail(&error, &mut console),
        });
    }
    ExitCode::from(match cli.trackers(std::env::var_os(args::TRACKERS_VARIABLE)) {
        Ok(trackers) => run_on_runtime(cli, trackers, &mut console),
        Err(error) => fail(&error, &mut console),
    })
}

fn run_on_runtime(cli: Cli, trackers: Vec<String>, console: &mut Console) -> u8 {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Error::local(format!("cannot start: {error}")), console),
    };
    let code =
        runtime.block_on(session::execute(cli, trackers, StateFolder::of_user(), console, signal::stopped()));
    // Nothing is left behind by now; a thread that still writes into a pipe nobody reads must not keep us here.
    runtime.shutdown_background();
    code
}

fn fail(error: &Error, console: &mut Console) -> u8 {
    console.report(error);
    error.kind.exit_code()
}

/// Prints clap's help, version or error.
fn refuse(refusal: &clap::Error, wants_json: bool) -> ExitCode {
    if wants_json && refusal.use_stderr() {
        return ExitCode::from(fail(&args::usage_error(refusal), &mut Console::standard(true, false)));
    }
    // If help cannot be printed there is nobody to tell.
    let _ = refusal.print();
    ExitCode::from(if refusal.use_stderr() { error::Kind::Usage.exit_code() } else { 0 })
}
