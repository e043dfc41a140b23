//! Clients that ask for the whole film and then hardly read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::FILM;
use super::source::Source;
use crate::contents;

/// How many there are, and how much each reads in a second; 0 = nothing at all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

/// What is looked at in the end of an answer that was not read before, in bytes.
const SAMPLE: usize = 4096;
/// How long that may take: it should have been there all the time.
const PATIENCE: Duration = Duration::from_millis(100);

/// A server cuts off after a minute whoever does not read. Before that each leaves by itself, and another one comes.
const LIFE: Duration = Duration::from_secs(50);

/// All of them, reading at their pace. They are gone when this is dropped.
pub(super) struct Idlers {
    reading: JoinSet<anyhow::Result<Idler>>,
    until: tokio::sync::watch::Sender<bool>,
}

/// One of them.
struct Idler {
    server: SocketAddr,
    request: Arc<[u8]>,
    stream: TcpStream,
    received: Vec<u8>,
}

impl Idlers {
    /// Connects them all. Whether they are answered is seen in the end.
    ///
    /// # Errors
    /// If one cannot connect.
    pub(super) async fn gather(source: &Source, pace: Pace) -> anyhow::Result<Idlers> {
        let request: Arc<[u8]> = source.request(0).into();
        let (until, over) = tokio::sync::watch::channel(false);
        let mut reading = JoinSet::new();
        for _ in 0..pace.count {
            let mut idler = Idler::connect(source.server, request.clone()).await?;
            let mut over = over.clone();
            reading.spawn(async move {
                tokio::select! {
                    _ = over.wait_for(|over| *over) => Ok(idler),
                    error = idler.linger(pace.bytes) => Err(error),
                }
            });
        }
        Ok(Idlers { reading, until })
    }

    /// How many had an answer and are still connected.
    ///
    /// # Errors
    /// If an answer is a wrong one.
    pub(super) async fn held(mut self, source: &Source) -> anyhow::Result<usize> {
        self.until.send(true)?;
        let mut held = 0;
        while let Some(idler) = self.reading.join_next().await {
            // One whose connection broke is not held.
            if let Ok(mut idler) = idler? {
                held += usize::from(idler.is_held(source).await?);
            }
        }
        Ok(held)
    }
}

impl Idler {
    async fn connect(server: SocketAddr, request: Arc<[u8]>) -> anyhow::Result<Idler> {
        let mut stream = TcpStream::connect(server).await.context("one of many clients")?;
        stream.write_all(&request).await?;
        Ok(Idler { server, request, stream, received: Vec::new() })
    }

    /// Is there for as long as it is let, each time for a life; returns only if that fails.
    async fn linger(&mut self, bytes: usize) -> anyhow::Error {
        // They have come together, but they do not leave together.
        let mut end = Instant::now() + LIFE.mul_f64(rand::random_range(0.0..1.0));
        loop {
            if let Ok(error) = timeout_at(end, self.read_slowly(bytes)).await {
                return error;
            }
            match Idler::connect(self.server, self.request.clone()).await {
                Ok(next) => *self = next,
                Err(error) => return error,
            }
            end += LIFE;
        }
    }

    /// Reads so many bytes each second, for as long as it is let; returns only if that fails.
    async fn read_slowly(&mut self, bytes: usize) -> anyhow::Error {
        if bytes == 0 {
            return std::future::pending().await;
        }
        let mut piece = vec![0; bytes];
        // From the first second on, each at a moment of its own.
        let mut next = Instant::now() + Duration::from_millis(rand::random_range(0..1_000));
        loop {
            sleep_until(next).await;
            next += Duration::from_secs(1);
            match self.stream.read(&mut piece).await {
                Ok(0) => return anyhow::anyhow!("hung up"),
                Ok(read) => self.received.extend_from_slice(&piece[..read]),
                Err(error) => return error.into(),
            }
        }
    }

    /// Whether it was answered, rightly, and still is connected.
    async fn is_held(&mut self, source: &Source) -> anyhow::Result<bool> {
        let ready = timeout(PATIENCE, self.stream.ready(Interest::READABLE)).await;
        if !ready.is_ok_and(|ready| ready.is_ok_and(|ready| !ready.is_read_closed())) {
            return Ok(false);
        }
        let mut sample = [0; SAMPLE];
        if let Ok(Ok(read)) = timeout(PATIENCE, self.stream.read(&mut sample)).await {
            self.received.extend_from_slice(&sample[..read]);
        }
        let Some((answer, behind)) = source.parse(&self.received)? else { return Ok(false) };
        if !answer.is_success {
            return Ok(false);
        }
        if answer.length != FILM {
            bail!("{} bytes instead of {FILM}", answer.length);
        }
        contents::check(0, &self.received[behind..])?;
        Ok(true)
    }
}
