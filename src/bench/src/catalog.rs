//! `catalog`: what the database and the cache behind a storage make of its speed.

mod outage;
mod uploads;

use std::path::Path;

use anyhow::bail;
use tnv_testbed::{MariaDb, Redis, installed};

use crate::bench::Bench;
use crate::report::Report;

/// Connections that ask at once.
const CONNECTIONS: usize = 32;
/// The length of every file, in bytes.
const SIZE: u64 = 4096;

/// As large as MariaDB comes; the test bed's own are smaller. Its commits are durable, and there is no binary log.
const MARIADB: &[&str] =
    &["--innodb-buffer-pool-size=128M", "--innodb-log-file-size=96M", "--innodb-log-buffer-size=16M"];

/// Measures it all.
///
/// # Errors
/// If a program is missing or a server refuses what it should do.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<Report> {
    if !installed(&[MariaDb::PROGRAMS, Redis::PROGRAMS].concat()) {
        bail!("mariadb-server, mariadb-client and redis-server are needed");
    }
    let uploads = uploads::measure(bench)?;
    let sizes = outage::measure(bench)?;
    Ok(Report {
        name: "catalog",
        is_quick: bench.is_quick,
        parts: vec![uploads.part, sizes.part],
        targets: uploads.targets.into_iter().chain(sizes.targets).collect(),
        figures: serde_json::json!({ "uploads": uploads.figures, "sizes": sizes.figures }),
    })
}

/// A half of the report.
struct Half {
    part: (String, crate::table::Table),
    targets: Vec<crate::report::Target>,
    figures: serde_json::Value,
}

/// A MariaDB with its data beside that of the cluster.
fn start_mariadb(folder: &Path) -> MariaDb {
    MariaDb::start_in_with(folder, MARIADB)
}

/// How the title says what was done.
fn method(bench: &Bench) -> String {
    format!(
        "{CONNECTIONS} connections, each asking when it has its answer; {} rounds of {} s, in turns",
        bench.rounds(),
        bench.window().measured.as_secs_f64()
    )
}
