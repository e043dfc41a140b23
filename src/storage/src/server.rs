//! A storage from its start to its stop.

use std::net::SocketAddr;
use std::sync::Arc;

use tnv_client::{IdClient, Options};
use tnv_common::admin::Admin;
use tnv_common::background::Background;
use tnv_common::cache::CacheConfig;
use tnv_common::database::DbError;
use tnv_common::server::{Admission, BindError, bind, serve};
use tnv_common::sqlite::CommitPolicy;
use tnv_common::{clock, host};
use tnv_proto::state::{Load, StorageReport};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::buffer::Budget;
use crate::busy::Busy;
use crate::catalog::{self, Catalog, MemberState, Membership, SCHEMA, StorageRow};
use crate::config::{Config, Replication, SyncPolicy};
use crate::copier::{Orders, Rate, copy_all, watch_backlog};
use crate::files::Files;
use crate::fill::fill;
use crate::heartbeat::{Presence, beat};
use crate::held::Held;
use crate::intake::Intake;
use crate::load::Counters;
use crate::numbers::Numbers;
use crate::parts::expire;
use crate::peers::Peers;
use crate::rows::RowCache;
use crate::scrub::{Scrub, scrub};
use crate::service::StorageService;
use crate::settle::{SettleError, settle_others, settle_uploads, sweep};
use crate::space::measure;
use crate::standing::Standing;
use crate::verified::Verified;
use crate::volume::{Candidate, StorePath, VolumeError};

/// Why a storage does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// Its store paths.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// What an earlier process left unfinished.
    #[error(transparent)]
    Settle(#[from] SettleError),
    /// The marks name a storage that the catalog has never seen.
    #[error(
        "store path {path} belongs to storage {storage}, which the catalog does not know; check database.url, or move \
         the mark .tnv-storage away to begin anew"
    )]
    UnknownStorage {
        /// The first store path.
        path: String,
        /// The identity in its mark.
        storage: String,
    },
    /// The storage was removed from its group.
    #[error(
        "store path {path} belongs to storage {storage}, which was removed from its group, and its files with it; empty \
         the store paths to begin anew"
    )]
    Removed {
        /// The first store path.
        path: String,
        /// The identity in its mark.
        storage: String,
    },
    /// Its threads.
    #[error("cannot start threads: {0}; see the limits of the system (ulimit -u)")]
    Threads(#[source] std::io::Error),
    /// The process is going down.
    #[error("interrupted")]
    Interrupted,
}

/// A storage that listens but does not serve yet.
pub struct Storage {
    config: Config,
    listener: TcpListener,
    admin: Admin,
    address: SocketAddr,
    service: Arc<StorageService>,
    catalog: Arc<dyn Catalog>,
}

