//! The listening side: connections with their limits, and a clean stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tnv_common::clients::{Client, Clients};
use tnv_common::reactors::Dealer;
use tnv_common::server::{BindError, accept};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::connection::Protocols;
use crate::metrics::HttpMetrics;
use crate::refusal::Refusal;
use crate::service::Gateway;

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
            protocols: Arc::new(Protocols::new(&config, tasks.clone(), shutdown.clone(), abort.clone())),
            dealer: Dealer::new(),
            shutdown,
        };
        while let Some((stream, peer)) = accept(&listener, &acceptor.shutdown).await {
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
    protocols: Arc<Protocols>,
    dealer: Dealer,
    shutdown: CancellationToken,
}

impl Acceptor {
    /// Serves a connection in a task of its own, or refuses it there. `false` when the server is to stop.
    async fn start(&self, stream: TcpStream, peer: SocketAddr, tasks: &TaskTracker) -> bool {
        match self.admit(peer) {
            Ok(admitted) => {
                self.serve(stream, peer, admitted, tasks)
                    .unwrap_or_else(|error| tracing::warn!(%peer, %error, "cannot serve a connection"));
                true
            }
            Err(full) => self.refuse(stream, peer, full, tasks).await,
        }
    }

    /// Serves a connection on one of the reactors: its socket, and those that storages answer it on, belong there.
    fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        (permit, client): (OwnedSemaphorePermit, Client),
        tasks: &TaskTracker,
    ) -> io::Result<()> {
        let stream = stream.into_std()?;
        let place = self.dealer.deal();
        let reactor = place.reactor.clone();
        let connected = HttpMetrics::global().connected();
        let (protocols, gateway, permits) =
            (self.protocols.clone(), self.gateway.clone(), self.permits.clone());
        let served = async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => protocols.serve(stream, (peer, client), gateway, permits).await,
                Err(error) => tracing::warn!(%peer, %error, "cannot serve a connection"),
            }
            drop((permit, place, connected));
        };
        tasks.spawn_on(served, &reactor);
        Ok(())
    }

    async fn refuse(&self, stream: TcpStream, peer: SocketAddr, full: Refusal, tasks: &TaskTracker) -> bool {
        let slot = tokio::select! {
            () = self.shutdown.cancelled() => return false,
            slot = self.refusals.clone().acquire_owned() => slot,
        };
        let Ok(slot) = slot else { return false };
        tracing::warn!(%peer, reason = full.sentence(), "refused");
        let (protocols, gateway) = (self.protocols.clone(), self.gateway.clone());
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
