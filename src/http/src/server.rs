//! The listening side: connections with their limits, and a clean stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tnv_common::clients::{Client, Clients};
use tnv_common::server::BindError;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::connection::Protocols;
use crate::metrics::HttpMetrics;
use crate::refusal::Refusal;
use crate::seat::Seats;
use crate::service::Gateway;
use crate::stream::ClientStream;

/// Connections over the limit that are being told so, at once. More wait in the kernel's queue.
const MAX_REFUSALS: usize = 64;
/// How long a connection over the limit has to send its request and take the answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

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
        let tasks = TaskTracker::new();
        let abort = CancellationToken::new();
        let acceptor = Acceptor {
            gateway: Arc::new(Gateway::new(&config)),
            permits: Arc::new(Semaphore::new(config.max_connections)),
            clients: Clients::new(config.max_connections_per_client, config.rate_limit),
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
            protocols: Protocols::new(&config, tasks.clone(), shutdown.clone(), abort.clone()),
            progress_timeout: config.progress_timeout,
            shutdown,
        };
        while let Some((stream, peer)) = acceptor.accept(&listener).await {
            if !acceptor.start(stream, peer, &tasks).await {
                break;
            }
        }
        drop(listener);
        tasks.close();
        if tokio::time::timeout(config.drain_timeout, tasks.wait()).await.is_err() {
            tracing::warn!(connections = tasks.len(), "drain timeout: cutting off what still runs");
            abort.cancel();
            tasks.wait().await;
        }
        tracing::info!("the gateway has stopped");
    }
}

/// What connections are made with.
struct Acceptor {
    gateway: Arc<Gateway>,
    permits: Arc<Semaphore>,
    clients: Clients,
    refusals: Arc<Semaphore>,
    protocols: Protocols,
    progress_timeout: Duration,
    shutdown: CancellationToken,
}

impl Acceptor {
    /// The next connection; `None` when the server is to stop. Running out of descriptors is waited out.
    async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return None,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(accepted) => return Some(accepted),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Serves a connection in a task of its own, or refuses it there. `false` when the server is to stop.
    async fn start(&self, stream: TcpStream, peer: SocketAddr, tasks: &TaskTracker) -> bool {
        let (protocols, gateway) = (self.protocols.clone(), self.gateway.clone());
        let progress_timeout = self.progress_timeout;
        let full = match self.admit(peer) {
            Ok((permit, client)) => {
                let connected = HttpMetrics::global().connected();
                let seats = Seats::new(self.permits.clone());
                tasks.spawn(async move {
                    protocols.serve(stream, (peer, client), gateway, seats).await;
                    drop((permit, connected));
                });
                return true;
            }
            Err(full) => full,
        };
        let slot = tokio::select! {
            () = self.shutdown.cancelled() => return false,
            slot = self.refusals.clone().acquire_owned() => slot,
        };
        let Ok(slot) = slot else { return false };
        tracing::warn!(%peer, reason = full.sentence(), "refused");
        let stream = ClientStream::new(stream, progress_timeout, Client::unlimited());
        tasks.spawn(async move {
            protocols.turn_away(stream, peer, gateway, full, REFUSAL_TIMEOUT).await;
            drop(slot);
        });
        true
    }

    /// A place for one more connection, or why there is none.
    fn admit(&self, peer: SocketAddr) -> Result<(OwnedSemaphorePermit, Client), Refusal> {
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| Refusal::full())?;
        let client = self.clients.admit(peer.ip()).ok_or_else(Refusal::full_for_client)?;
        Ok((permit, client))
    }
}
