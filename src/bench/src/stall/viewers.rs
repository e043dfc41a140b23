//! Viewers who jump about in a film.

use std::time::Duration;

use anyhow::anyhow;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::FILM;
use super::source::Source;
use crate::contents;
use crate::load::{Load, latencies, record};
use crate::socket::Socket;

/// How many watch.
pub(super) const COUNT: u32 = 8;
/// From one jump to the next.
const INTERVAL: Duration = Duration::from_secs(1);
/// 4 Mbit/s, in bytes a second.
const RATE: u64 = 500_000;
/// What a viewer takes at a time, in bytes: 32 ms of film.
const BITE: u64 = 16_000;
/// A jump that has no answer by then has failed.
const PATIENCE: Duration = Duration::from_secs(40);

/// All of them.
pub(super) struct Viewers;

/// Who jumps at which times.
struct Viewer {
    source: Source,
    first: Instant,
    end: Instant,
}

impl Viewers {
    /// Lets them watch for so long. How long each jump took to its first byte, and how many failed: a jump counts from
    /// when it was due, unless only the viewer's own clock was late.
    ///
    /// # Errors
    /// If what comes is not the film.
    pub(super) async fn watch(source: &Source, window: Duration) -> anyhow::Result<(Load, u64)> {
        let begin = Instant::now();
        let mut watching = JoinSet::new();
        for n in 0..COUNT {
            // They do not jump together.
            let viewer =
                Viewer { source: source.clone(), first: begin + INTERVAL * n / COUNT, end: begin + window };
            watching.spawn(viewer.watch());
        }
        let (mut all, mut failed) = (latencies(), 0);
        while let Some(watched) = watching.join_next().await {
            let (taken, of_them) = watched??;
            all.add(taken)?;
            failed += of_them;
        }
        Ok((Load { elapsed: begin.elapsed(), latencies: all }, failed))
    }
}

impl Viewer {
    async fn watch(self) -> anyhow::Result<(Histogram<u64>, u64)> {
        let (mut taken, mut failed, mut due) = (latencies(), 0, self.first);
        while due < self.end {
            let is_free = Instant::now() < due;
            sleep_until(due).await;
            let start = if is_free { Instant::now() } else { due };
            let offset = rand::random_range(0..FILM - 2 * RATE);
            let jump = self.jump(offset);
            match tokio::time::timeout(PATIENCE, jump).await {
                Ok(Ok(playing)) => {
                    record(&mut taken, start.elapsed());
                    playing.until(due + INTERVAL).await?;
                }
                Ok(Err(Trouble::Refused)) | Err(_) => {
                    record(&mut taken, start.elapsed());
                    failed += 1;
                }
                Ok(Err(Trouble::Wrong(error))) => return Err(error),
            }
            due += INTERVAL;
        }
        Ok((taken, failed))
    }

    /// Asks for the film from `offset` to its end, on a connection of its own: what is left of it is not wanted when the
    /// viewer jumps again. Returns with the first byte.
    async fn jump(&self, offset: u64) -> Result<Playing, Trouble> {
        let mut socket = Socket::connect(self.source.server).await.map_err(|_| Trouble::Refused)?;
        socket.send(&self.source.request(offset)).await.map_err(|_| Trouble::Refused)?;
        let parse = |bytes: &[u8]| self.source.parse(bytes);
        let answer = socket.head(parse).await.map_err(|_| Trouble::Refused)?;
        if !answer.is_success {
            return Err(Trouble::Refused);
        }
        if answer.length != FILM - offset {
            return Err(anyhow!("{} bytes from {offset} on", answer.length).into());
        }
        let mut playing = Playing { socket, offset, taken: 0, begin: Instant::now() };
        playing.take(1).await?;
        Ok(playing)
    }
}

/// What a viewer watches between two jumps.
struct Playing {
    socket: Socket,
    offset: u64,
    taken: u64,
    begin: Instant,
}

impl Playing {
    /// Reads as fast as it is shown.
    async fn until(mut self, end: Instant) -> anyhow::Result<()> {
        loop {
            let shown = self.begin + Duration::from_secs_f64((self.taken + BITE) as f64 / RATE as f64);
            if shown >= end {
                sleep_until(end).await;
                return Ok(());
            }
            sleep_until(shown).await;
            match tokio::time::timeout_at(end, self.take(BITE)).await {
                Ok(taken) => taken?,
                // The film stands still; the next jump will tell.
                Err(_) => return Ok(()),
            }
        }
    }

    async fn take(&mut self, bytes: u64) -> anyhow::Result<()> {
        let offset = self.offset + self.taken;
        self.socket.body(bytes, |at, piece| contents::check(offset + at, piece)).await?;
        self.taken += bytes;
        Ok(())
    }
}

/// Why a jump did not succeed.
enum Trouble {
    /// The server has no room, or hung up.
    Refused,
    /// What it sent is not the film.
    Wrong(anyhow::Error),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Trouble {
        Trouble::Wrong(error)
    }
}
