//! A load made by several processes, where one would be the limit: `tnv-bench drive` is what each of them runs.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tnv_proto::FileKey;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, sleep};

use super::latencies::{add_counts, counts};
use super::{Edge, Exchange, Load, Window, closed_loop, latencies, open_loop};
use crate::http::{Gets, Parts};
use crate::wire::{Downloads, Sizes, Uploads};

/// A load for several processes together.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub(crate) server: SocketAddr,
    pub(crate) work: Work,
    /// In all.
    pub(crate) connections: usize,
    /// An open loop with so many requests in all; None = a closed loop.
    pub(crate) per_second: Option<f64>,
    pub(crate) window: Window,
    /// At most; there are never more than connections.
    pub(crate) processes: usize,
}

/// What all connections do. All files are those of [`contents`](crate::contents) and have the same size.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Work {
    /// GET of any of these paths.
    Get { paths: Vec<String>, size: u64 },
    /// GET of parts of one path, each of so many bytes from anywhere on.
    GetParts { path: String, size: u64, part: u64 },
    /// DOWNLOAD of any of these files, each an app, a user and an id.
    Download { files: Vec<[String; 3]>, size: u64 },
    /// FILESIZE of any of these files.
    Sizes { files: Vec<[String; 3]>, size: u64 },
    /// UPLOAD of new files, each connection as a user of its own.
    Upload { size: u64 },
}

impl Work {
    /// Files as they are named here.
    pub(crate) fn files(keys: &[FileKey]) -> Vec<[String; 3]> {
        keys.iter().map(|key| [key.app.to_string(), key.user.to_string(), key.file.to_string()]).collect()
    }
}

/// What one of the processes does.
#[derive(Debug, Serialize, Deserialize)]
struct Share {
    server: SocketAddr,
    work: Work,
    /// Of the whole fleet's connections: this one's are those from here on.
    first: usize,
    connections: usize,
    per_second: Option<f64>,
    window: Window,
}

/// What it tells at its end.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    elapsed: Duration,
    counts: Vec<(u64, u64)>,
}

impl Fleet {
    /// Starts the processes, lets them begin together when all their connections stand, and adds up what they tell.
    /// `at` is called at both ends of the measured time.
    ///
    /// # Errors
    /// If any of them ends early; it has said why.
    pub(crate) async fn run(&self, mut at: impl FnMut(Edge)) -> anyhow::Result<Load> {
        let mut drivers = Vec::new();
        for share in self.shares() {
            drivers.push(Driver::start(&share).await?);
        }
        for driver in &mut drivers {
            driver.expect("ready").await?;
        }
        for driver in &mut drivers {
            driver.tell("go").await?;
        }
        sleep(self.window.warm_up).await;
        at(Edge::Begin);
        let begin = Instant::now();
        sleep(self.window.measured).await;
        at(Edge::End);
        let mut load = Load { elapsed: begin.elapsed(), latencies: latencies() };
        let mut elapsed = Duration::ZERO;
        let processes = drivers.len();
        for driver in drivers {
            let outcome = driver.outcome().await?;
            add_counts(&mut load.latencies, &outcome.counts)?;
            elapsed += outcome.elapsed;
        }
        load.elapsed = elapsed.div_f64(processes as f64);
        Ok(load)
    }

    fn shares(&self) -> Vec<Share> {
        let processes = self.processes.clamp(1, self.connections.max(1));
        let first = |n: usize| n * self.connections / processes;
        let share = |n| Share {
            server: self.server,
            work: self.work.clone(),
            first: first(n),
            connections: first(n + 1) - first(n),
            per_second: self.per_second.map(|rate| rate / processes as f64),
            window: self.window,
        };
        (0..processes).map(share).collect()
    }
}

/// One of the processes, seen from the one that started it. Dropped, it is killed.
struct Driver {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Driver {
    async fn start(share: &Share) -> anyhow::Result<Driver> {
        let program = std::env::current_exe()?;
        let mut process = Command::new(program)
            .arg("drive")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a load generator")?;
        let stdout = process.stdout.take().context("a load generator without an output")?;
        let mut driver = Driver { process, lines: BufReader::new(stdout).lines() };
        driver.tell(&serde_json::to_string(share)?).await?;
        Ok(driver)
    }

