//! `small`: files of a few KiB, where each request counts and not each byte.

mod downloads;
mod uploads;

use anyhow::bail;
use tnv_testbed::installed;

use crate::bench::Bench;
use crate::peer::Nginx;
use crate::report::Report;

/// How many connections ask at once.
const CONNECTIONS: [usize; 3] = [1, 8, 32];

/// Measures it all.
///
/// # Errors
/// If a program is missing or a server refuses what it should do.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<Report> {
    if !installed(&[Nginx::PROGRAM]) {
        bail!("nginx is needed: apt-get install nginx-light");
    }
    let downloads = downloads::measure(bench)?;
    let uploads = uploads::measure(bench)?;
    Ok(Report::of("small", bench, [downloads, uploads]))
}

/// How the title says what was done.
fn method(bench: &Bench) -> String {
    format!(
        "each connection asks when it has its answer; {} rounds of {} s, in turns",
        bench.rounds(),
        bench.window().measured.as_secs_f64()
    )
}
