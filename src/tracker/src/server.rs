//! A tracker from its start to its stop.

use std::net::SocketAddr;
use std::sync::Arc;

use tnv_common::admin::Admin;
use tnv_common::database::DbError;
use tnv_common::server::{Admission, BindError, bind, serve};
use tnv_proto::Failure;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::routes::{self, SCHEMA};
use crate::service::{TrackerService, log_change, now};

/// Why a tracker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// More groups in the database than `max_groups`.
    #[error("{0}")]
    Groups(Failure),
}

/// A tracker that listens but does not serve yet.
pub struct Tracker {
    config: Config,
    listener: TcpListener,
    admin: Admin,
    address: SocketAddr,
    service: Arc<TrackerService>,
}

impl Tracker {
    /// Opens database and socket.
    ///
    /// # Errors
    /// [`StartError`] with a sentence for people.
    pub async fn bind(config: Config) -> Result<Tracker, StartError> {
        let listener = bind(config.listen)?;
        let admin = Admin::bind(config.admin_listen)?;
        let address = listener.local_addr().unwrap_or(config.listen);
        let routes = routes::open(config.database.open(&SCHEMA).await?).await?;
        let groups = routes.groups().await?;
        let service = TrackerService::new(&config, routes, config.cache.open());
        for group in &groups {
            service.registry().add_group(group).map_err(StartError::Groups)?;
        }
        Ok(Tracker { config, listener, admin, address, service: Arc::new(service) })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let Tracker { config, listener, admin, address, service } = self;
        tracing::info!(%address, "the tracker listens");
        let admin = tokio::spawn(admin.run(shutdown.clone()));
        let watch = tokio::spawn(watch(service.clone(), config.clone(), shutdown.clone()));
        let admission = Admission::new(config.limits.max_connections);
        serve(listener, service, config.limits, admission, shutdown).await;
        let _ = tokio::join!(watch, admin);
        tracing::info!("the tracker has stopped");
    }
}

/// Marks silent storages OFFLINE.
async fn watch(service: Arc<TrackerService>, config: Config, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(config.check_interval);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        let changes = service.registry().expire(now(), config.offline_after);
        changes.iter().for_each(log_change);
    }
}
