//! A server in front of another that passes everything on, counts what goes to clients, and may die of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};

use crate::bench::runtime;

/// What is passed on at a time, in bytes.
const BUFFER: usize = 64 << 10;

/// It runs on a thread of its own. Dropped, it ends.
pub(super) struct Relay {
    address: SocketAddr,
    passed: Arc<AtomicU64>,
    _stop: oneshot::Sender<()>,
}

impl Relay {
    /// Starts one at this address of the machine in front of `server`. When it has passed on `dies_after` bytes to clients, all connections break off and
    /// it takes no more.
    ///
    /// # Errors
    /// If it cannot listen.
    pub(super) fn start(
        host: Ipv4Addr,
        server: SocketAddr,
        dies_after: Option<u64>,
    ) -> anyhow::Result<Relay> {
        let runtime = runtime()?;
        let listener = runtime.block_on(TcpListener::bind((host, 0)))?;
        let address = listener.local_addr()?;
        let passed = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = oneshot::channel::<()>();
        let line = Line {
            server,
            passed: passed.clone(),
            limit: dies_after.unwrap_or(u64::MAX),
            death: Notify::new(),
        };
        // With the runtime, its listener and its connections go.
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = Arc::new(line).run(listener) => {}
                }
            });
        });
        Ok(Relay { address, passed, _stop: stop })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that went to clients so far, with heads and everything.
    pub(super) fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }
}

struct Line {
    server: SocketAddr,
    passed: Arc<AtomicU64>,
    limit: u64,
    death: Notify,
}

impl Line {
    async fn run(self: Arc<Line>, listener: TcpListener) {
        loop {
            tokio::select! {
                biased;
                () = self.death.notified() => return,
                Ok((client, _)) = listener.accept() => {
                    let line = self.clone();
                    // A connection that fails is over for both of its ends, who know what to do.
                    tokio::spawn(async move { line.connect(client).await.ok() });
                }
            }
        }
    }

    async fn connect(&self, client: TcpStream) -> std::io::Result<()> {
        let server = TcpStream::connect(self.server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let up = async {
            copy(&mut from_client, &mut to_server).await?;
            to_server.shutdown().await
        };
        let down = async {
            let mut buffer = vec![0; BUFFER];
            loop {
                let read = from_server.read(&mut buffer).await?;
                if read == 0 {
                    return to_client.shutdown().await;
                }
                let passed = self.passed.fetch_add(read as u64, Ordering::Relaxed) + read as u64;
                to_client.write_all(&buffer[..read]).await?;
                if passed >= self.limit {
                    self.death.notify_one();
                    return Ok(());
                }
            }
        };
        tokio::try_join!(up, down).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net;

    use super::*;

    /// Answers everything with as many bytes as were asked.
    fn echo() -> SocketAddr {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let mut bytes = [0; 1000];
                while client.read_exact(&mut bytes).is_ok() && client.write_all(&bytes).is_ok() {}
            }
        });
        address
    }

    fn exchange(client: &mut net::TcpStream) -> std::io::Result<()> {
        client.write_all(&[7; 1000])?;
        client.read_exact(&mut [0; 1000])
    }

    #[test]
    fn what_passes_is_counted() {
        let relay = Relay::start(Ipv4Addr::LOCALHOST, echo(), None).unwrap();
        let mut client = net::TcpStream::connect(relay.address()).unwrap();
        for _ in 0..3 {
            exchange(&mut client).unwrap();
        }
        assert_eq!(relay.passed(), 3000);
    }

    #[test]
    fn one_that_has_passed_its_share_is_gone() {
        let relay = Relay::start(Ipv4Addr::LOCALHOST, echo(), Some(2000)).unwrap();
        let mut client = net::TcpStream::connect(relay.address()).unwrap();
        let mut other = net::TcpStream::connect(relay.address()).unwrap();
        exchange(&mut client).unwrap();
        exchange(&mut client).unwrap();
        assert!(exchange(&mut client).is_err() && exchange(&mut other).is_err());
        assert!(net::TcpStream::connect(relay.address()).is_err());
    }
}
