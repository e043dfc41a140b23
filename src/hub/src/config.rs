//! The hub's configuration.

mod older;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use hyper::header::HeaderValue;
use tnv_client::Options;
use tnv_common::config::{Settings, WrittenPath};
use tnv_common::database::DatabaseConfig;
use tnv_common::limits::read_rate_limit;
use tnv_proto::{AppId, UserId};
use tnv_web::Limits;

use crate::access::{Cidr, Secret};
use crate::registry::{NodeId, Policy, WEIGHTS};

/// Connections to each server that are kept while nobody uses them.
const MAX_IDLE: usize = 64;

/// Everything that can be set. etc/hub.toml has one comment for each key.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where to listen for HTTP.
    pub listen: SocketAddr,
    /// Where clients reach the hub, such as `http://hub.example.org`; empty: as each request came.
    pub base_url: String,
    /// The cluster's trackers, `host:port` each, at least one.
    pub trackers: Vec<String>,
    /// The app that meetings' files belong to.
    pub app: AppId,
    /// A meeting's files belong to the user of this text and its id.
    pub user_prefix: String,
    /// Where meetings are kept.
    pub database: DatabaseConfig,
    /// Where uploads wait whose length is not known before their end.
    pub upload_dir: WrittenPath,
    /// What nodes show; `None`: nothing.
    pub api_key: Option<Secret>,
    /// Where nodes come from; empty: anywhere.
    pub allowed_nodes: Vec<Cidr>,
    /// What operators show; `None`: they are on this machine.
    pub admin_password: Option<Secret>,
    /// The origins whose pages may ask with scripts; `*` = all, empty = none but the hub's own.
    pub cors_origins: Vec<String>,
    /// The names under which pages may use the hub over plain http, beside those that nobody can own; `*` = any.
    pub hosts: Vec<String>,
    /// The largest file that may be uploaded here, in bytes; a storage may take less.
    pub max_upload_size: u64,
    /// Files that a meeting has at most.
    pub max_files: u32,
    /// How long the bytes of a file stay that was replaced or deleted: packages with it may be on their way.
    pub grace: Duration,
    /// Memory for what is known of packages, in bytes.
    pub packages_size: u64,
    /// Memory for the hashes in Metalinks, in bytes; 0 = none, and a package is read each time.
    pub metalinks_size: u64,
    /// Nodes at most.
    pub max_nodes: usize,
    /// How nodes are chosen.
    pub policy: Policy,
    /// How often nodes are asked how they are.
    pub probe_interval: Duration,
    /// How long they may take to answer.
    pub probe_timeout: Duration,
    /// Memory for the bytes of all downloads that the hub serves itself, 320 KiB each, in bytes.
    pub send_memory: u64,
    /// Downloads that the hub serves itself at a time for clients whose only node has just failed them.
    pub max_fallbacks: u32,
    /// A request for more ranges than this, counted after merging, gets the whole. 1 to 100.
    pub max_ranges: usize,
    /// Connections open at once, and requests under way; one more is told 503. 1 to 1,000,000.
    pub max_connections: usize,
    /// And from one client, which is told 429; 0 = no limit of its own.
    pub max_connections_per_client: usize,
    /// Bytes a second that all connections of one client may move, in both directions together; 0 = no limit.
    pub rate_limit: u64,
    /// Until a request's header is complete, counted from the connection's start or the answer before it.
    pub header_timeout: Duration,
    /// How long a client may take nothing of an answer, and a storage give nothing of a file.
    pub progress_timeout: Duration,
    /// After SIGTERM, how long running answers may go on.
    pub drain_timeout: Duration,
    /// Until a connection to a tracker or storage stands.
    pub connect_timeout: Duration,
    /// Until a tracker or storage begins its reply.
    pub reply_timeout: Duration,
    /// How long it is relied on what a tracker said of where a meeting's files are; zero = not at all.
    pub locate_ttl: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config::read(&mut Settings::built_in("hub"))
    }
}

