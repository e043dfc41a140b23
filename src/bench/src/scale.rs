//! `scale`: what the number of files costs: uploads and downloads at a store that holds few, and at one that holds many.

mod store;

use tnv_proto::FileKey;
use tokio::task::JoinSet;

use crate::bench::Bench;
use crate::cluster::Cluster;
use crate::load::{Exchange, Window, Work};
use crate::report::{Goal, Report};
use crate::versus::{Contest, Outcome, Section, Unit};
use crate::wire::Downloads;

/// The length of every file, in bytes.
const SIZE: u64 = 4096;
/// How many connections ask at once.
const CONNECTIONS: usize = 32;
/// Of the rate at the small store: what the large one is to reach.
const RATE: f64 = 0.8;

/// Measures it all.
///
/// # Errors
/// If a server refuses what it should do.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<Report> {
    let (few, many) = if bench.is_quick { (100, 5_000) } else { (1_000, 1_000_000) };
    let many = bench.files().unwrap_or(many);
    let large = store::open(bench, many)?;
    let names = [format!("at {few} files"), format!("at {many} files")];
    let outcomes =
        [downloads(bench, few, &large, names.clone())?, uploads(bench, few, &large.cluster, names)?];
    let title = format!(
        "Files of {SIZE} bytes, {CONNECTIONS} connections, each asking when it has its answer; downloads are of {} files \
         from everywhere in the large store; {} rounds, in turns",
        large.sample.len(),
        bench.rounds()
    );
    Ok(Report::of("scale", bench, [Section::new(title, outcomes)]))
}

fn downloads(
    bench: &mut Bench,
    few: usize,
    large: &store::Store,
    names: [String; 2],
) -> anyhow::Result<Option<Outcome>> {
    let name = "scale-download-4k-32";
    if !bench.wants(name) {
        return Ok(None);
    }
    let small = Cluster::start_in(bench, "scale-small", &[])?;
    let keys = small.fill(bench, few, SIZE)?;
    let mut contest = Contest::new(name, Unit::Requests);
    let [of_few, of_many] = names;
    let mut sides = Vec::new();
    for (name, cluster, keys) in [(of_few, &small, &keys), (of_many, &large.cluster, &large.sample)] {
        read(bench, cluster, keys)?;
        let work = Work::Download { files: Work::files(keys), size: SIZE };
        sides.push(contest.side(name, move |bench| {
            let window = bench.window();
            bench.closed_loop(cluster.storage(), &[cluster.storage_pid()], CONNECTIONS, window, &work)
        }));
    }
    judge(contest, &sides).play(bench)
}

/// The small store is a new one each time: it would soon be none.
fn uploads(
    bench: &mut Bench,
    few: usize,
    large: &Cluster,
    names: [String; 2],
) -> anyhow::Result<Option<Outcome>> {
    let mut contest = Contest::new("scale-upload-4k-32", Unit::Requests);
    let [of_few, of_many] = names;
    let turn = |bench: &mut Bench, cluster: &Cluster| {
        // What others wrote is on the disk before this begins.
        rustix::fs::sync();
        let window = Window { measured: bench.window().measured / 3, ..bench.window() };
        let work = Work::Upload { size: SIZE };
        bench.closed_loop(cluster.storage(), &[cluster.storage_pid()], CONNECTIONS, window, &work)
    };
    let small = contest.side(of_few, |bench| {
        let cluster = Cluster::start_in(bench, "scale-new", &[])?;
        cluster.fill(bench, few, SIZE)?;
        turn(bench, &cluster)
    });
    let large = contest.side(of_many, |bench| turn(bench, large));
    judge(contest, &[small, large]).play(bench)
}

fn judge<'a>(mut contest: Contest<'a>, sides: &[crate::versus::Side]) -> Contest<'a> {
    if let [small, large] = sides {
        contest.rate(*large, *small, Goal::AtLeast(RATE));
        contest.cpu(*large, *small, Goal::None);
    }
    contest
}

/// Downloads each file once and compares its bytes, so that all are as warm as they get.
fn read(bench: &mut Bench, cluster: &Cluster, keys: &[FileKey]) -> anyhow::Result<()> {
    let storage = cluster.storage();
    bench.run(async {
        let mut reading: JoinSet<anyhow::Result<()>> = JoinSet::new();
        for share in keys.chunks(keys.len().div_ceil(CONNECTIONS).max(1)) {
            let share = share.to_vec();
            reading.spawn(async move {
                for key in share {
                    let request = Downloads::requests(&[key]);
                    Downloads::connect(storage, request, SIZE).await?.exchange().await?;
                }
                Ok(())
            });
        }
        while let Some(read) = reading.join_next().await {
            read??;
        }
        Ok(())
    })
}