impl Storage {
    /// Opens socket, database and store paths, and settles what an earlier process left unfinished.
    ///
    /// # Errors
    /// [`StartError`] with a sentence for people.
    pub async fn bind(config: Config) -> Result<Storage, StartError> {
        let listener = bind(config.listen)?;
        let admin = Admin::bind(config.admin_listen)?;
        let address = listener.local_addr().unwrap_or(config.listen);
        let inspected = config.clone();
        let candidate =
            spawn_blocking(move || inspect(&inspected)).await.map_err(|_| StartError::Interrupted)??;
        let policy = match config.writing.sync {
            SyncPolicy::None => CommitPolicy::Relaxed,
            SyncPolicy::Always | SyncPolicy::Group => CommitPolicy::Durable,
        };
        let membership = Membership {
            storage: candidate.owner().storage.clone(),
            group: config.group.to_string(),
            replicates: config.replication == Replication::Copies,
        };
        let catalog = catalog::open(config.database.open_with(&SCHEMA, policy).await?, membership);
        // The catalog must know the storage before a mark says so: a crash in between would look like a wrong catalog.
        let state = introduce(&candidate, &*catalog, &config, address).await?;
        let (reserved_space, used) = (config.reserved_space, catalog.last_path_index().await?);
        let candidate = candidate.written(config.writing);
        let volume = spawn_blocking(move || candidate.open(reserved_space, used))
            .await
            .map_err(|_| StartError::Interrupted)??;
        let volume = Arc::new(volume);
        settle_uploads(&volume, &*catalog).await?;
        let ids = IdClient::new(config.ids.clone(), Options::default());
        let cache = RowCache::open(&cache_of(&config), &volume.owner().storage);
        let files = Arc::new(Files::new(catalog.clone(), cache));
        let commits = TaskTracker::new();
        let intake = |path: &Arc<StorePath>| {
            let intake = Intake::new(path.clone(), files.clone(), config.group.to_string(), commits.clone());
            (path.index(), intake)
        };
        let replicates = config.replication == Replication::Copies;
        let background = replicates.then(|| Background::start(config.copy_niceness)).transpose();
        let standing = Arc::new(Standing::new(state));
        let own = volume.owner().storage.clone();
        let peers = Peers::new(catalog.clone(), own, standing.clone(), &config.trackers);
        let service = Arc::new(StorageService {
            replicates,
            scrub: Scrub::new(config.scrub.days, config.scrub.rate),
            verified: Verified::new(config.verify_reads),
            making_sums: Arc::new(Semaphore::new(1)),
            background: background.map_err(StartError::Threads)?,
            peers: Arc::new(peers),
            standing,
            ack: config.ack,
            held: Arc::new(Held::default()),
            orders: Arc::new(Orders::default()),
            row_lease: config.row_lease,
            fill_rate: Rate::new(config.fill_rate),
            intakes: volume.paths().iter().map(intake).collect(),
            group: config.group.clone(),
            max_file_size: config.max_file_size,
            numbers: Numbers::new(ids, config.id_lease, volume.paths().iter().map(|path| &**path)),
            files,
            buffers: Budget::new(config.buffer_memory),
            send_mode: config.send_mode,
            counters: Arc::new(Counters::default()),
            leftovers: Arc::new(Notify::new()),
            commits,
            busy: Busy::default(),
            part_expiry: config.part_expiry,
            volume,
        });
        Ok(Storage { config, listener, admin, address, service, catalog })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let Storage { config, listener, admin, address, service, catalog } = self;
        let storage = service.volume.owner().storage.clone();
        tracing::info!(%address, group = %config.group, storage, "the storage listens");
        if service.volume.space().1 == 0 {
            let reserved_space = config.reserved_space;
            tracing::warn!(
                reserved_space,
                "no store path has room above its reserved space: uploads are refused"
            );
        }
        let admission = Admission::new(config.limits.max_connections);
        let tasks = TaskTracker::new();
        tasks.spawn(admin.run(shutdown.clone()));
        let presence = Arc::new(presence(&config, address, &service, admission.clone()));
        for tracker in &config.trackers {
            tasks.spawn(beat(tracker.clone(), presence.clone(), shutdown.clone()));
        }
        tasks.spawn(settle_others(service.volume.clone(), catalog.clone(), shutdown.clone()));
        if service.replicates {
            tasks.spawn(service.held.clone().settle(catalog.clone(), shutdown.clone()));
        }
        tasks.spawn(sweep(service.volume.clone(), catalog, service.leftovers.clone(), shutdown.clone()));
        tasks.spawn(expire(
            service.volume.clone(),
            service.busy.clone(),
            config.part_expiry,
            shutdown.clone(),
        ));
        tasks.spawn(measure(service.volume.clone(), shutdown.clone()));
        tasks.spawn(scrub(service.clone(), shutdown.clone()));
        if service.replicates {
            tasks.spawn(service.peers.clone().keep(shutdown.clone()));
            tasks.spawn(copy_all(service.clone(), config.copy_parallel, shutdown.clone()));
            tasks.spawn(watch_backlog(service.clone(), shutdown.clone()));
            tasks.spawn(fill(service.clone(), shutdown.clone()));
        }
        tasks.close();
        let commits = service.commits.clone();
        serve(listener, service, config.limits, admission, shutdown).await;
        tasks.wait().await;
        commits.close();
        commits.wait().await;
        tracing::info!("the storage has stopped");
    }
}

