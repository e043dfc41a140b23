//! `tnv up`: tracker, id server, storage and gateway in one process, on the embedded database; a hub and its nodes as
//! well, if asked for.

mod edge;
mod group;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use edge::{Edge, EdgeArgs};
use tnv_client::{Client, Options, Source};
use tnv_common::config::{Settings, Sources};
use tnv_common::telemetry::{self, LogConfig};
use tnv_proto::{ErrorCode, FileId, FileKey, Labels};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::node::install_tls;
use crate::role::{Config, Server, bind_error, reactors, runtime, say, stop_signal};

/// How long the storage may take to become active.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks whether it is.
const READY_POLL: Duration = Duration::from_millis(10);
/// The clip for `--demo`, made by scripts/sample-clip.
const SAMPLE: &[u8] = include_bytes!("../../../data/sample.mp4");
const SAMPLE_ID: &str = "sample";

/// Options of `tnv up`.
#[derive(Debug, Clone, Args)]
pub(crate) struct UpArgs {
    /// Folder for files and database
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Where the tracker listens; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:21000")]
    tracker: SocketAddr,
    /// Where the id server listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:22000")]
    id: SocketAddr,
    /// Where the storage listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:23000")]
    storage: SocketAddr,
    /// Run so many storages, from that port on, each with a copy of every file
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    storages: u16,
    /// Answer an upload when so many storages have the file, durable
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    ack_copies: u16,
    /// Where the gateway listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    #[command(flatten)]
    edge: EdgeArgs,
    /// Keep groups, numbers and rows there instead of in the folder: mysql://USER:PASSWORD@HOST:PORT/; may be repeated
    /// for servers that hold the same rows
    #[arg(long, value_name = "URL")]
    database: Vec<String>,
    /// Cache there instead of in memory: redis://HOST:PORT, redis+sentinel://... or redis+cluster://...; may be
    /// repeated for more sentinels or nodes
    #[arg(long, value_name = "URL")]
    cache: Vec<String>,
    /// Upload a sample clip and print the commands to watch it; with a hub, make a meeting with it
    #[arg(long)]
    demo: bool,
    /// Set one key of one server, such as tracker.check_interval=1s; may be repeated
    #[arg(long, value_name = "ROLE.KEY=VALUE")]
    set: Vec<String>,
}

impl Default for UpArgs {
    fn default() -> Self {
        /// Only there to fill in the defaults above.
        #[derive(clap::Parser)]
        struct Bare {
            #[command(flatten)]
            args: UpArgs,
        }
        <Bare as clap::Parser>::parse_from(["tnv"]).args
    }
}

/// Runs all servers until told to stop.
pub(crate) fn run(args: &UpArgs) -> anyhow::Result<()> {
    let plan = Plan::read(args)?;
    let _log = telemetry::init(&plan.log).context("cannot start logging")?;
    let _reactors = reactors()?;
    install_tls();
    runtime()?.block_on(serve(args, plan))
}

/// What each server is told, as far as it is known before the first one listens.
struct Plan {
    log: LogConfig,
    tracker: tnv_tracker::Config,
    id: tnv_id::Config,
    storage: tnv_storage::Config,
    http: tnv_http::Config,
    hub: Option<tnv_hub::Config>,
}

