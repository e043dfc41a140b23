//! tnv in one binary: a role by its own name (`bin/tracker`) or by its first argument (`tnv tracker`); without
//! either, all roles in one process (`tnv up`).

mod node;
mod role;
mod up;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tnv_common::args::ServerArgs;

use crate::node::NodeArgs;
use crate::role::Role;
use crate::up::UpArgs;

/// A distributed streaming-media and file store.
#[derive(Debug, Parser)]
#[command(name = "tnv", version, propagate_version = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "\
Without a command all servers run in one process, as with `tnv up`.

Examples:
  tnv up --demo                                   a whole cluster on this machine, with a clip to watch
  tnv client 127.0.0.1:21000 upload tnvideo tnv001 film.mp4
  tnv storage --config etc/storage.toml --check   what is wrong with a config";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run tracker, id server, storage and gateway in one process
    Up(UpArgs),
    /// Run a tracker: it knows which storages are alive
    Tracker(ServerArgs),
    /// Run an id server: it hands out numbers that never repeat
    Id(ServerArgs),
    /// Run a storage: it keeps the files
    Storage(ServerArgs),
    /// Run a gateway: it serves the files over HTTP
    Http(ServerArgs),
    /// Run a hub: it has meetings' packages handed out by nodes
    Hub(ServerArgs),
    /// Run a file service node: it keeps packages of meetings near their readers
    Node(NodeArgs),
    /// Upload, download and delete files (`tnv client --help`)
    #[command(disable_help_flag = true)]
    Client {
        /// What `client` takes
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    // It fails only where somebody was earlier, who does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut args: Vec<OsString> = std::env::args_os().collect();
    let name = args.first().map(|program| Path::new(program).file_name().unwrap_or_default().to_owned());
    let called_as_role = name.as_deref().is_some_and(is_role);
    if called_as_role {
        // `bin/tracker --check` reads like `tnv tracker --check`.
        args.insert(0, OsString::from("tnv"));
        args[1] = name.unwrap_or_default();
    }
    // The client has a command line of its own, with trackers in front of its commands.
    if args.get(1).is_some_and(|first| first == "client") {
        return tnv_cli::run(args.split_off(1));
    }
    let result = match Cli::parse_from(args).command {
        None => up::run(&UpArgs::default()),
        Some(Command::Up(args)) => up::run(&args),
        Some(Command::Tracker(args)) => role::run(Role::Tracker, &args),
        Some(Command::Id(args)) => role::run(Role::Id, &args),
        Some(Command::Storage(args)) => role::run(Role::Storage, &args),
        Some(Command::Http(args)) => role::run(Role::Http, &args),
        Some(Command::Hub(args)) => role::run(Role::Hub, &args),
        Some(Command::Node(args)) => node::run(&args),
        Some(Command::Client { arguments }) => {
            return tnv_cli::run([OsString::from("client")].into_iter().chain(arguments).collect());
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn is_role(name: &OsStr) -> bool {
    ["tracker", "id", "storage", "http", "hub", "node", "client"].iter().any(|role| name == *role)
}

#[expect(clippy::print_stderr, reason = "the one place that tells a person why the program ends")]
fn complain(error: &anyhow::Error) {
    eprintln!("tnv: {error:#}");
}
