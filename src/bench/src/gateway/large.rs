//! GET of a large file, one at a time and several at once.

use std::net::SocketAddr;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Files, Servers};
use crate::bench::Bench;
use crate::contents;
use crate::cpu::Meter;
use crate::http::{parse, request};
use crate::report::Goal;
use crate::socket::Socket;
use crate::versus::{Contest, Section, Turn, Unit};

/// Of nginx's rate: what gateway and storage are to reach.
const RATE: f64 = 1.3;
/// Of nginx's CPU for each GiB: what they may take.
const CPU: f64 = 0.75;
/// How many GETs at once are measured beside one, for information.
const SEVERAL: usize = 4;

pub(super) fn measure(bench: &mut Bench, servers: &Servers) -> anyhow::Result<Section> {
    let (name, size) = if bench.is_quick { ("64m", 64 << 20) } else { ("1g", 1 << 30) };
    let contests = [(format!("get-{name}-1"), 1), (format!("get-{name}-{SEVERAL}"), SEVERAL)];
    let mut outcomes = Vec::new();
    if contests.iter().any(|(name, _)| bench.wants(name)) {
        let files = servers.fill(bench, 1, size)?;
        for (name, at_once) in contests {
            outcomes.push(contest(servers, &files, name, at_once).play(bench)?);
        }
    }
    let rounds = bench.rounds();
    Ok(Section::new(
        format!("GET of {} MiB through two servers, cached: {rounds} rounds, in turns", size >> 20),
        outcomes,
    ))
}

fn contest<'a>(servers: &'a Servers, files: &'a Files, name: String, at_once: usize) -> Contest<'a> {
    let mut contest = Contest::new(name, Unit::Bytes);
    let tnv = contest.side("tnv, gateway and storage", move |bench| {
        turn(bench, servers.gateway, &servers.pids, &files.tnv[0], files.size, at_once)
    });
    let nginx = contest.side("nginx, proxy and origin", move |bench| {
        let (address, pids) = (servers.front.address(), &servers.nginx_pids);
        turn(bench, address, pids, &files.nginx[0], files.size, at_once)
    });
    let (rate, cpu) =
        if at_once == 1 { (Goal::AtLeast(RATE), Goal::AtMost(CPU)) } else { (Goal::None, Goal::None) };
    contest.rate(tnv, nginx, rate);
    contest.cpu(tnv, nginx, cpu);
    contest
}

/// Compares all bytes once, and then takes so many wholes at once with nothing but their lengths looked at.
fn turn(
    bench: &mut Bench,
    server: SocketAddr,
    pids: &[u32],
    path: &str,
    size: u64,
    at_once: usize,
) -> anyhow::Result<Turn> {
    let mut meter = Meter::over(pids.iter().copied());
    bench.run(async {
        let mut sockets = Vec::new();
        for _ in 0..at_once {
            sockets.push(Socket::connect(server).await?);
        }
        for (n, socket) in sockets.iter_mut().enumerate() {
            // The others have had a request as well.
            let length = if n == 0 { size } else { 1 << 16 };
            get(socket, path, Some(length), size, contents::check).await?;
        }
        meter.begin()?;
        let begin = Instant::now();
        let mut getting: JoinSet<anyhow::Result<()>> = JoinSet::new();
        for mut socket in sockets {
            let path = path.to_owned();
            getting.spawn(async move { get(&mut socket, &path, None, size, |_, _| Ok(())).await });
        }
        while let Some(got) = getting.join_next().await {
            got??;
        }
        let seconds = begin.elapsed().as_secs_f64();
        meter.end()?;
        let amount = (size * at_once as u64) as f64;
        Ok(Turn { amount, seconds, cpu: Some(meter.used()), latencies: None })
    })
}

/// The first `part` bytes of a file of `size`, or the whole.
async fn get(
    socket: &mut Socket,
    path: &str,
    part: Option<u64>,
    size: u64,
    take: impl FnMut(u64, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    socket.send(request(path, part.map(|part| 0..part)).as_bytes()).await?;
    let head = socket.head(parse).await?;
    let length = part.unwrap_or(size);
    head.expect(if part.is_some() { 206 } else { 200 }, length)?;
    socket.body(length, take).await
}
