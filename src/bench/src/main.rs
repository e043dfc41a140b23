//! Measures tnv beside its peers. A figure of a shared machine says little by itself, so everything is a ratio to
//! something measured in the same run, in turns. Targets are judged, but nothing here fails because one is missed.

mod catalog;

mod load;
mod wire;

mod cluster;
mod cpu;

mod report;
mod spread;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Measures tnv beside its peers, in one run on this machine.
#[derive(Debug, Parser)]
#[command(name = "tnv-bench")]
struct Args {
    /// What to measure
    #[arg(value_enum, default_value_t)]
    what: What,

    /// Fewer and shorter rounds: to see that everything runs, not for figures
    #[arg(long)]
    quick: bool,

    /// The program to measure [default: tnv beside this program]
    #[arg(long, value_name = "PROGRAM")]
    tnv: Option<PathBuf>,

    /// Where the figures go as JSON, and the servers' data while they run; it decides which disk is measured
    /// [default: bench beside the folder of this program]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum What {
    /// Uploads on SQLite and MariaDB, in batches and one by one; sizes while Redis hangs
    #[default]
    Catalog,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If not even this can be said, the exit code still tells.
            let _ = writeln!(std::io::stderr(), "tnv-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let mut bench = Bench::new(args)?;
    let report = match args.what {
        What::Catalog => catalog::measure(&mut bench)?,
    };
    let mut stdout = std::io::stdout().lock();
    write!(stdout, "{report}")?;
    let file = report.save(&bench.output)?;
    writeln!(stdout, "written to {}", file.display())?;
    Ok(())
}

/// What every measurement needs: the program, a folder, the time it may take.
struct Bench {
    tnv: PathBuf,
    output: PathBuf,
    /// Where servers keep their data; removed at the end.
    folder: TempDir,
    is_quick: bool,
    runtime: Runtime,
    stops: [Signal; 2],
}

impl Bench {
    fn new(args: &Args) -> anyhow::Result<Bench> {
        let program = std::env::current_exe()?;
        let built = program.parent().context("this program lies in no folder")?;
        let tnv = args.tnv.clone().unwrap_or_else(|| built.join("tnv"));
        if !tnv.is_file() {
            bail!("there is no {}: cargo build --release, or --tnv PROGRAM", tnv.display());
        }
        let output = match (&args.output, built.parent()) {
            (Some(folder), _) => folder.clone(),
            (None, Some(target)) => target.join("bench"),
            (None, None) => bail!("no folder for the results: --output FOLDER"),
        };
        std::fs::create_dir_all(&output).with_context(|| format!("cannot make {}", output.display()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stops = {
            let _guard = runtime.enter();
            [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?]
        };
        Ok(Bench {
            tnv: tnv.canonicalize()?,
            folder: tempfile::Builder::new().prefix("run-").tempdir_in(output.canonicalize()?)?,
            output,
            is_quick: args.quick,
            runtime,
            stops,
        })
    }

    /// A new folder for the data of one server or cluster.
    fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// How often everything is measured, in turns.
    fn rounds(&self) -> usize {
        if self.is_quick { 3 } else { 7 }
    }

    /// How long it is measured each time.
    fn window(&self) -> load::Window {
        let (warm_up, measured) = if self.is_quick { (300, 1_000) } else { (1_000, 4_000) };
        load::Window { warm_up: Duration::from_millis(warm_up), measured: Duration::from_millis(measured) }
    }

    /// Runs work to its end, or to the moment somebody stops this program: whoever gets the error drops the servers,
    /// which ends them.
    fn run<T>(&mut self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let [interrupt, terminate] = &mut self.stops;
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = interrupt.recv() => bail!("interrupted"),
                _ = terminate.recv() => bail!("terminated"),
                outcome = work => outcome,
            }
        })
    }

    /// Says how far it is.
    fn say(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    fn tnv(&self) -> &Path {
        &self.tnv
    }
}
