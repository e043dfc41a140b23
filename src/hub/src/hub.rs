//! The hub's start and end.

use std::io;
use std::net::SocketAddr;

use tnv_common::database::{Database, DbError};
use tnv_common::server::BindError;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::meetings::SCHEMA;
use crate::service::Service;
use crate::sweep;

/// Why a hub cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The socket cannot be used.
    #[error("cannot use the listening socket: {0}")]
    Socket(#[from] io::Error),
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// A hub, listening.
pub struct Hub {
    listener: TcpListener,
    local_addr: SocketAddr,
    database: Database,
    config: Config,
}

impl Hub {
    /// Opens the database and starts to listen; connections wait until [`Hub::run`]. No tracker or storage is asked yet.
    ///
    /// # Errors
    /// [`StartError`] if the database or the address cannot be had.
    pub async fn bind(config: Config) -> Result<Hub, StartError> {
        let database = config.database.open(&SCHEMA).await?;
        let listener = tnv_common::server::bind(config.listen)?;
        Ok(Hub { local_addr: listener.local_addr()?, listener, database, config })
    }

    /// The address it listens on, with the port that was picked if the configuration says 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown`, then lets running answers finish for up to `drain_timeout`.
    pub async fn run(self, shutdown: CancellationToken) {
        let Hub { listener, local_addr, database, config } = self;
        tracing::info!(address = %local_addr, trackers = config.trackers.join(";"), "the hub listens");
        let interval = config.probe_interval;
        let limits = config.limits();
        let service = Service::new(config, local_addr, database, shutdown.clone());
        let probing = tokio::spawn(service.prober.clone().run(interval));
        let sweeping = tokio::spawn(sweep::run(service.intake.clone(), shutdown.clone()));
        tnv_web::serve(listener, service, limits, shutdown).await;
        for task in [probing, sweeping] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the hub has failed");
            }
        }
        tracing::info!("the hub has stopped");
    }
}
