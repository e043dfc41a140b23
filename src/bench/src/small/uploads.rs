//! UPLOAD beside a loop that only stores files.

use super::{CONNECTIONS, method};
use crate::bench::Bench;
use crate::cluster::Cluster;
use crate::load::Work;
use crate::peer::BareLoop;
use crate::report::Goal;
use crate::versus::{Contest, Outcome, Section, Unit};

/// The length of every file, in bytes.
const SIZE: usize = 4096;

/// When the reply to an upload comes, and what it is measured beside.
struct Policy {
    name: &'static str,
    /// The key of the storage; None = as it comes.
    setting: Option<&'static str>,
    /// Of the loop.
    threads: usize,
    syncs: bool,
    /// Of the loop's rate, with 32 connections.
    goal: Goal,
}

/// The policies that this program knows. The default is measured by its name, or without one if there is no choice.
fn policies(bench: &Bench) -> Vec<Policy> {
    let none = Policy {
        name: "none",
        setting: Some("sync=none"),
        threads: 2,
        syncs: false,
        goal: Goal::AtLeast(0.4),
    };
    let group = Policy {
        name: "group",
        setting: Some("sync=group"),
        threads: 32,
        syncs: true,
        goal: Goal::AtLeast(0.5),
    };
    let always = Policy { name: "always", setting: Some("sync=always"), goal: Goal::None, ..group };
    if bench.knows("storage", "sync=group") {
        vec![none, group, always]
    } else {
        bench.say("this program has no choice of sync: uploads are measured as they come");
        vec![Policy { setting: None, ..group }]
    }
}

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Section> {
    let mut outcomes = Vec::new();
    for policy in policies(bench) {
        for connections in CONNECTIONS {
            outcomes.push(policy.measure(bench, connections)?);
        }
    }
    Ok(Section::new(format!("Uploads of {SIZE} bytes: {}", method(bench)), outcomes))
}

impl Policy {
    fn measure(&self, bench: &mut Bench, connections: usize) -> anyhow::Result<Option<Outcome>> {
        let name = format!("upload-4k-{}-{connections}", self.name);
        if !bench.wants(&name) {
            return Ok(None);
        }
        let settings: Vec<&str> = self.setting.into_iter().collect();
        let cluster = Cluster::start_in(bench, &name, &settings)?;
        let threads = self.threads.min(connections);
        let mut bare = BareLoop::new(bench, &format!("{name}-bare"), SIZE, threads, self.syncs)?;
        let goal = if connections == 32 { self.goal } else { Goal::None };

        let mut contest = Contest::new(name, Unit::Requests);
        let tnv = contest.side("tnv", |bench| {
            // What others wrote is on the disk before this begins.
            rustix::fs::sync();
            let (window, work) = (bench.window(), Work::Upload { size: SIZE as u64 });
            bench.closed_loop(cluster.storage(), &[cluster.storage_pid()], connections, window, &work)
        });
        let loops = contest.side(format!("bare loop, threads: {threads}"), |bench| {
            rustix::fs::sync();
            let window = bench.window();
            bare.turn(bench, window)
        });
        contest.rate(tnv, loops, goal);
        contest.cpu(tnv, loops, Goal::None);
        contest.play(bench)
    }
}
