//! `copies`: what it costs that several storages have each file, and how fast a new one gets what the others have.

mod acks;
mod filling;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tnv_proto::{Acknowledged, Checksum, FileKey, Labels, NewUpload, Request, Store};
use tnv_testbed::DEADLINE;
use tokio::time::{sleep, timeout};

use crate::bench::Bench;
use crate::report::Report;
use crate::wire::{APP, Wire};

/// Measures it all.
///
/// # Errors
/// If a server refuses what it should do.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<Report> {
    let acks = acks::measure(bench)?;
    let filling = filling::measure(bench)?;
    let mut report = Report::of("copies", bench, [acks]);
    if let Some(filling) = filling {
        report.parts.push(filling.part);
        report.targets.extend(filling.targets);
    }
    Ok(report)
}

/// Waits until this storage gives an upload to so many others while it comes in.
fn wait_until_reached(bench: &mut Bench, storage: SocketAddr, others: u8) -> anyhow::Result<()> {
    let ask = async {
        let mut wire = Wire::connect(storage).await?;
        for n in 0.. {
            let key = FileKey::new(APP, "reached", &format!("{n}"))?;
            let new = NewUpload { key, size: 0, labels: Labels::default(), ack_copies: others + 1 };
            let request = [&Store(new).to_frame()[..], &Checksum::UNKNOWN.0].concat();
            let stored = Acknowledged::decode(&wire.call(&request).await?)?;
            if stored.copies == others + 1 {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    bench.run(async { timeout(DEADLINE, ask).await.context("the storages do not find each other")? })
}