impl Config {
    /// Reads the keys, each with its default. Mistakes are left in `settings`.
    pub fn read(settings: &mut Settings) -> Config {
        older::apply(settings);
        let seconds = Duration::from_secs;
        let timeouts = Duration::from_millis(10)..=seconds(7 * 24 * 3600);
        let day = seconds(24 * 3600);
        Config {
            listen: older::listen(settings, SocketAddr::from((Ipv4Addr::LOCALHOST, 8000))),
            base_url: read_base_url(settings),
            trackers: read_trackers(settings),
            app: settings.parse("app", app()),
            user_prefix: read_user_prefix(settings),
            database: DatabaseConfig::read(settings),
            upload_dir: settings.path("upload_dir", "data/uploads"),
            api_key: read_secret(settings, "api_key", "api_key_file"),
            allowed_nodes: settings.list("allowed_nodes", Vec::new()),
            admin_password: read_secret(settings, "admin_password", "admin_password_file"),
            cors_origins: read_origins(settings),
            hosts: read_hosts(settings),
            max_upload_size: settings.size("max_upload_size", i64::MAX as u64, 0..=i64::MAX as u64),
            max_files: settings.number("max_files", 10_000, 1..=1_000_000),
            grace: settings.duration("grace", day, Duration::ZERO..=365 * day),
            packages_size: settings.size("packages_size", 16 * 1024 * 1024, 0..=1 << 40),
            metalinks_size: settings.size("metalinks_size", 4 * 1024 * 1024, 0..=1 << 40),
            max_nodes: settings.number("max_nodes", 1000, 1..=100_000),
            policy: read_policy(settings),
            probe_interval: settings.duration("probe_interval", seconds(10), timeouts.clone()),
            probe_timeout: settings.duration("probe_timeout", seconds(2), timeouts.clone()),
            send_memory: settings.size("send_memory", 16 * 1024 * 1024, 320 * 1024..=1 << 40),
            max_fallbacks: settings.number("max_fallbacks", 64, 0..=1_000_000),
            max_ranges: settings.number("max_ranges", 8, 1..=100),
            max_connections: settings.number("max_connections", 4096, 1..=1_000_000),
            max_connections_per_client: settings.number("max_connections_per_client", 0, 0..=1_000_000),
            rate_limit: read_rate_limit(settings),
            header_timeout: settings.duration("header_timeout", seconds(30), timeouts.clone()),
            progress_timeout: settings.duration("progress_timeout", seconds(60), timeouts.clone()),
            drain_timeout: settings.duration("drain_timeout", seconds(30), Duration::ZERO..=day),
            connect_timeout: settings.duration("connect_timeout", seconds(3), timeouts.clone()),
            reply_timeout: settings.duration("reply_timeout", seconds(30), timeouts),
            locate_ttl: settings.duration("locate_ttl", seconds(2), Duration::ZERO..=seconds(3600)),
        }
    }

    /// How much the hub, and one client of it, may take.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_connections: self.max_connections,
            max_connections_per_client: self.max_connections_per_client,
            rate_limit: self.rate_limit,
            header_timeout: self.header_timeout,
            progress_timeout: self.progress_timeout,
            drain_timeout: self.drain_timeout,
        }
    }

    /// How the hub talks to the cluster.
    pub(crate) fn upstream(&self) -> Options {
        Options {
            connect_timeout: self.connect_timeout,
            reply_timeout: self.reply_timeout,
            progress_timeout: self.progress_timeout,
            // A request here asks for one thing at a time there; a lower limit would let slow clients starve others.
            max_per_server: self.max_connections,
            max_idle_per_server: MAX_IDLE,
            locate_ttl: self.locate_ttl,
            ..Options::default()
        }
    }

    /// Whose files a meeting's are. Each meeting is a user of its own: the cluster spreads users over its groups, and
    /// keeps what belongs together together.
    pub(crate) fn owner(&self, meeting: &str) -> Result<UserId, tnv_proto::Malformed> {
        UserId::new(&format!("{}{meeting}", self.user_prefix))
    }
}

fn app() -> AppId {
    // The compiler cannot see that this is one.
    AppId::new("tnvideo").unwrap_or_else(|_| unreachable!("seven letters are an app"))
}

