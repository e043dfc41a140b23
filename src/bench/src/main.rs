//! Measures tnv beside its peers. A figure of a shared machine says little by itself, so everything is a ratio to
//! something measured in the same run, in turns. Targets are judged, but nothing here fails because one is missed.

mod bench;

mod transfer;

mod small;

mod gateway;

mod edge;

mod stall;

mod scale;

mod idle;

mod catalog;

mod copies;

mod compare;

mod contents;
mod http;
mod load;
mod socket;
mod wire;

mod cluster;
mod cpu;
mod memory;
mod peer;

mod report;
mod spread;
mod table;
mod versus;
mod warmth;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use bench::Bench;
use report::Report;

/// Measures tnv beside its peers, in one run on one machine.
#[derive(Debug, Parser)]
#[command(name = "tnv-bench")]
struct Args {
    #[command(subcommand)]
    what: Option<What>,

    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Fewer and shorter rounds: to see that everything runs, not for figures
    #[arg(long, global = true)]
    quick: bool,

    /// Only the work whose name holds this, such as download-4k-32 or upload; can be given several times
    #[arg(long, global = true, value_name = "FILTER")]
    only: Vec<String>,

    /// How many rounds [default: 5; 3 with --quick]
    #[arg(long, global = true, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,

    /// How many files the large store of `scale` holds [default: 1000000; 5000 with --quick]
    #[arg(long, global = true, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    files: Option<u64>,

    /// Leave the servers' data where they are: to delete many files slows some disks down for minutes
    #[arg(long, global = true)]
    keep: bool,

    /// The program to measure [default: tnv beside this program]
    #[arg(long, global = true, value_name = "PROGRAM")]
    tnv: Option<PathBuf>,

    /// Where the figures go as JSON, and the servers' data while they run; it decides which disk is measured
    /// [default: bench beside the folder of this program]
    #[arg(long, global = true, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Everything below but compare, and a summary
    All,

    /// Uploads and downloads of 1 GiB beside dd, iperf3 and nginx
    Transfer,

    /// Small downloads and sizes beside nginx, small uploads beside a loop that only stores files
    Small,

    /// Large and small GETs through gateway and storage beside nginx in front of nginx
    Gateway,

    /// Packages at hub and nodes beside nginx, and one file from many servers beside aria2
    Edge,

    /// Viewers of one film beside clients that stall, and without them
    Stall,

    /// Uploads and downloads at a store of many files beside one of few
    Scale,

    /// What servers hold resident, alone and for each silent connection
    Idle,

    /// Uploads on SQLite and MariaDB, in batches and one by one; sizes while Redis hangs
    Catalog,

    /// Uploads to a group of two, with one copy before the answer and with both; a new storage that gets what others have
    Copies,

    /// This program beside that of another commit, which is built first
    Compare {
        /// The other commit, or what git has for one
        base: String,

        /// Where the commit is
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        repository: PathBuf,
    },

    /// One of the processes that make load; its parent talks to it over standard input and output
    #[command(hide = true)]
    Drive,
}

type Measure = fn(&mut Bench) -> anyhow::Result<Report>;

/// What `all` is, in this order.
const ALL: &[Measure] = &[
    transfer::measure,
    small::measure,
    gateway::measure,
    edge::measure,
    stall::measure,
    scale::measure,
    idle::measure,
    catalog::measure,
    copies::measure,
];

fn main() -> ExitCode {
    let Args { what, options } = Args::parse();
    match run(what.unwrap_or(What::All), &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If not even this can be said, the exit code still tells.
            let _ = writeln!(std::io::stderr(), "tnv-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(what: What, options: &Options) -> anyhow::Result<()> {
    let measure: Measure = match what {
        What::Transfer => transfer::measure,
        What::Small => small::measure,
        What::Gateway => gateway::measure,
        What::Edge => edge::measure,
        What::Idle => idle::measure,
        What::Stall => stall::measure,
        What::Scale => scale::measure,
        What::Catalog => catalog::measure,
        What::Copies => copies::measure,
        What::All => return measure_all(&mut Bench::new(options)?),
        What::Compare { base, repository } => {
            let mut bench = Bench::new(options)?;
            let report = compare::measure(&mut bench, &base, &repository)?;
            return tell(&bench, &report);
        }
        What::Drive => return bench::runtime()?.block_on(load::drive()),
    };
    let mut bench = Bench::new(options)?;
    let report = measure(&mut bench)?;
    tell(&bench, &report)
}

fn measure_all(bench: &mut Bench) -> anyhow::Result<()> {
    let mut reports = Vec::new();
    for measure in ALL {
        let report = measure(bench)?;
        tell(bench, &report)?;
        reports.push(report);
    }
    Ok(writeln!(std::io::stdout(), "\nAll that is judged\n\n{}", report::summary(&reports))?)
}

/// Shows a report and saves it.
fn tell(bench: &Bench, report: &Report) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    write!(stdout, "\n{report}")?;
    let file = report.save(bench.output())?;
    Ok(writeln!(stdout, "written to {}", file.display())?)
}
