//! A file service node in a process of its own. Its configuration is JSON that it also writes itself, so it has another
//! command line than the other servers.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tnv_common::telemetry;
use tnv_node::{ConfigFile, FileNode, Overrides};

use crate::role::{reactors, runtime, say, stop_signal};

/// The variable that names the file where no option does.
const CONFIG_VARIABLE: &str = "TNV_NODE_CONFIG";
const CONFIG_FILE: &str = "node_config.json";

/// Options of `tnv node`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NodeArgs {
    /// Configuration file, made if it is missing [default: node_config.json in the current folder]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Address to listen on, such as 0.0.0.0; counts more than nodeHost
    #[arg(long, value_name = "ADDR")]
    host: Option<IpAddr>,

    /// Port to listen on, 0 for a free one; counts more than nodePort
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// Check the configuration, report every mistake, and exit
    #[arg(long)]
    check: bool,
}

/// Runs a node until it is told to stop.
pub(crate) fn run(args: &NodeArgs) -> anyhow::Result<()> {
    let from_variable = || std::env::var_os(CONFIG_VARIABLE).filter(|path| !path.is_empty());
    let path = args.config.clone().or_else(|| from_variable().map(PathBuf::from));
    let file = ConfigFile::read(path.as_deref().unwrap_or(Path::new(CONFIG_FILE)), args.overrides())?;
    if args.check {
        for warning in file.warnings() {
            say(warning)?;
        }
        return say(&format!("ok: the node configuration ({}) has no mistakes", file.path().display()));
    }
    let _log = telemetry::init(&tnv_node::log_config(&file)).context("cannot start logging")?;
    install_tls();
    let _reactors = reactors()?;
    runtime()?.block_on(async {
        let stop = stop_signal()?;
        let node = FileNode::bind(file).await?;
        say(&format!("ready {}", node.local_addr()))?;
        node.run(stop).await;
        Ok(())
    })
}

impl NodeArgs {
    fn overrides(&self) -> Overrides {
        let variables = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        let mut overrides = Overrides::from_environment(variables);
        if let Some(host) = self.host {
            overrides.set("nodeHost", &host.to_string(), "--host");
        }
        if let Some(port) = self.port {
            overrides.set("nodePort", &port.to_string(), "--port");
        }
        overrides
    }
}

/// Chooses who encrypts what nodes and hubs say to each other. A second call changes nothing.
pub(crate) fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
