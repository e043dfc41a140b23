//! The gateway's configuration.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hyper::header::HeaderValue;
use tnv_client::Options;
use tnv_common::cache::{CacheConfig, CacheKeys};
use tnv_common::config::Settings;
use tnv_common::limits::read_rate_limit;
use tnv_proto::{AppId, UserId};
use tnv_web::Limits;

/// Connections to each server that are kept while nobody uses them.
const MAX_IDLE: usize = 64;

/// Everything that can be set. etc/http.toml has one comment for each key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to listen for HTTP.
    pub listen: SocketAddr,
    /// The cluster's trackers, `host:port` each, at least one.
    pub trackers: Vec<String>,
    /// The app of files that are named by their id alone.
    pub app: AppId,
    /// The user of files that are named by their id alone.
    pub user: UserId,
    /// Whether files may be uploaded and deleted here.
    pub writing: bool,
    /// The largest file that may be uploaded here, in bytes; a storage may take less.
    pub max_upload_size: u64,
    /// The origins whose pages may read and change files with scripts; `*` = all, empty = none but the gateway's own.
    pub cors_origins: Vec<String>,
    /// The names under which pages may use this gateway over plain http, beside those that nobody can own; `*` = any.
    pub hosts: Vec<String>,
    /// Where it is kept what the page remembers of a visitor who allows it.
    pub sessions: CacheConfig,
    /// How long it is relied on what a tracker said of where a user's files are; zero = not at all.
    pub locate_ttl: Duration,
    /// How old what is known of a file may be in answers that ask no storage: HEAD, 304, 412, 416; zero = ask each time.
    pub attributes_ttl: Duration,
    /// Memory for what is known of files, in bytes; 0 = none, and each request asks for it.
    pub attributes_size: u64,
    /// Other gateways that have the same files, as `http://host:port`: they are named in Metalinks and Link headers.
    pub mirrors: Vec<String>,
    /// Memory for the hashes in Metalinks, in bytes; 0 = none, and a file is read each time.
    pub metalinks_size: u64,
    /// A request for more ranges than this, counted after merging, gets the whole file. 1 to 100.
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
}

impl Default for Config {
    fn default() -> Self {
        Config::read(&mut Settings::built_in("http"))
    }
}

