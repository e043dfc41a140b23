//! `client fetch` from four servers that give each client only so much, beside aria2: as they are, and with one of them
//! that dies when it has given half of its share.

use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

use super::relay::Relay;
use crate::bench::Bench;
use crate::peer::{Nginx, aria2};
use crate::report::Goal;
use crate::transfer::{size, write};
use crate::versus::{Contest, Outcome, Section, Turn, Unit};
use crate::{contents, cpu};

const WORK: &str = "fetch-four";
const WORK_WITH_DEATH: &str = "fetch-four-one-dies";
/// What each server gives a client, in MiB a second.
const RATE: u32 = 50;
/// Of aria2's time: what ours may take.
const TIME: f64 = 1.0;

/// Four servers with one file, and where it is fetched to.
struct Servers {
    servers: [Nginx; 4],
    path: String,
    size: u64,
    folder: PathBuf,
}

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Section> {
    let size = size(bench);
    let title = format!(
        "One file of {} MiB from four servers of {RATE} MiB/s each: {} rounds, in turns",
        size >> 20,
        bench.rounds()
    );
    let mut outcomes = Vec::new();
    if [WORK, WORK_WITH_DEATH].iter().any(|work| bench.wants(work)) {
        let servers = Servers::start(bench, size)?;
        outcomes.push(contest(bench, &servers, WORK, false)?);
        outcomes.push(contest(bench, &servers, WORK_WITH_DEATH, true)?);
    }
    Ok(Section::new(title, outcomes))
}

fn contest(bench: &mut Bench, servers: &Servers, name: &str, dies: bool) -> anyhow::Result<Option<Outcome>> {
    let mut contest = Contest::new(name, Unit::Bytes);
    let tnv = contest.side("client fetch --parallel 4", |bench| {
        let mut client = Command::new(bench.tnv());
        client.env("XDG_STATE_HOME", &servers.folder);
        client.args(["client", "fetch", "--parallel", "4", "-o"]).arg(servers.folder.join("tnv"));
        servers.turn(bench, dies, "tnv", |urls| {
            client.args(urls);
            client
        })
    });
    let aria2 = contest.side("aria2c -x1 -s4", |bench| {
        servers.turn(bench, dies, "aria2", |urls| aria2::fetch(urls, &servers.folder, "aria2"))
    });
    contest.time(tnv, aria2, Goal::AtMost(TIME));
    contest.cpu(tnv, aria2, Goal::None);
    contest.play(bench)
}

impl Servers {
    fn start(bench: &Bench, size: u64) -> anyhow::Result<Servers> {
        let root = bench.folder("nginx-four")?;
        let path = "/file".to_owned();
        write(&root.join("file"), size)?;
        let server =
            |number| Nginx::limited(bench, &format!("nginx-four-{number}"), host(number), &root, RATE);
        let servers = [server(1)?, server(2)?, server(3)?, server(4)?];
        Ok(Servers { servers, path, size, folder: bench.folder("fetched")? })
    }

    /// One turn: a program fetches the file under this name, which is then compared and removed. The CPU time is the
    /// program's.
    fn turn(
        &self,
        bench: &mut Bench,
        dies: bool,
        name: &str,
        fetch: impl FnOnce(&[String]) -> Command,
    ) -> anyhow::Result<Turn> {
        let mut addresses = self.servers.each_ref().map(Nginx::address);
        let relay = dies.then(|| Relay::start(host(4), addresses[3], Some(self.size / 8))).transpose()?;
        if let Some(relay) = &relay {
            addresses[3] = relay.address();
        }
        let urls = addresses.map(|address| format!("http://{address}{}", self.path));
        let mut command = fetch(&urls);
        let file = self.folder.join(name);
        // What others wrote is on the disk before this begins.
        rustix::fs::sync();
        let cpu = cpu::of_ended_children()?;
        let begin = Instant::now();
        let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
        let seconds = begin.elapsed().as_secs_f64();
        let cpu = cpu::of_ended_children()? - cpu;
        if !output.status.success() {
            bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        if relay.is_some_and(|relay| relay.passed() < self.size / 8) {
            bail!("{name} was done before the server that was to die had given half of its share");
        }
        compare(&file, self.size).with_context(|| format!("{command:?}"))?;
        std::fs::remove_file(&file)?;
        // Whoever wants to stop this has been waiting.
        bench.run(async { Ok(()) })?;
        Ok(Turn { amount: self.size as f64, seconds, cpu: Some(cpu), latencies: None })
    }
}

/// For aria2, ports of one address are one server.
fn host(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, number)
}

/// Whether a file has the usual contents.
fn compare(file: &Path, size: u64) -> anyhow::Result<()> {
    let (mut file, mut buffer, mut offset) = (File::open(file)?, vec![0; 1 << 20], 0);
    loop {
        match file.read(&mut buffer)? {
            0 if offset == size => return Ok(()),
            0 => bail!("{offset} bytes, not {size}"),
            read => {
                contents::check(offset, &buffer[..read])?;
                offset += read as u64;
            }
        }
    }
}
