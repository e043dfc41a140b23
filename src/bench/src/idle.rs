//! `idle`: what servers hold when nothing is asked of them, alone and with connections that are silent.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::BytesMut;
use serde::Serialize;
use tnv_proto::{AppId, Command, FileKey, IdGet, Request, Saddrs, UserId};
use tokio::time::sleep;

use crate::bench::Bench;
use crate::cluster::Cluster;
use crate::http::{Gets, request};
use crate::load::Exchange;
use crate::memory::Memory;
use crate::report::{Goal, Report, Target};
use crate::spread::Spread;
use crate::table::{Table, number};
use crate::wire::{APP, Wire};

/// What a server may have resident, in MiB.
const ALONE: f64 = 16.0;
/// What it may take for each silent connection, in KiB.
const EACH: f64 = 12.0;
/// The size of the file that is asked for, in bytes.
const SIZE: u64 = 4096;
/// Connections that come and go first: what they leave behind is no cost of later ones.
const FIRST: usize = 8;
/// Memory counts as settled when it is the same after this time.
const REST: Duration = Duration::from_millis(200);
/// How often that is tried. A server at work of its own is measured as it is then.
const RESTS: usize = 25;

/// One kind of server, and what it came to in each round.
struct Server {
    name: &'static str,
    alone: Vec<Memory>,
    /// KiB for each connection: resident, and proportional.
    each: Vec<[f64; 2]>,
    /// What is resident when the connections are gone again.
    afterwards: Vec<Memory>,
}

#[derive(Serialize)]
struct Figures {
    server: &'static str,
    alone_mib: Spread,
    alone_proportional_mib: Spread,
    connection_kib: Spread,
    connection_proportional_kib: Spread,
    afterwards_mib: Spread,
}

/// A connection of either kind that is silent between two requests.
enum Client {
    Wire(Wire, BytesMut),
    Http(Gets),
}

/// Measures it all.
///
/// # Errors
/// If a server refuses what it should do, or hangs up.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<Report> {
    let connections = if bench.is_quick { 500 } else { 2_000 };
    let mut servers: Vec<Server> = ["tracker", "id", "storage", "http"]
        .into_iter()
        .filter(|name| bench.wants(&format!("idle-{name}")))
        .map(|name| Server { name, alone: Vec::new(), each: Vec::new(), afterwards: Vec::new() })
        .collect();
    for round in 1..=bench.rounds() {
        let mut cluster = Cluster::start_in(bench, &format!("idle-{round}"), &[])?;
        cluster.start_gateway(&[])?;
        // Before the first request to any of them.
        for server in &mut servers {
            let alone = bench.run(settled(server.pid(&cluster)?))?;
            server.alone.push(alone);
        }
        let file = cluster.fill(bench, 1, SIZE)?.pop().context("no file")?;
        for server in &mut servers {
            server.crowd(bench, &cluster, &file, connections)?;
            let (alone, each) = (server.alone.last(), server.each.last());
            let alone = alone.map_or(0, |memory| memory.resident);
            let [each, _] = each.copied().unwrap_or_default();
            bench.say(&format!(
                "idle-{}, round {round}: {alone} KiB, {each:.1} KiB for a connection",
                server.name
            ));
        }
    }
    Ok(report(bench, &servers, connections))
}

/// The memory of a process, when it no longer changes.
async fn settled(pid: u32) -> anyhow::Result<Memory> {
    let mut last = Memory::of(pid)?;
    for _ in 0..RESTS {
        sleep(REST).await;
        let now = Memory::of(pid)?;
        if now.resident == last.resident {
            break;
        }
        last = now;
    }
    Memory::of(pid)
}

impl Server {
    fn pid(&self, cluster: &Cluster) -> anyhow::Result<u32> {
        Ok(match self.name {
            "tracker" => cluster.tracker_pid(),
            "id" => cluster.id_pid(),
            "storage" => cluster.storage_pid(),
            _ => cluster.gateway_pid().context("there is no gateway")?,
        })
    }

