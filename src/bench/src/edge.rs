//! `edge`: meetings' packages at a hub and its nodes, and one file from many servers.

mod serve;

mod fetch;

mod crowd;

mod sync;

mod relay;
mod site;

use anyhow::bail;
use tnv_testbed::installed;

use crate::bench::Bench;
use crate::memory::peak;
use crate::peer::{Nginx, aria2};
use crate::report::{Goal, Report, Target};
use crate::spread::Spread;
use crate::table::{Table, number};
use crate::versus::Section;
use site::Site;

/// What hub and nodes may have resident at most, in MiB.
const PEAK: f64 = 64.0;

/// The most that the servers of one measurement had resident.
#[derive(serde::Serialize)]
struct Peaks {
    work: &'static str,
    /// In MiB.
    hub: f64,
    /// Of the node that had most.
    node: f64,
}

/// Measures it all.
///
/// # Errors
/// If a program is missing or a server refuses what it should do.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<Report> {
    if !installed(&[Nginx::PROGRAM, aria2::PROGRAM]) {
        bail!("nginx and aria2 are needed: apt-get install nginx-light aria2");
    }
    let mut peaks = Vec::new();
    let mut sections = vec![serve::measure(bench, &mut peaks)?, fetch::measure(bench)?];
    sections.extend(crowd::measure(bench, &mut peaks)?);
    sections.extend(sync::measure(bench, &mut peaks)?);
    sections.extend(memory(&peaks));
    Ok(Report::of("edge", bench, sections))
}

impl Peaks {
    /// Of a site, up to now.
    ///
    /// # Errors
    /// If a server is gone.
    fn of(work: &'static str, site: &Site) -> anyhow::Result<Peaks> {
        let mib = |pid| anyhow::Ok(peak(pid)? as f64 / 1024.0);
        let nodes: Vec<f64> = site.nodes().iter().map(|node| mib(node.pid())).collect::<Result<_, _>>()?;
        Ok(Peaks { work, hub: mib(site.hub_pid()?)?, node: nodes.into_iter().fold(0.0, f64::max) })
    }
}

fn memory(peaks: &[Peaks]) -> Option<Section> {
    let mut table = Table::new(["work", "hub MiB", "node MiB"]);
    for Peaks { work, hub, node } in peaks {
        table.row([(*work).to_owned(), number(*hub), number(*node)]);
    }
    let most = |who: &str, of: fn(&Peaks) -> f64| Target {
        what: format!("{who}: most resident, MiB"),
        ratio: Spread::of([peaks.iter().map(of).fold(0.0, f64::max)]),
        goal: Goal::AtMost(PEAK),
        figures: None,
    };
    let targets = vec![most("hub", |peaks| peaks.hub), most("node", |peaks| peaks.node)];
    let figures = [("peaks_mib".to_owned(), serde_json::to_value(peaks).unwrap_or_default())];
    let title = "The most that was resident of each server, from its start to the end of its work".to_owned();
    (!peaks.is_empty()).then(|| Section {
        part: (title, table),
        targets,
        figures: figures.into_iter().collect(),
    })
}
