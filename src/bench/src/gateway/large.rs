//! GET of a large file, one at a time and several at once.

use super::Servers;
use crate::bench::Bench;
use crate::peer::Nginx;
use crate::report::Goal;
use crate::transfer::{Source, download, size};
use crate::versus::{Contest, Section, Unit};

/// Of nginx's rate: what gateway and storage are to reach.
const RATE: f64 = 1.3;
/// Of nginx's CPU for each GiB: what they may take.
const CPU: f64 = 0.75;

pub(super) fn measure(bench: &mut Bench, servers: &Servers) -> anyhow::Result<Section> {
    let size = size(bench);
    let contests = [
        ("get-large", 1, Goal::AtLeast(RATE), Goal::AtMost(CPU)),
        ("get-large-four", 4, Goal::None, Goal::None),
    ];
    let mut outcomes = Vec::new();
    if contests.iter().any(|(name, ..)| bench.wants(name)) {
        let files = servers.fill(bench, Nginx::LARGE, 1, size)?;
        let ours = Source::of_http(servers.gateway, servers.pids.to_vec(), &files.tnv[0], size);
        let theirs = servers.front.address();
        let theirs = Source::of_http(theirs, servers.nginx_pids.clone(), &files.nginx[0], size);
        for (name, at_once, rate, cpu) in contests {
            let mut contest = Contest::new(name, Unit::Bytes);
            let tnv = contest.side("tnv, gateway and storage", |bench| download(bench, &ours, at_once));
            let nginx = contest.side("nginx, proxy and origin", |bench| download(bench, &theirs, at_once));
            contest.rate(tnv, nginx, rate);
            contest.cpu(tnv, nginx, cpu);
            outcomes.push(contest.play(bench)?);
        }
    }
    let rounds = bench.rounds();
    Ok(Section::new(
        format!("GET of {} MiB through two servers, cached: {rounds} rounds, in turns", size >> 20),
        outcomes,
    ))
}
