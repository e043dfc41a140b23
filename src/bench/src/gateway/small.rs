//! Many GETs on connections that stay: of small files, and of parts of a large one.

use super::{Files, Servers};
use crate::bench::Bench;
use crate::load::Work;
use crate::peer::Nginx;
use crate::report::Goal;
use crate::transfer::size;
use crate::versus::{Contest, Section, Unit};

/// How many connections ask at once.
const CONNECTIONS: [usize; 3] = [1, 8, 32];
/// The number the target is for, and the rate there, of nginx's.
const JUDGED: usize = 32;
const RATE: f64 = 0.9;
/// How long parts are, in bytes.
const PART: u64 = 64 << 10;

pub(super) fn measure(bench: &mut Bench, servers: &Servers) -> anyhow::Result<Section> {
    let count = if bench.is_quick { 100 } else { 1_000 };
    let mut outcomes = Vec::new();
    for (folder, size) in [("4k", 4 << 10), ("64k", 64 << 10)] {
        let name = |connections| format!("get-{folder}-{connections}");
        if CONNECTIONS.iter().any(|connections| bench.wants(&name(*connections))) {
            let files = servers.fill(bench, folder, count, size)?;
            let work = |paths: &Vec<String>| Work::Get { paths: paths.clone(), size };
            for connections in CONNECTIONS {
                let goal =
                    if (size, connections) == (4 << 10, JUDGED) { Goal::AtLeast(RATE) } else { Goal::None };
                let contest = contest(servers, name(connections), connections, &files, work, goal);
                outcomes.push(contest.play(bench)?);
            }
        }
    }
    let name = |connections| format!("range-64k-{connections}");
    if CONNECTIONS.iter().any(|connections| bench.wants(&name(*connections))) {
        let size = size(bench);
        let files = servers.fill(bench, Nginx::PARTS, 1, size)?;
        let work = |paths: &Vec<String>| Work::GetParts { path: paths[0].clone(), size, part: PART };
        for connections in CONNECTIONS {
            let contest = contest(servers, name(connections), connections, &files, work, Goal::None);
            outcomes.push(contest.play(bench)?);
        }
    }
    let title = format!(
        "Small GETs through two servers, cached; ranges lie anywhere in a large file: each connection asks when it has its \
         answer; {} rounds of {} s, in turns",
        bench.rounds(),
        bench.window().measured.as_secs_f64()
    );
    Ok(Section::new(title, outcomes))
}

fn contest<'a>(
    servers: &'a Servers,
    name: String,
    connections: usize,
    files: &Files,
    work: impl Fn(&Vec<String>) -> Work,
    goal: Goal,
) -> Contest<'a> {
    let mut contest = Contest::new(name, Unit::Requests);
    let (ours, theirs) = (work(&files.tnv), work(&files.nginx));
    let tnv = contest.side("tnv, gateway and storage", move |bench| {
        let window = bench.window();
        bench.closed_loop(servers.gateway, &servers.pids, connections, window, &ours)
    });
    let nginx = contest.side("nginx, proxy and origin", move |bench| {
        let window = bench.window();
        bench.closed_loop(servers.front.address(), &servers.nginx_pids, connections, window, &theirs)
    });
    contest.rate(tnv, nginx, goal);
    contest.cpu(tnv, nginx, Goal::None);
    contest
}
