//! The gateway as a server.

use std::io;
use std::net::SocketAddr;

use tnv_common::server::BindError;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::service::Gateway;

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The socket cannot be used.
    #[error("cannot use the listening socket: {0}")]
    Socket(#[from] io::Error),
}

/// The gateway, listening.
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    config: Config,
}

impl Server {
    /// Starts to listen; connections wait until [`Server::run`]. No tracker or storage is asked yet.
    ///
    /// # Errors
    /// [`HttpError`] if the address cannot be had.
    pub async fn bind(config: Config) -> Result<Server, HttpError> {
        let listener = tnv_common::server::bind(config.listen)?;
        Ok(Server { local_addr: listener.local_addr()?, listener, config })
    }

    /// The address it listens on, with the port that was picked if the configuration says 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown`, then lets running answers finish for up to `drain_timeout`.
    pub async fn run(self, shutdown: CancellationToken) {
        let Server { listener, config, local_addr: address } = self;
        tracing::info!(%address, trackers = config.trackers.join(";"), "the gateway listens");
        tnv_web::serve(listener, Gateway::new(&config), config.limits(), shutdown).await;
        tracing::info!("the gateway has stopped");
    }
}
