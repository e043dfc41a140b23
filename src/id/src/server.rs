//! An id server from its start to its stop.

use std::net::SocketAddr;
use std::sync::Arc;

use tnv_common::admin::Admin;
use tnv_common::database::DbError;
use tnv_common::server::{Admission, BindError, bind, serve};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::service::IdService;
use crate::steps::{self, SCHEMA};

/// Why an id server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its database.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// An id server that listens but does not serve yet.
pub struct IdServer {
    config: Config,
    listener: TcpListener,
    admin: Admin,
    address: SocketAddr,
    service: Arc<IdService>,
}

impl IdServer {
    /// Opens database and socket.
    ///
    /// # Errors
    /// [`StartError`] with a sentence for people.
    pub async fn bind(config: Config) -> Result<IdServer, StartError> {
        let listener = bind(config.listen)?;
        let admin = Admin::bind(config.admin_listen)?;
        let address = listener.local_addr().unwrap_or(config.listen);
        let steps = steps::open(config.database.open(&SCHEMA).await?);
        let service = Arc::new(IdService::new(steps, config.step, config.max_keys));
        Ok(IdServer { config, listener, admin, address, service })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let IdServer { config, listener, admin, address, service } = self;
        tracing::info!(%address, step = config.step, "the id server listens");
        let admin = tokio::spawn(admin.run(shutdown.clone()));
        let admission = Admission::new(config.limits.max_connections);
        serve(listener, service, config.limits, admission, shutdown).await;
        let _ = admin.await;
        tracing::info!("the id server has stopped");
    }
}
