//! The node itself: what its loops and its answers share.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use serde_json::{Map, Value};
use tnv_common::clock::unix_millis;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::config::{self, ChangeError, Config, ConfigFile};
use crate::health::{self, Gauge};
use crate::hub::{HeldPackage, Presence};
use crate::metrics::NodeMetrics;
use crate::pulls::Pulls;
use crate::store::{Store, StoreError};
use crate::supply::Supply;

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] tnv_common::server::BindError),
    /// The socket cannot be used.
    #[error("cannot use the listening socket: {0}")]
    Socket(#[from] std::io::Error),
    /// The storage folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no way to ask the hub.
    #[error("cannot prepare requests to the hub: {0}")]
    Hub(String),
}

/// Whether the service runs. Without it the node is there, but has nothing to do with hub and clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Running,
    Stopped,
    /// The process ends.
    Ending,
}

/// What the hub last made of this node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// The id that it has there, if it is registered.
    pub(crate) registered: Option<String>,
    /// Where clients are told to come.
    pub(crate) address: Option<String>,
    /// Why the last word did not get through.
    pub(crate) error: Option<String>,
    /// The hub does not take this node's key.
    pub(crate) refused: bool,
    /// When the hub last answered, in milliseconds since 1970.
    pub(crate) heard_ms: Option<i64>,
}

/// What came of the last look at the hub's meetings.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastSync {
    /// When the list last came whole, in milliseconds since 1970.
    pub(crate) at_ms: Option<i64>,
    /// The meetings that run.
    pub(crate) active: Vec<String>,
    /// Why the list has not come since.
    pub(crate) error: Option<String>,
}

/// What a change of the configuration has led to.
#[derive(Debug)]
pub(crate) struct Changed {
    /// Keys whose values count from the next start on.
    pub(crate) at_next_start: Vec<&'static str>,
    pub(crate) warnings: Vec<String>,
}