impl Plan {
    fn read(args: &UpArgs) -> anyhow::Result<Plan> {
        let mut up = args.settings("up")?;
        let (mut tracker, mut id) = (args.settings("tracker")?, args.settings("id")?);
        let (mut storage, mut http) = (args.settings("storage")?, args.settings("http")?);
        let mut hub = args.settings("hub")?;
        let file = format!("sqlite:{}", text(&args.data.join("tnv.db"))?);
        let servers: Vec<&str> = args.database.iter().map(String::as_str).collect();
        for settings in [&mut tracker, &mut id, &mut storage, &mut hub] {
            match servers[..] {
                [] => settings.set("database.url", &file, "--data"),
                [one] => settings.set("database.url", one, "--database"),
                _ => settings.set_list("database.urls", &servers, "--database"),
            }
        }
        if let Some(cache) = joined(&args.cache)? {
            for settings in [&mut tracker, &mut storage] {
                settings.set("cache.url", &cache, "--cache");
            }
        }
        storage.set_list("store_paths", &[text(&args.data.join("store"))?], "--data");
        tracker.set("listen", &args.tracker.to_string(), "--tracker");
        id.set("listen", &args.id.to_string(), "--id");
        storage.set("listen", &args.storage.to_string(), "--storage");
        if args.storages > 1 {
            storage.set("replication", "copies", "--storages");
            storage.set("ack_copies", &args.ack_copies.to_string(), "--ack-copies");
        }
        http.set("listen", &args.http.to_string(), "--http");
        let plan = Plan {
            log: LogConfig::read(&mut up),
            tracker: tnv_tracker::Config::read(&mut tracker),
            id: tnv_id::Config::read(&mut id),
            storage: tnv_storage::Config::read(&mut storage),
            http: tnv_http::Config::read(&mut http),
            hub: args.edge.plan(&mut hub, text(&args.data)?),
        };
        let mistakes: Vec<String> = [up, tracker, id, storage, http, hub]
            .into_iter()
            .filter_map(|settings| settings.finish().err())
            .map(|problems| problems.to_string())
            .collect();
        if args.ack_copies > args.storages {
            bail!("--ack-copies {0} needs at least --storages {0}", args.ack_copies);
        }
        if mistakes.is_empty() { Ok(plan) } else { bail!(mistakes.join("\n")) }
    }
}

impl UpArgs {
    /// A role's settings from the environment and `--set`; `tnv up` reads no config files.
    fn settings(&self, role: &'static str) -> anyhow::Result<Settings> {
        let mut overrides = Vec::new();
        for text in &self.set {
            let Some((name, value)) = text.split_once('=') else { bail!("--set: expected ROLE.KEY=VALUE") };
            let Some((of, key)) = name.split_once('.') else {
                bail!("--set {name}: expected ROLE.KEY=VALUE")
            };
            if !["up", "tracker", "id", "storage", "http", "hub"].contains(&of) {
                bail!("--set {name}: the roles are tracker, id, storage, http, hub and up");
            }
            if of == role {
                overrides.push((key.to_owned(), value.to_owned(), format!("--set {name}")));
            }
        }
        let environment = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        Ok(Settings::load(role, Sources { file: None, required: false, environment, overrides }))
    }
}

/// Several addresses of one kind as one, with all their hosts.
fn joined(urls: &[String]) -> anyhow::Result<Option<String>> {
    let Some((first, others)) = urls.split_first() else { return Ok(None) };
    let mut joined = first.clone();
    for other in others {
        let (kind, hosts) = other.split_once("://").unwrap_or_default();
        if !kind.contains('+') || !first.starts_with(&format!("{kind}://")) {
            bail!(
                "--cache: several are sentinels or nodes of one cluster: redis+sentinel:// or redis+cluster://"
            );
        }
        // Behind the hosts of the first, in front of the name of a sentinel's service.
        let hosts = hosts.rsplit('@').next().unwrap_or(hosts);
        let hosts = hosts.split('/').next().unwrap_or(hosts);
        let start = joined.find("://").map_or(0, |at| at + 3);
        let at = joined[start..].find('/').map_or(joined.len(), |at| start + at);
        joined.insert_str(at, &format!(",{hosts}"));
    }
    Ok(Some(joined))
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("--data {}: the path is not UTF-8", path.display()))
}

/// A server that runs, and how to stop it.
struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Has a server run that listens.
    fn of(server: Server) -> Running {
        let (address, stop) = (server.local_addr(), CancellationToken::new());
        let task = tokio::spawn(server.run(stop.clone()));
        Running { address, stop, task }
    }
}