    async fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let stdin = self.process.stdin.as_mut().context("a load generator without an input")?;
        stdin.write_all(format!("{line}\n").as_bytes()).await.context("a load generator ended early")
    }

    async fn hear(&mut self) -> anyhow::Result<String> {
        self.lines.next_line().await?.context("a load generator ended early")
    }

    async fn expect(&mut self, line: &str) -> anyhow::Result<()> {
        match self.hear().await? {
            heard if heard == line => Ok(()),
            heard => bail!("a load generator says {heard:?} instead of {line:?}"),
        }
    }

    async fn outcome(mut self) -> anyhow::Result<Outcome> {
        let outcome = serde_json::from_str(&self.hear().await?)?;
        self.process.wait().await?;
        Ok(outcome)
    }
}

/// `tnv-bench drive`: reads what to do from standard input, connects, says `ready`, waits for the word, does it, and
/// prints what came of it.
///
/// # Errors
/// The first of any connection.
pub(crate) async fn drive() -> anyhow::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let share = lines.next_line().await?.context("nothing to do")?;
    let share: Share = serde_json::from_str(&share)?;
    let load = match &share.work {
        Work::Get { paths, size } => {
            let requests = Gets::requests(paths);
            share.run(&mut lines, |_| Gets::connect(share.server, requests.clone(), *size)).await?
        }
        Work::GetParts { path, size, part } => {
            share.run(&mut lines, |_| Parts::connect(share.server, path.clone(), *size, *part)).await?
        }
        Work::Download { files, size } => {
            let requests = Downloads::requests(&keys(files)?);
            share.run(&mut lines, |_| Downloads::connect(share.server, requests.clone(), *size)).await?
        }
        Work::Sizes { files, size } => {
            let requests = Sizes::requests(&keys(files)?);
            share.run(&mut lines, |_| Sizes::connect(share.server, requests.clone(), *size)).await?
        }
        Work::Upload { size } => {
            let upload = async |n: usize| Uploads::connect(share.server, &format!("user{n:02}"), *size).await;
            share.run(&mut lines, upload).await?
        }
    };
    say(&serde_json::to_string(&Outcome { elapsed: load.elapsed, counts: counts(&load.latencies) })?).await
}

impl Share {
    async fn run<E: Exchange>(
        &self,
        lines: &mut Lines<BufReader<tokio::io::Stdin>>,
        connect: impl AsyncFn(usize) -> anyhow::Result<E>,
    ) -> anyhow::Result<Load> {
        let mut connections = Vec::new();
        for n in self.first..self.first + self.connections {
            connections.push(connect(n).await?);
        }
        say("ready").await?;
        if lines.next_line().await?.as_deref() != Some("go") {
            bail!("not told to go");
        }
        match self.per_second {
            Some(rate) => open_loop(connections, rate, self.window, |_| ()).await,
            None => closed_loop(connections, self.window, |_| ()).await,
        }
    }
}

fn keys(files: &[[String; 3]]) -> anyhow::Result<Vec<FileKey>> {
    files.iter().map(|[app, user, file]| Ok(FileKey::new(app, user, file)?)).collect()
}

async fn say(line: &str) -> anyhow::Result<()> {
    let mut stdout = tokio::io::stdout();
    stdout.write_all(format!("{line}\n").as_bytes()).await?;
    Ok(stdout.flush().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(connections: usize, processes: usize) -> Fleet {
        Fleet {
            server: "127.0.0.1:1".parse().unwrap(),
            work: Work::Upload { size: 1 },
            connections,
            per_second: Some(100.0),
            window: Window { warm_up: Duration::ZERO, measured: Duration::ZERO },
            processes,
        }
    }

    #[test]
    fn shares_add_up_and_nobody_has_none() {
        for (connections, processes, expected) in
            [(32, 2, vec![16, 16]), (3, 2, vec![1, 2]), (1, 2, vec![1]), (7, 3, vec![2, 2, 3])]
        {
            let shares = fleet(connections, processes).shares();
            assert_eq!(shares.iter().map(|share| share.connections).collect::<Vec<_>>(), expected);
            let rate: f64 = shares.iter().filter_map(|share| share.per_second).sum();
            assert!((rate - 100.0).abs() < 1e-9);
        }
        let shares = fleet(7, 3).shares();
        assert_eq!(shares.iter().map(|share| share.first).collect::<Vec<_>>(), [0, 2, 4]);
    }
}