    /// Opens the connections, with one request on each, and looks again when they are silent.
    fn crowd(
        &mut self,
        bench: &mut Bench,
        cluster: &Cluster,
        file: &FileKey,
        connections: usize,
    ) -> anyhow::Result<()> {
        let pid = self.pid(cluster)?;
        let this = &*self;
        let [before, during, afterwards] = bench.run(async {
            let mut first = Vec::new();
            for _ in 0..FIRST {
                first.push(this.client(cluster, file).await?);
            }
            drop(first);
            let before = settled(pid).await?;
            let mut clients = Vec::new();
            for _ in 0..connections {
                clients.push(this.client(cluster, file).await?);
            }
            let during = settled(pid).await?;
            // They were silent, not gone.
            for client in &mut clients {
                client.ask().await.context("on a connection that was silent")?;
            }
            drop(clients);
            anyhow::Ok([before, during, settled(pid).await?])
        })?;
        let each = |of: fn(Memory) -> u64| (of(during) as f64 - of(before) as f64) / connections as f64;
        self.each.push([each(|memory| memory.resident), each(|memory| memory.proportional)]);
        self.afterwards.push(afterwards);
        Ok(())
    }

    /// A connection that has had an answer.
    async fn client(&self, cluster: &Cluster, file: &FileKey) -> anyhow::Result<Client> {
        let wire = async |server: SocketAddr, request| {
            anyhow::Ok(Client::Wire(Wire::connect(server).await?, request))
        };
        let mut client = match self.name {
            "tracker" => {
                let request = Saddrs { app: AppId::new(APP)?, user: UserId::new("user")?, file: None };
                wire(cluster.tracker(), request.to_frame()).await?
            }
            "id" => wire(cluster.id(), IdGet { key: "idle".to_owned() }.to_frame()).await?,
            "storage" => wire(cluster.storage(), file.to_frame(Command::FileSize)).await?,
            _ => {
                let gateway = cluster.gateway().context("there is no gateway")?;
                let get = BytesMut::from(request(&crate::gateway::path(file), None).as_bytes());
                Client::Http(Gets::connect(gateway, [get].into(), SIZE).await?)
            }
        };
        client.ask().await?;
        Ok(client)
    }

    fn figures(&self) -> Figures {
        let mib = |all: &[Memory], of: fn(&Memory) -> u64| {
            Spread::of(all.iter().map(|memory| of(memory) as f64 / 1024.0))
        };
        Figures {
            server: self.name,
            alone_mib: mib(&self.alone, |memory| memory.resident),
            alone_proportional_mib: mib(&self.alone, |memory| memory.proportional),
            connection_kib: Spread::of(self.each.iter().map(|[resident, _]| *resident)),
            connection_proportional_kib: Spread::of(self.each.iter().map(|[_, proportional]| *proportional)),
            afterwards_mib: mib(&self.afterwards, |memory| memory.resident),
        }
    }
}

impl Client {
    /// One request, whose answer must be right.
    async fn ask(&mut self) -> anyhow::Result<()> {
        match self {
            Client::Wire(wire, request) => match wire.call(request).await? {
                answer if answer.is_empty() => bail!("an empty answer"),
                _ => Ok(()),
            },
            Client::Http(gets) => gets.exchange().await,
        }
    }
}

fn report(bench: &Bench, servers: &[Server], connections: usize) -> Report {
    let figures: Vec<Figures> = servers.iter().map(Server::figures).collect();
    let mut table =
        Table::new(["server", "alone MiB", "PSS MiB", "connection KiB", "PSS KiB", "afterwards MiB"]);
    let mut targets = Vec::new();
    for of in &figures {
        let medians = [
            of.alone_mib,
            of.alone_proportional_mib,
            of.connection_kib,
            of.connection_proportional_kib,
            of.afterwards_mib,
        ];
        let [alone, alone_pss, each, each_pss, afterwards] = medians.map(|spread| number(spread.median));
        table.row([of.server.to_owned(), alone, alone_pss, each, each_pss, afterwards]);
        let target = |what: &str, ratio, goal| Target {
            what: format!("idle-{} {what}", of.server),
            ratio,
            goal,
            figures: None,
        };
        targets.push(target("resident MiB", of.alone_mib, Goal::AtMost(ALONE)));
        targets.push(target("KiB for a silent connection", of.connection_kib, Goal::AtMost(EACH)));
    }
    let title = format!(
        "Resident memory after the start, and with {connections} connections that are silent after a request each: {} starts",
        bench.rounds()
    );
    Report {
        name: "idle",
        is_quick: bench.is_quick,
        parts: vec![(title, table)],
        targets,
        figures: serde_json::to_value(&figures).unwrap_or_default(),
    }
}