async fn start(config: Config, option: &str) -> anyhow::Result<Running> {
    match config.bind().await {
        Err(error) if is_taken(&error) => bail!("{error} with {option}; or is tnv running already?"),
        server => Ok(Running::of(server?)),
    }
}

fn is_taken(error: &anyhow::Error) -> bool {
    bind_error(error).is_some_and(|bind| bind.error.kind() == std::io::ErrorKind::AddrInUse)
}

async fn serve(args: &UpArgs, plan: Plan) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let data = std::path::absolute(&args.data).unwrap_or_else(|_| args.data.clone());
    tracing::info!(data = %data.display(), "all servers in one process");
    let Plan { tracker, id, mut storage, mut http, hub, .. } = plan;
    let tracker = start(Config::Tracker(tracker), "--tracker").await?;
    let id = start(Config::Id(id), "--id").await?;
    storage.trackers = vec![tracker.address.to_string()];
    storage.ids = vec![id.address.to_string()];
    let storages = group::start_storages(storage, args.storages, &args.data).await?;
    http.trackers = vec![tracker.address.to_string()];
    let sample = FileKey { app: http.app.clone(), user: http.user.clone(), file: FileId::new(SAMPLE_ID)? };
    let http = start(Config::Http(http), "--http").await?;

    let client = Client::new(vec![tracker.address.to_string()], Options::default());
    wait_until_active(&client, storages.len()).await?;
    let edge = Edge::start(&args.edge, hub, vec![tracker.address.to_string()], &args.data).await?;
    let storage = storages.iter().map(|server| ("storage", server));
    for (role, server) in
        [("tracker", &tracker), ("id", &id)].into_iter().chain(storage).chain([("http", &http)])
    {
        say(&format!("{role} {}", server.address))?;
    }
    for (role, server) in edge.servers.iter().rev() {
        say(&format!("{role} {}", server.address))?;
    }
    let url = format!("http://{}", http.address);
    if args.demo {
        demo(&client, &sample, &url).await?;
        edge.demo().await?;
    }
    say(&format!("ready {url}"))?;

    stop.cancelled().await;
    // From the outside in: what the gateway still sends comes from the storage.
    let edge = edge.servers.into_iter().map(|(_, server)| server);
    for server in edge.chain([http]).chain(storages).chain([id, tracker]) {
        server.stop.cancel();
        server.task.await.context("a server broke")?;
    }
    Ok(())
}

/// Asks the tracker until so many storages are ACTIVE. It knows no other than ours yet, whatever address they advertise.
async fn wait_until_active(client: &Client, count: usize) -> anyhow::Result<()> {
    let ask = async {
        loop {
            let state = client.state().await?;
            let storages = state.groups.iter().flat_map(|group| &group.storages);
            if storages.filter(|storage| storage.status == "ACTIVE").count() >= count {
                return anyhow::Ok(());
            }
            tokio::time::sleep(READY_POLL).await;
        }
    };
    tokio::time::timeout(READY_TIMEOUT, ask).await.context("the storage did not become active in time")?
}

/// Uploads the sample clip, unless it is there, and says how to watch it.
async fn demo(client: &Client, sample: &FileKey, url: &str) -> anyhow::Result<()> {
    let labels = Labels::new("sample.mp4", "video/mp4")?;
    match client.store(sample, &labels, Source::Memory(Bytes::from_static(SAMPLE))).await {
        Ok(_) => {}
        Err(error) if error.code() == Some(ErrorCode::CONFLICT) => {}
        Err(error) => return Err(error).context("cannot upload the sample clip"),
    }
    let clip = format!("{url}/files/{SAMPLE_ID}");
    say(&format!("The sample clip is at {clip}; watch it in a browser, or with one of"))?;
    for line in [
        format!("  vlc {clip}"),
        format!("  ffplay {clip}"),
        format!("  mpv {clip}"),
        format!("  wget -c -O sample.mp4 {clip}"),
    ] {
        say(&line)?;
    }
    Ok(())
}