/// Looks at the store paths and their marks. Blocks.
fn inspect(config: &Config) -> Result<Candidate, VolumeError> {
    let fresh_id = uuid::Uuid::new_v4().to_string();
    Candidate::inspect(&config.store_paths, &config.cluster, &config.group, config.replication, &fresh_id)
}

/// Rows of a shared volume may be cached only where every storage sees their removal. In a group of copies each remembers for a
/// short while what it has read itself: who deletes a file tells the others, or waits for so long.
fn cache_of(config: &Config) -> CacheConfig {
    match config.cache {
        CacheConfig::Memory { size, ttl } if config.replication == Replication::Copies => {
            CacheConfig::Memory { size, ttl: ttl.min(config.row_lease) }
        }
        CacheConfig::Redis(_) if config.replication == Replication::Copies => {
            tracing::info!("rows of a group of copies are not cached in Redis (cache.url)");
            CacheConfig::Off
        }
        CacheConfig::Memory { .. } if config.replication == Replication::SharedVolume => {
            tracing::info!(
                "rows are not cached: storages that share a volume can cache them in Redis alone (cache.url)"
            );
            CacheConfig::Off
        }
        _ => config.cache.clone(),
    }
}

/// Registers with the catalog. A storage whose paths were marked before must be known there: against the wrong
/// catalog, settling would take every file for an orphan.
async fn introduce(
    candidate: &Candidate,
    catalog: &dyn Catalog,
    config: &Config,
    address: SocketAddr,
) -> Result<MemberState, StartError> {
    let storage = candidate.owner().storage.clone();
    let path = config.store_paths.first().map(|path| path.written.clone()).unwrap_or_default();
    if !candidate.is_new() && !catalog.knows_storage(&storage).await? {
        return Err(StartError::UnknownStorage { path, storage });
    }
    let address = if config.advertise.is_empty() { address.to_string() } else { config.advertise.clone() };
    if candidate.is_new()
        && let Some(other) = catalog.other_storage_at(host::name(), &address).await?
    {
        tracing::warn!(
            other,
            %address,
            "the store paths are empty and become a new storage, but another one was seen here: is its disk mounted?"
        );
    }
    let row = StorageRow {
        id: storage.clone(),
        group: config.group.to_string(),
        host: host::name().to_owned(),
        address,
        replication: config.replication,
        seen_ms: clock::unix_millis(),
    };
    match catalog.register(row).await? {
        MemberState::Removed => Err(StartError::Removed { path, storage }),
        // Only members of a group of copies can have another one, or have had.
        _ if config.replication != Replication::Copies => Ok(MemberState::Active),
        state => Ok(state),
    }
}

fn presence(
    config: &Config,
    address: SocketAddr,
    service: &Arc<StorageService>,
    admission: Admission,
) -> Presence {
    let advertise = config.advertise.clone();
    let (volume, counters) = (service.volume.clone(), service.counters.clone());
    let (orders, standing) = (service.orders.clone(), service.standing.clone());
    let changes = standing.changes();
    let report = move || {
        let backlog = orders.backlog();
        let (total_bytes, free_bytes) = volume.space();
        StorageReport {
            id: volume.owner().storage.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            advertise: advertise.clone(),
            membership: standing.told(),
            load: Load {
                total_bytes,
                free_bytes,
                connections: admission.open() as u64,
                uploads: counters.uploads.get(),
                downloads: counters.downloads.get(),
                deletes: counters.deletes.get(),
                bytes_in: counters.bytes_in.get(),
                bytes_out: counters.bytes_out.get(),
                backlog_files: backlog.files,
                backlog_bytes: backlog.bytes,
                backlog_oldest: u64::try_from(backlog.oldest_ms / 1000).unwrap_or(0),
            },
        }
    };
    Presence {
        group: config.group.clone(),
        port: address.port(),
        started: clock::unix_seconds(),
        interval: config.heartbeat_interval,
        report: Box::new(report),
        changes,
    }
}