fn read_policy(settings: &mut Settings) -> Policy {
    let seconds = Duration::from_secs;
    let day = seconds(24 * 3600);
    let weights: Vec<Named<f64>> = settings.list("weights", Vec::new());
    let regions: Vec<Named<String>> = settings.list("regions", Vec::new());
    let mut policy = Policy {
        heartbeat_timeout: settings.duration("heartbeat_timeout", seconds(60), seconds(1)..=day),
        pull_through: settings.flag("pull_through", false),
        affinity: settings.flag("affinity", false),
        return_window: settings.duration("return_window", seconds(10), Duration::ZERO..=seconds(3600)),
        weights: HashMap::new(),
        regions: Vec::new(),
    };
    for Named { name, value } in weights {
        match NodeId::new(&name) {
            Ok(id) if WEIGHTS.contains(&value) => {
                policy.weights.insert(id, value);
            }
            Ok(_) => settings.problem("weights", format!("the weight of {name:?} is not 0.001 to 1000")),
            Err(error) => settings.problem("weights", format!("{name:?}: {error}")),
        }
    }
    for Named { name, value } in regions {
        match name.parse() {
            Ok(network) => policy.regions.push((network, value)),
            Err(error) => settings.problem("regions", format!("{name:?}: {error}")),
        }
    }
    policy
}

/// `NAME=VALUE` in a list.
struct Named<T> {
    name: String,
    value: T,
}

impl<T: FromStr> FromStr for Named<T> {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (name, value) = text.rsplit_once('=').ok_or("write NAME=VALUE")?;
        let value = value.trim().parse().map_err(|_| "the part behind = is no value")?;
        Ok(Named { name: name.trim().to_owned(), value })
    }
}

fn read_trackers(settings: &mut Settings) -> Vec<String> {
    let written: Vec<String> = settings.list("trackers", vec!["127.0.0.1:21000".to_owned()]);
    match tnv_client::parse_addresses(&written.join(";")) {
        Ok(trackers) => trackers,
        Err(error) => {
            settings.problem("trackers", error);
            Vec::new()
        }
    }
}

fn read_origins(settings: &mut Settings) -> Vec<String> {
    let origins: Vec<String> = settings.list("cors_origins", Vec::new());
    for origin in &origins {
        let is_origin =
            origin.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains('/'));
        if origin != "*" && (!is_origin || HeaderValue::from_str(origin).is_err()) {
            settings.problem(
                "cors_origins",
                format!("\"{origin}\" is no origin; write https://example.org, or *"),
            );
        }
    }
    origins
}

fn read_hosts(settings: &mut Settings) -> Vec<String> {
    let hosts: Vec<String> = settings.list("hosts", Vec::new());
    for host in &hosts {
        let is_name = !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        if host != "*" && !is_name {
            let text = format!("\"{host}\" is no host name; write media.example.org without a port, or *");
            settings.problem("hosts", text);
        }
    }
    hosts
}

/// With the longest id of a meeting behind it, it has to be a user's name.
fn read_user_prefix(settings: &mut Settings) -> String {
    let prefix = settings.text("user_prefix", "meeting-");
    let longest = format!("{prefix}{}", "x".repeat(tnv_package::MeetingId::MAX_LEN));
    if let Err(error) = UserId::new(&longest) {
        settings.problem("user_prefix", format!("with a meeting's id behind it, it is no user: {error}"));
    }
    prefix
}

fn read_base_url(settings: &mut Settings) -> String {
    let url = settings.text("base_url", "");
    let url = url.trim_end_matches('/');
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let visible = url.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'"'));
    if !url.is_empty() && (!visible || rest.is_none_or(str::is_empty)) {
        settings.problem("base_url", "write a URL such as http://hub.example.org, without a query");
    }
    url.to_owned()
}

/// From the key itself, which is meant for the environment, or from a file, which wins.
fn read_secret(settings: &mut Settings, key: &str, file_key: &str) -> Option<Secret> {
    let secret = settings.text(key, "");
    let Some(file) = settings.optional_path(file_key) else { return Secret::new(&secret) };
    match std::fs::read_to_string(&file.resolved) {
        Ok(text) => Secret::new(text.trim_end_matches(['\r', '\n'])),
        Err(error) => {
            settings.problem(file_key, format!("cannot read {}: {error}", file.resolved.display()));
            None
        }
    }
}

#[cfg(test)]
mod tests;
