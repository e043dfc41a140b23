//! One upload, one or more downloads at once, from here.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, anyhow};
use bytes::BytesMut;
use tnv_proto::FileKey;

use crate::bench::{Bench, runtime};
use crate::cluster::Cluster;
use crate::cpu::Meter;
use crate::http::Gets;
use crate::load::Exchange;
use crate::versus::Turn;
use crate::wire::{Downloads, Uploads};

/// One turn: a new file of so many bytes, from memory. The CPU time is the storage's.
///
/// # Errors
/// If the storage refuses it.
pub(crate) fn upload(bench: &mut Bench, cluster: &Cluster, size: u64) -> anyhow::Result<Turn> {
    // What others wrote is on the disk before this begins.
    rustix::fs::sync();
    let mut meter = Meter::of(cluster.storage_pid());
    let seconds = bench.run(async {
        let mut uploads = Uploads::connect(cluster.storage(), "large", size).await?;
        meter.begin()?;
        let begin = Instant::now();
        uploads.exchange().await?;
        let seconds = begin.elapsed().as_secs_f64();
        meter.end()?;
        Ok(seconds)
    })?;
    Ok(Turn { amount: size as f64, seconds, cpu: Some(meter.used()), latencies: None })
}

/// A large file, and who has it.
pub(crate) struct Source {
    server: SocketAddr,
    pids: Vec<u32>,
    protocol: Protocol,
    requests: Arc<[BytesMut]>,
    size: u64,
    /// Which of the bytes are those of [`contents`](crate::contents).
    contents: Range<u64>,
}

#[derive(Clone, Copy)]
enum Protocol {
    Frames,
    Http,
}

impl Source {
    /// A new file of so many bytes at the storage.
    ///
    /// # Errors
    /// If the storage refuses it.
    pub(crate) fn of_storage(bench: &mut Bench, cluster: &Cluster, size: u64) -> anyhow::Result<Source> {
        let keys = cluster.fill(bench, 1, size)?;
        keys.first().map(|key| Source::of_key(cluster, key, size)).context("no file was uploaded")
    }

    /// A file of so many bytes that the storage has.
    pub(crate) fn of_key(cluster: &Cluster, key: &FileKey, size: u64) -> Source {
        Source {
            server: cluster.storage(),
            pids: vec![cluster.storage_pid()],
            protocol: Protocol::Frames,
            requests: Downloads::requests(std::slice::from_ref(key)),
            size,
            contents: 0..size,
        }
    }

    /// A file of so many bytes at a server that speaks HTTP.
    pub(crate) fn of_http(server: SocketAddr, pids: Vec<u32>, path: &str, size: u64) -> Source {
        let requests = Gets::requests(&[path.to_owned()]);
        Source { server, pids, protocol: Protocol::Http, requests, size, contents: 0..size }
    }

    /// The usual contents lie only here in it. It is of a server that speaks HTTP.
    pub(crate) fn holding(self, contents: Range<u64>) -> Source {
        Source { contents, ..self }
    }
}

/// One turn: so many downloads of the whole file at once, each by a thread of its own. All have downloaded it once
/// before, and compared the bytes.
///
/// # Errors
/// The first of any connection; if a server is gone.
pub(crate) fn download(bench: &mut Bench, source: &Source, at_once: usize) -> anyhow::Result<Turn> {
    let mut meter = Meter::over(source.pids.iter().copied());
    let (ready, go) = (Arc::new(Barrier::new(at_once + 1)), Arc::new(Barrier::new(at_once + 1)));
    let threads: Vec<_> =
        (0..at_once).map(|_| source.download_twice(ready.clone(), go.clone())).collect::<Result<_, _>>()?;
    // The threads pass both barriers whatever happens to them.
    ready.wait();
    meter.begin()?;
    let begin = Instant::now();
    go.wait();
    for thread in threads {
        thread.join().map_err(|_| anyhow!("a download panicked"))??;
    }
    let seconds = begin.elapsed().as_secs_f64();
    meter.end()?;
    // Whoever wants to stop this has been waiting.
    bench.run(async { Ok(()) })?;
    Ok(Turn {
        amount: (source.size * at_once as u64) as f64,
        seconds,
        cpu: Some(meter.used()),
        latencies: None,
    })
}

impl Source {
    fn download_twice(
        &self,
        ready: Arc<Barrier>,
        go: Arc<Barrier>,
    ) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
        let (server, requests, size) = (self.server, self.requests.clone(), self.size);
        let (protocol, contents, runtime) = (self.protocol, self.contents.clone(), runtime()?);
        Ok(std::thread::spawn(move || {
            let between = || {
                ready.wait();
                go.wait();
            };
            runtime.block_on(async {
                match protocol {
                    Protocol::Frames => {
                        twice(Downloads::connect(server, requests, size).await, between).await
                    }
                    Protocol::Http => {
                        let gets = Gets::connect(server, requests, size).await;
                        twice(gets.map(|gets| gets.holding(contents)), between).await
                    }
                }
            })
        }))
    }
}

/// Once, then a pause in any case, then again.
async fn twice<E: Exchange>(connection: anyhow::Result<E>, between: impl FnOnce()) -> anyhow::Result<()> {
    let first = async {
        let mut connection = connection?;
        connection.exchange().await?;
        anyhow::Ok(connection)
    };
    let connection = first.await;
    between();
    connection?.exchange().await
}