impl Config {
    /// Reads the keys, each with its default. Mistakes are left in `settings`.
    pub fn read(settings: &mut Settings) -> Config {
        let seconds = Duration::from_secs;
        let timeouts = Duration::from_millis(10)..=seconds(7 * 24 * 3600);
        Config {
            listen: settings.parse("listen", SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            trackers: read_trackers(settings),
            app: read_id(settings, "app", "tnvideo"),
            user: read_id(settings, "user", "tnv001"),
            writing: settings.flag("writing", true),
            max_upload_size: settings.size("max_upload_size", i64::MAX as u64, 0..=i64::MAX as u64),
            cors_origins: read_origins(settings),
            hosts: read_hosts(settings),
            sessions: read_sessions(settings),
            locate_ttl: settings.duration("locate_ttl", seconds(2), Duration::ZERO..=seconds(3600)),
            attributes_ttl: settings.duration("attributes_ttl", seconds(1), Duration::ZERO..=seconds(3600)),
            attributes_size: settings.size("attributes_size", 8 * 1024 * 1024, 0..=1 << 40),
            mirrors: read_mirrors(settings),
            metalinks_size: settings.size("metalinks_size", 8 * 1024 * 1024, 0..=1 << 40),
            max_ranges: settings.number("max_ranges", 8, 1..=100),
            max_connections: settings.number("max_connections", 4096, 1..=1_000_000),
            max_connections_per_client: settings.number("max_connections_per_client", 0, 0..=1_000_000),
            rate_limit: read_rate_limit(settings),
            header_timeout: settings.duration("header_timeout", seconds(30), timeouts.clone()),
            progress_timeout: settings.duration("progress_timeout", seconds(60), timeouts.clone()),
            drain_timeout: settings.duration(
                "drain_timeout",
                seconds(30),
                Duration::ZERO..=seconds(24 * 3600),
            ),
            connect_timeout: settings.duration("connect_timeout", seconds(3), timeouts.clone()),
            reply_timeout: settings.duration("reply_timeout", seconds(30), timeouts),
        }
    }

    /// How much it, and one client of it, may take.
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

    /// How the gateway talks to the cluster.
    pub(crate) fn upstream(&self) -> Options {
        Options {
            connect_timeout: self.connect_timeout,
            reply_timeout: self.reply_timeout,
            progress_timeout: self.progress_timeout,
            // A request here asks for one thing at a time there; a lower limit would let slow clients starve others.
            max_per_server: self.max_connections,
            // Many small requests at once should find connections, and not open and close them in turn.
            max_idle_per_server: MAX_IDLE,
            locate_ttl: self.locate_ttl,
            ..Options::default()
        }
    }
}

/// The keys `sessions` and `session.*`.
fn read_sessions(settings: &mut Settings) -> CacheConfig {
    let day = Duration::from_secs(24 * 3600);
    let keys = CacheKeys {
        url: "sessions",
        table: "session",
        size: 16 * 1024 * 1024,
        ttl: day * 30,
        max_ttl: day * 365,
    };
    CacheConfig::read_keys(settings, &keys)
}

fn read_trackers(settings: &mut Settings) -> Vec<String> {
    let trackers: Vec<String> = settings.list("trackers", vec!["127.0.0.1:21000".to_owned()]);
    match tnv_client::parse_addresses(&trackers.join(";")) {
        Ok(trackers) => trackers,
        Err(mistake) => {
            settings.problem("trackers", mistake);
            trackers
        }
    }
}

fn read_id<T: std::str::FromStr<Err = tnv_proto::Malformed>>(
    settings: &mut Settings,
    key: &str,
    default: &'static str,
) -> T {
    let default = default.parse().expect("the defaults are letters and digits");
    settings.parse(key, default)
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

fn read_mirrors(settings: &mut Settings) -> Vec<String> {
    let mirrors: Vec<String> = settings.list("mirrors", Vec::new());
    for mirror in &mirrors {
        let host = mirror.strip_prefix("http://").or_else(|| mirror.strip_prefix("https://"));
        let is_url = host.is_some_and(|host| {
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"?#".contains(&byte))
        });
        if !is_url {
            settings.problem("mirrors", format!("\"{mirror}\" is no address; write http://10.0.0.2:8080"));
        }
    }
    mirrors
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tnv_common::config::Sources;

    use super::*;

    fn settings(overrides: &[(&str, &str)]) -> Settings {
        let overrides =
            overrides.iter().map(|(key, value)| ((*key).into(), (*value).into(), format!("--set {key}")));
        Settings::load("http", Sources { overrides: overrides.collect(), ..Sources::default() })
    }

    #[test]
    fn the_sample_file_says_the_defaults() {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../etc/http.toml"));
        let mut settings =
            Settings::load("http", Sources { file: Some(path), required: true, ..Sources::default() });
        assert_eq!(Config::read(&mut settings), Config::default());
        let log = tnv_common::telemetry::LogConfig::read(&mut settings);
        assert_eq!(log, tnv_common::telemetry::LogConfig::read(&mut Settings::built_in("http")));
        assert_eq!(settings.left_out_of_file(), Vec::<&str>::new());
        settings.finish().unwrap();
    }

    #[test]
    fn every_key_can_be_set() {
        let mut settings = settings(&[
            ("listen", "0.0.0.0:80"),
            ("trackers", "a:1;b:2,a:1"),
            ("app", "shop"),
            ("user", "user 1"),
            ("cors_origins", "[\"https://a.example\", \"http://localhost:3000\"]"),
            ("hosts", "media.example.org, nas.example.net"),
            ("writing", "false"),
            ("max_upload_size", "5GiB"),
            ("sessions", "memory:"),
            ("session.ttl", "1h"),
            ("session.size", "1MiB"),
            ("locate_ttl", "5s"),
            ("attributes_ttl", "0"),
            ("attributes_size", "1KiB"),
            ("mirrors", "http://10.0.0.2:8080, https://media.example.org/tnv/"),
            ("metalinks_size", "2KiB"),
            ("max_ranges", "1"),
            ("max_connections", "7"),
            ("max_connections_per_client", "3"),
            ("rate_limit", "1MiB"),
            ("header_timeout", "1s"),
            ("progress_timeout", "2s"),
            ("drain_timeout", "0"),
            ("connect_timeout", "3s"),
            ("reply_timeout", "4s"),
        ]);
        let config = Config::read(&mut settings);
        settings.finish().unwrap();
        assert_eq!(config.listen, "0.0.0.0:80".parse().unwrap());
        assert_eq!(config.trackers, ["a:1", "b:2"]);
        assert_eq!((config.app.as_str(), config.user.as_str()), ("shop", "user 1"));
        assert_eq!(config.cors_origins, ["https://a.example", "http://localhost:3000"]);
        assert_eq!(config.hosts, ["media.example.org", "nas.example.net"]);
        assert_eq!((config.writing, config.max_upload_size), (false, 5 << 30));
        let sessions = CacheConfig::Memory { ttl: Duration::from_secs(3600), size: 1 << 20 };
        assert_eq!(config.sessions, sessions);
        assert_eq!((config.max_ranges, config.max_connections), (1, 7));
        assert_eq!((config.locate_ttl, config.attributes_ttl), (Duration::from_secs(5), Duration::ZERO));
        assert_eq!((config.attributes_size, config.metalinks_size), (1024, 2048));
        assert_eq!(config.mirrors, ["http://10.0.0.2:8080", "https://media.example.org/tnv/"]);
        assert_eq!((config.max_connections_per_client, config.rate_limit), (3, 1 << 20));
        let timeouts = [
            config.header_timeout,
            config.progress_timeout,
            config.drain_timeout,
            config.connect_timeout,
            config.reply_timeout,
        ];
        assert_eq!(timeouts.map(|timeout| timeout.as_secs()), [1, 2, 0, 3, 4]);
    }

    #[test]
    fn mistakes_are_found() {
        for (key, value) in [
            ("trackers", "nowhere"),
            ("trackers", ""),
            ("app", "no-letters"),
            ("user", ""),
            ("cors_origins", "example.org"),
            ("cors_origins", "https://a.example/path"),
            ("hosts", "https://media.example.org"),
            ("hosts", "media.example.org:8080"),
            ("hosts", "*.example.org"),
            ("locate_ttl", "2h"),
            ("attributes_ttl", "-1s"),
            ("attributes_size", "much"),
            ("mirrors", "10.0.0.2:8080"),
            ("mirrors", "http://a/?b"),
            ("metalinks_size", "-1"),
            ("max_ranges", "0"),
            ("rate_limit", "1KiB"),
            ("writing", "maybe"),
            ("max_upload_size", "-1"),
            ("sessions", "redis"),
            ("sessions", "redis+sentinel://a:1"),
            ("session.prefix", "a b"),
            ("session.timeout", "0"),
            ("session.connect_timeout", "0"),
            ("session.password_file", "/no/such/file"),
            ("session.ttl", "0"),
            ("listen", "8080"),
        ] {
            let mut settings = settings(&[(key, value)]);
            Config::read(&mut settings);
            let problems = settings.finish().expect_err(key).to_string();
            assert!(problems.contains(key), "{key}={value}: {problems}");
        }
    }
}
