//! Many clients that ask the hub at once for a package that several nodes hold.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use tnv_testbed::DEADLINE;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::Peaks;
use super::site::Site;
use crate::bench::Bench;
use crate::http;
use crate::load::{latencies, quantile_ms, record};
use crate::report::{Goal, Target};
use crate::socket::Socket;
use crate::spread::Spread;
use crate::table::{Table, number};
use crate::versus::Section;

const WORK: &str = "hub-crowd";
const CLIENTS: u16 = 1_000;
const NODES: usize = 3;
/// The size of the package's file, in bytes: nobody fetches it here.
const SIZE: u64 = 1 << 20;
/// Of the median: the slowest hundredth of the answers may take so many times as long.
const P99: f64 = 20.0;
/// Of an even share: by how much a node's may differ.
const UNEVEN: f64 = 0.15;
/// Room for the head of an answer, in bytes.
const HEAD: usize = 4 << 10;

/// What came of one crowd.
struct Crowd {
    latencies: Histogram<u64>,
    /// How many were sent to each node.
    sent: BTreeMap<String, usize>,
}

pub(super) fn measure(bench: &mut Bench, peaks: &mut Vec<Peaks>) -> anyhow::Result<Option<Section>> {
    if !bench.wants(WORK) {
        return Ok(None);
    }
    let mut site = Site::start(bench, "edge-crowd")?;
    for _ in 0..NODES {
        site.start_node(bench, site.hub())?;
    }
    bench.run(async {
        site.meeting("film").await?;
        site.put("film", "film.mp4", 0..SIZE).await?;
        site.held("film").await
    })?;
    let mut crowds = Vec::new();
    for round in 1..=bench.rounds() {
        bench.warm()?;
        let crowd = bench.run(crowd(site.hub(), u8::try_from(round).context("too many rounds")?))?;
        let (p50, p99) = (quantile_ms(&crowd.latencies, 0.5), quantile_ms(&crowd.latencies, 0.99));
        bench.say(&format!("{WORK}, round {round}: p50 {p50:.2} ms, p99 {p99:.2} ms, {:?}", crowd.sent));
        crowds.push(crowd);
    }
    peaks.push(Peaks::of(WORK, &site)?);
    Ok(Some(section(&crowds)))
}

/// All connect and ask at once. Each has an address of its own, as clients have: one that comes back is taken for one
/// whose node has failed it.
async fn crowd(hub: SocketAddr, round: u8) -> anyhow::Result<Crowd> {
    let mut asking = JoinSet::new();
    for n in 0..CLIENTS {
        let [high, low] = n.to_be_bytes();
        asking.spawn(ask(hub, IpAddr::from([127, round, high, low.max(1)])));
    }
    let mut crowd = Crowd { latencies: latencies(), sent: BTreeMap::new() };
    let answers = async {
        while let Some(asked) = asking.join_next().await {
            let (latency, node) = asked??;
            record(&mut crowd.latencies, latency);
            *crowd.sent.entry(node).or_default() += 1;
        }
        anyhow::Ok(())
    };
    timeout(DEADLINE, answers).await.context("the hub does not answer all")??;
    Ok(crowd)
}

/// How long it took from before the connection to the answer, and which node it names.
async fn ask(hub: SocketAddr, client: IpAddr) -> anyhow::Result<(Duration, String)> {
    let begin = Instant::now();
    let mut socket = Socket::connect_from(client, hub, HEAD).await?;
    socket.send(http::request("/api/v1/meetings/film/download-package", None).as_bytes()).await?;
    let node = socket.head(node_of).await?;
    Ok((begin.elapsed(), node))
}

fn node_of(bytes: &[u8]) -> anyhow::Result<Option<(String, usize)>> {
    let Some((head, end)) = http::text(bytes)? else { return Ok(None) };
    let node = http::header(head, "location").and_then(|url| url.strip_prefix("http://")?.split('/').next());
    match (http::status(head), node) {
        (Some(302), Some(node)) => Ok(Some((node.to_owned(), end))),
        _ => bail!("not sent to a node: {head}"),
    }
}

impl Crowd {
    /// By which part of an even share the share of any node differs from it, at most.
    fn unevenness(&self) -> f64 {
        let even = self.sent.values().sum::<usize>() as f64 / NODES as f64;
        let shares = self.sent.values().copied().chain(std::iter::repeat(0)).take(NODES.max(self.sent.len()));
        shares.map(|share| (share as f64 - even).abs() / even).fold(0.0, f64::max)
    }
}

fn section(crowds: &[Crowd]) -> Section {
    let quantile =
        |share| crowds.iter().map(|crowd| quantile_ms(&crowd.latencies, share)).collect::<Vec<_>>();
    let (p50, p99, most) = (quantile(0.5), quantile(0.99), quantile(1.0));
    let uneven: Vec<f64> = crowds.iter().map(Crowd::unevenness).collect();
    let mut table = Table::new(["round", "p50 ms", "p99 ms", "longest ms", "uneven by"]);
    for (round, crowd) in crowds.iter().enumerate() {
        let cells = [p50[round], p99[round], most[round], crowd.unevenness()].map(number);
        let [p50, p99, most, uneven] = cells;
        table.row([(round + 1).to_string(), p50, p99, most, uneven]);
    }
    let figures = serde_json::json!({
        "p50_ms": Spread::of(p50.iter().copied()),
        "p99_ms": Spread::of(p99.iter().copied()),
        "longest_ms": Spread::of(most),
        "sent": crowds.iter().map(|crowd| &crowd.sent).collect::<Vec<_>>(),
    });
    let targets = vec![
        Target::of_rounds(format!("{WORK} ms: p99 / median"), p99, p50, Goal::AtMost(P99)),
        Target {
            what: format!("{WORK}: farthest from an even share"),
            ratio: Spread::of(uneven),
            goal: Goal::AtMost(UNEVEN),
            figures: None,
        },
    ];
    let title =
        format!("{CLIENTS} clients that connect to the hub and ask at once; {NODES} nodes hold the package");
    Section { part: (title, table), targets, figures: [(WORK.to_owned(), figures)].into_iter().collect() }
}
