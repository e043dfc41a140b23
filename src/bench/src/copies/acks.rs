//! Uploads to a group of two: answered when both have the file, and when the first one has.

use super::wait_until_reached;
use crate::bench::Bench;
use crate::cluster::Cluster;
use crate::load::Work;
use crate::report::Goal;
use crate::versus::{Contest, Outcome, Section, Unit};

/// The length of every file, in bytes.
const SIZE: u64 = 4096;
/// How many connections ask at once.
const CONNECTIONS: [usize; 2] = [1, 32];
/// Of the uploads in a second of one connection with one copy: how many there are with two, for none takes twice as long.
const RATE: f64 = 0.5;
/// Of the CPU of both storages with one copy, of which the other one comes later.
const CPU: f64 = 2.2;

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Section> {
    let mut outcomes = Vec::new();
    for connections in CONNECTIONS {
        outcomes.push(compare(bench, connections)?);
    }
    let title = format!(
        "Uploads of {SIZE} bytes to a group of two, CPU of both: {} rounds of {} s, in turns",
        bench.rounds(),
        bench.window().measured.as_secs_f64()
    );
    Ok(Section::new(title, outcomes))
}

fn compare(bench: &mut Bench, connections: usize) -> anyhow::Result<Option<Outcome>> {
    let name = format!("acks-{connections}");
    if !bench.wants(&name) {
        return Ok(None);
    }
    let (one, two) = (start(bench, &format!("{name}-1"), 1)?, start(bench, &format!("{name}-2"), 2)?);
    let mut contest = Contest::new(name, Unit::Requests);
    let turn = |group: &Cluster, bench: &mut Bench| {
        rustix::fs::sync();
        let (window, work) = (bench.window(), Work::Upload { size: SIZE });
        bench.closed_loop(group.storage(), &group.storage_pids(), connections, window, &work)
    };
    let ours = contest.side("ack_copies = 2", |bench| turn(&two, bench));
    let theirs = contest.side("ack_copies = 1", |bench| turn(&one, bench));
    let goal = if connections == 1 { Goal::AtLeast(RATE) } else { Goal::None };
    contest.rate(ours, theirs, goal);
    contest.cpu(ours, theirs, Goal::AtMost(CPU));
    contest.play(bench)
}

/// A group of two whose first storage answers when so many have the file.
fn start(bench: &mut Bench, name: &str, copies: u8) -> anyhow::Result<Cluster> {
    let ack = format!("ack_copies={copies}");
    let settings = ["replication=copies", ack.as_str()];
    let mut cluster = Cluster::start_in(bench, name, &settings)?;
    cluster.add_storage(&settings)?;
    wait_until_reached(bench, cluster.storage(), 1)?;
    Ok(cluster)
}
