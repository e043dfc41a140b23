//! What every measurement needs: the program, a folder, the time it may take.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Resource, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Options;
use crate::cpu::Meter;
use crate::load::{Edge, Fleet, Window, Work};
use crate::versus::Turn;
use crate::warmth::Warmth;

/// Load generators at once: there are hardly more cores for them.
const PROCESSES: usize = 2;

/// One run of this program.
pub(crate) struct Bench {
    tnv: PathBuf,
    output: PathBuf,
    /// Where servers keep their data; removed at the end, unless it is to be kept.
    folder: TempDir,
    only: Vec<String>,
    rounds: usize,
    files: Option<u64>,
    warmth: Warmth,
    pub(crate) is_quick: bool,
    runtime: Runtime,
    stops: [Signal; 2],
}

impl Bench {
    pub(crate) fn new(options: &Options) -> anyhow::Result<Bench> {
        raise_descriptor_limit()?;
        let program = std::env::current_exe()?;
        let built = program.parent().context("this program lies in no folder")?;
        let tnv = options.tnv.clone().unwrap_or_else(|| built.join("tnv"));
        if !tnv.is_file() {
            bail!("there is no {}: cargo build --release, or --tnv PROGRAM", tnv.display());
        }
        let output = match (&options.output, built.parent()) {
            (Some(folder), _) => folder.clone(),
            (None, Some(target)) => target.join("bench"),
            (None, None) => bail!("no folder for the results: --output FOLDER"),
        };
        std::fs::create_dir_all(&output).with_context(|| format!("cannot make {}", output.display()))?;
        let runtime = runtime()?;
        let stops = {
            let _guard = runtime.enter();
            [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?]
        };
        let rounds = options.rounds.map_or(if options.quick { 3 } else { 5 }, usize::from);
        let mut folder = tempfile::Builder::new().prefix("run-").tempdir_in(output.canonicalize()?)?;
        folder.disable_cleanup(options.keep);
        let warmth = Warmth::of(&output)?;
        Ok(Bench {
            tnv: tnv.canonicalize()?,
            folder,
            output,
            only: options.only.clone(),
            rounds,
            files: options.files,
            warmth,
            is_quick: options.quick,
            runtime,
            stops,
        })
    }

    /// The program that is measured.
    pub(crate) fn tnv(&self) -> &Path {
        &self.tnv
    }

    /// Where the figures go.
    pub(crate) fn output(&self) -> &Path {
        &self.output
    }

    /// A new folder for the data of one server or cluster, with a number behind its name if there is one already.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let mut folder = self.folder.path().join(name);
        for number in 2.. {
            match std::fs::create_dir(&folder) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    folder = self.folder.path().join(format!("{name}-{number}"));
                }
                made => {
                    made.with_context(|| format!("cannot make {}", folder.display()))?;
                    break;
                }
            }
        }
        Ok(folder)
    }

    /// Whether this is to be measured.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|filter| name.contains(filter.as_str()))
    }

    /// Whether a role of the program has this key and takes this value (`KEY=VALUE`). Only what it says to an unknown key
    /// or a value counts, not whether its other keys are right.
    pub(crate) fn knows(&self, role: &str, setting: &str) -> bool {
        let output = Command::new(&self.tnv)
            .args([role, "--check", "--set", setting])
            .env_clear()
            .current_dir(self.folder.path())
            .output();
        let key = setting.split('=').next().unwrap_or(setting);
        output.is_ok_and(|output| !String::from_utf8_lossy(&output.stderr).contains(&format!("--set {key}:")))
    }

    /// How often everything is measured, in turns.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds
    }

    /// How many files a large store holds, if that was said.
    pub(crate) fn files(&self) -> Option<u64> {
        self.files
    }

    /// How long it is measured each time.
    pub(crate) fn window(&self) -> Window {
        let (warm_up, measured) = if self.is_quick { (100, 300) } else { (500, 3_000) };
        Window { warm_up: Duration::from_millis(warm_up), measured: Duration::from_millis(measured) }
    }

    /// Sees to it that memory costs the same for whoever comes next (see [`Warmth`]); a quick run does without. Blocks.
    ///
    /// # Errors
    /// If it cannot be seen to.
    pub(crate) fn warm(&mut self) -> anyhow::Result<()> {
        if self.is_quick { Ok(()) } else { self.warmth.fill() }
    }

    /// Runs work to its end, or to the moment somebody stops this program: whoever gets the error drops the servers,
    /// which ends them.
    ///
    /// # Errors
    /// Those of the work; if this program is stopped.
    pub(crate) fn run<T>(&mut self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
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

    /// One turn of a side in a contest: a closed loop of so many connections for so long, made by other processes, with
    /// the CPU time of the servers with these `pids`.
    ///
    /// # Errors
    /// The first of any connection; if a server is gone.
    pub(crate) fn closed_loop(
        &mut self,
        server: SocketAddr,
        pids: &[u32],
        connections: usize,
        window: Window,
        work: &Work,
    ) -> anyhow::Result<Turn> {
        let fleet =
            Fleet { server, work: work.clone(), connections, per_second: None, window, processes: PROCESSES };
        self.turn_of(&fleet, pids)
    }

    /// One turn of a side in a contest, as `fleet` says, with the CPU time of the servers with these `pids`.
    ///
    /// # Errors
    /// The first of any connection; if a server is gone.
    pub(crate) fn turn_of(&mut self, fleet: &Fleet, pids: &[u32]) -> anyhow::Result<Turn> {
        let mut meter = Meter::over(pids.iter().copied());
        let mut metered = Ok(());
        let load = self.run(fleet.run(|edge| {
            let read = if edge == Edge::Begin { meter.begin() } else { meter.end() };
            if let Err(error) = read {
                metered = Err(error);
            }
        }))?;
        metered?;
        Ok(Turn::of_load(load, meter.used()))
    }

    /// Says how far it is.
    pub(crate) fn say(&self, text: &str) {
        // Nobody who watches it is no reason to stop.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// Thousands of connections need more descriptors than the usual 1,024; servers started after this have the limit as well.
fn raise_descriptor_limit() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of descriptors")
}

/// A runtime for one core: a load generator is one of several processes.
///
/// # Errors
/// If the system has no room for it.
pub(crate) fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