/// Why there is no change.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotChanged {
    #[error(transparent)]
    Config(#[from] ChangeError),
    /// The storage folder that it names cannot be used.
    #[error("storage.path: {0}")]
    Store(#[from] StoreError),
}

/// What everything here shares.
pub(crate) struct Node {
    pub(crate) supply: Arc<Supply>,
    pub(crate) local_addr: SocketAddr,
    pub(crate) started: Instant,
    pub(crate) gauge: Gauge,
    /// Answers with bytes of packages that are on their way to clients.
    pub(crate) downloads: AtomicUsize,
    /// Bytes of packages that went out so far.
    pub(crate) sent: AtomicU64,
    pub(crate) tasks: TaskTracker,
    /// Where pulls run.
    runtime: Handle,
    /// When the rate was asked for last, and what had gone out by then.
    last_rate: Mutex<(Instant, u64)>,
    standing: watch::Sender<Standing>,
    last_sync: Mutex<LastSync>,
    pulls: RwLock<Arc<Pulls>>,
    service: watch::Sender<Service>,
    /// Grows with every change of the configuration.
    changes: watch::Sender<u64>,
    /// One change at a time.
    changing: Mutex<()>,
}

impl Node {
    /// Opens the storage. Blocks. What the node does by itself runs on the current runtime.
    ///
    /// # Errors
    /// [`StartError`].
    pub(crate) fn open(config: ConfigFile, local_addr: SocketAddr) -> Result<Arc<Node>, StartError> {
        let store = Store::open(config::resolve(&config.folder(), &config.config().storage.path))?;
        let supply = Supply::new(config).map_err(|error| StartError::Hub(error.to_string()))?;
        let (supply, tasks) = (Arc::new(supply), TaskTracker::new());
        let runtime = Handle::current();
        let pulls = Pulls::new(Arc::new(store), supply.clone(), tasks.clone(), runtime.clone());
        Ok(Arc::new(Node {
            supply,
            local_addr,
            started: Instant::now(),
            gauge: Gauge::default(),
            downloads: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            tasks,
            runtime,
            last_rate: Mutex::new((Instant::now(), 0)),
            standing: watch::Sender::default(),
            last_sync: Mutex::default(),
            pulls: RwLock::new(pulls),
            service: watch::Sender::new(Service::Running),
            changes: watch::Sender::new(0),
            changing: Mutex::new(()),
        }))
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        self.supply.config()
    }

    /// The packages, and those on their way.
    pub(crate) fn pulls(&self) -> Arc<Pulls> {
        self.pulls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn service(&self) -> Service {
        *self.service.borrow()
    }

    /// To be told of starts and stops.
    pub(crate) fn watch_service(&self) -> watch::Receiver<Service> {
        self.service.subscribe()
    }

    /// To be told of changes of the configuration.
    pub(crate) fn watch_changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Starts or stops the service; nothing starts it again once the process ends.
    pub(crate) fn set_service(&self, wanted: Service) {
        let changed = self.service.send_if_modified(|service| {
            let changes = *service != wanted && *service != Service::Ending;
            if changes {
                *service = wanted;
            }
            changes
        });
        if changed && wanted != Service::Running {
            self.supply.cancel_pulls();
        }
    }

    /// Changes the configuration, and goes by it. Blocks.
    ///
    /// # Errors
    /// [`NotChanged`], with everything as it was.
    pub(crate) fn change(&self, changes: Map<String, Value>) -> Result<Changed, NotChanged> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let file = &self.supply.file;
        // A folder that cannot be used is found out before anything is written.
        let root = config::resolve(&file.folder(), &file.preview(&changes)?.storage.path);
        let moved = (root != self.pulls().store.root()).then(|| Store::open(root)).transpose()?;
        let applied = file.change(changes)?;
        if let Err(error) = self.supply.renew() {
            // It worked with the same means when the node started.
            tracing::error!(%error, "配置更新后无法准备对主控服务器的请求");
        }
        if let Some(store) = moved {
            tracing::warn!(path = %store.root().display(), "存储路径已更改，会议包将重新同步；旧目录保持不变");
            let (tasks, runtime) = (self.tasks.clone(), self.runtime.clone());
            let pulls = Pulls::new(Arc::new(store), self.supply.clone(), tasks, runtime);
            *self.pulls.write().unwrap_or_else(PoisonError::into_inner) = pulls;
            self.supply.cancel_pulls();
        }
        let (before, now) = (&applied.before, &applied.now);
        if before.logging.level != now.logging.level
            && let Err(error) = tnv_common::telemetry::set_level(&now.logging.level)
        {
            tracing::debug!(%error, "the log's level stays");
        }
        self.changes.send_modify(|number| *number += 1);
        Ok(Changed { at_next_start: at_next_start(before, now), warnings: applied.warnings })
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Waits until the hub knows this node.
    pub(crate) async fn registered(&self) {
        let mut standing = self.standing.subscribe();
        // The sender is in `self`.
        let _ = standing.wait_for(|standing| standing.registered.is_some()).await;
    }

    pub(crate) fn last_sync(&self) -> MutexGuard<'_, LastSync> {
        self.last_sync.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the hub is told.
    pub(crate) fn presence(&self, host: &str, status: &'static str) -> Presence {
        let config = self.config();
        let pulls = self.pulls();
        let packages = pulls.store.all();
        let used = packages.iter().map(|(_, package)| package.layout.len()).sum::<u64>();
        NodeMetrics::global().holds(&config.node_id, packages.len(), used);
        let port = self.public_port(&config);
        let bare = host.trim_matches(['[', ']']);
        Presence {
            node_id: config.node_id.clone(),
            address: address(bare, port),
            id: config.node_id.clone(),
            ip: bare.to_owned(),
            port,
            status,
            health: health::score(self.gauge.look()),
            storage_capacity: self.capacity(&config, used),
            storage_used: used,
            weight: config.weight,
            region: config.region.clone(),
            downloads: self.downloads.load(Ordering::Relaxed),
            rate: self.rate(),
            packages: packages
                .into_iter()
                .map(|(id, package)| HeldPackage {
                    version: package.version().to_string(),
                    size: package.layout.len(),
                    id,
                })
                .collect(),
            software: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Bytes of packages that went out in a second, since this was asked last.
    fn rate(&self) -> u64 {
        let (now, sent) = (Instant::now(), self.sent.load(Ordering::Relaxed));
        let mut last = self.last_rate.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, before) = std::mem::replace(&mut *last, (now, sent));
        let seconds = now.saturating_duration_since(since).as_secs_f64().max(0.001);
        ((sent - before) as f64 / seconds) as u64
    }

    /// Bytes that packages may take: what is configured, or what the disk has if that is less.
    pub(crate) fn capacity(&self, config: &Config, used: u64) -> u64 {
        let disk = health::disk(self.pulls().store.root());
        if disk.total == 0 {
            return config.storage.max_size;
        }
        config.storage.max_size.min(disk.free.saturating_add(used))
    }

    /// The port that clients are told.
    pub(crate) fn public_port(&self, config: &Config) -> u16 {
        config.public.port.filter(|_| config.public.used).unwrap_or(self.local_addr.port())
    }

    /// The host that clients are told: what is configured, else the address that this machine has on its way to the hub.
    pub(crate) async fn public_host(&self) -> std::io::Result<String> {
        let config = self.config();
        if config.public.used
            && let Some(host) = &config.public.ip
        {
            return Ok(host.clone());
        }
        if !self.local_addr.ip().is_unspecified() {
            return Ok(self.local_addr.ip().to_string());
        }
        let hub = self.supply.hub().target();
        own_address(&hub).await.map(|address| address.to_string())
    }

    /// Notes what the hub has answered, or why it has not.
    pub(crate) fn heard(&self, note: impl FnOnce(&mut Standing)) {
        self.standing.send_modify(|standing| {
            note(standing);
            if standing.error.is_none() {
                standing.heard_ms = Some(unix_millis());
                standing.refused = false;
            }
        });
    }
}

/// Which address a packet to the hub would come from. None is sent.
async fn own_address(hub: &(String, u16)) -> std::io::Result<IpAddr> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the hub's name has no address");
    for target in tokio::net::lookup_host((hub.0.as_str(), hub.1)).await? {
        let any: SocketAddr =
            if target.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
        let socket = tokio::net::UdpSocket::bind(any).await?;
        match socket.connect(target).await {
            Ok(()) => return Ok(socket.local_addr()?.ip()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Host and port as in a URL.
pub(crate) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Keys that were changed and count from the next start on.
fn at_next_start(before: &Config, now: &Config) -> Vec<&'static str> {
    let (old, new) = (&before.logging, &now.logging);
    let compared = [
        ("nodeHost", before.node_host != now.node_host),
        ("nodePort", before.node_port != now.node_port),
        ("logging.fileEnabled", old.file_enabled != new.file_enabled),
        ("logging.filePath", old.file_path != new.file_path),
        ("logging.maxFileSize", old.max_file_size != new.max_file_size),
        ("logging.backupCount", old.backup_count != new.backup_count),
        ("limits", before.limits != now.limits),
        ("hosts", before.hosts != now.hosts),
    ];
    compared.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_way_to_the_hub_tells_the_own_address() {
        assert_eq!(own_address(&("127.0.0.1".to_owned(), 9)).await.unwrap().to_string(), "127.0.0.1");
    }

    #[test]
    fn addresses_are_written_as_in_urls() {
        assert_eq!((address("a.b", 1), address("::1", 2)), ("a.b:1".to_owned(), "[::1]:2".to_owned()));
    }

    #[test]
    fn only_what_was_changed_waits_for_the_next_start() {
        let before = Config::default();
        assert!(at_next_start(&before, &before).is_empty());
        let mut now = Config { node_port: 9, ..before.clone() };
        now.logging.level = "debug".to_owned();
        now.logging.backup_count = 9;
        assert_eq!(at_next_start(&before, &now), ["nodePort", "logging.backupCount"]);
    }
}
