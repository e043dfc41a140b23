//! iperf3: what one TCP connection carries when nobody has to do anything for it.

use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;
use tnv_testbed::{Daemon, command, free_ports};

use crate::bench::Bench;
use crate::versus::Turn;

/// The program that it needs.
pub(crate) const PROGRAM: &str = "iperf3";

/// One turn: so many bytes over one connection on 127.0.0.1. Its CPU time is not told.
///
/// # Errors
/// If it cannot say how fast it was; if its server does not start, that is a panic with the end of its log.
pub(crate) fn turn(bench: &Bench, bytes: u64) -> anyhow::Result<Turn> {
    let folder = bench.folder("iperf3")?;
    let [port] = free_ports();
    let port = port.to_string();
    let mut server: Command = command(PROGRAM);
    server.args(["--server", "--one-off", "--bind", "127.0.0.1", "--port", &port, "--forceflush"]);
    let mut server = Daemon::start(&folder, "iperf3", &mut server);
    let log = folder.join("iperf3.log");
    // It takes one client, so to try is no way to find out.
    server.wait_until("listen", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("Server listening"))
    });
    let output = command(PROGRAM)
        .args(["--client", "127.0.0.1", "--port", &port, "--bytes", &bytes.to_string(), "--json"])
        .output()
        .context("cannot run iperf3")?;
    let received = received(&output.stdout)?;
    Ok(Turn { amount: received.bytes, seconds: received.seconds, cpu: None, latencies: None })
}

/// What its server received.
#[derive(Debug, Deserialize, PartialEq)]
struct Received {
    bytes: f64,
    seconds: f64,
}

fn received(json: &[u8]) -> anyhow::Result<Received> {
    #[derive(Deserialize)]
    struct Output {
        end: Option<End>,
        error: Option<String>,
    }
    #[derive(Deserialize)]
    struct End {
        sum_received: Option<Received>,
    }
    let output: Output = serde_json::from_slice(json).context("iperf3 says no JSON")?;
    if let Some(error) = output.error {
        bail!("iperf3: {error}");
    }
    let received = output.end.and_then(|end| end.sum_received);
    received.filter(|received| received.seconds > 0.0).context("iperf3 does not say what it received")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receiver_counts() {
        let json =
            br#"{"end":{"sum_sent":{"bytes":9,"seconds":1.5},"sum_received":{"bytes":8,"seconds":2,"x":1}}}"#;
        assert_eq!(received(json).unwrap(), Received { bytes: 8.0, seconds: 2.0 });
        let error = received(br#"{"end":{},"error":"refused"}"#).unwrap_err();
        assert_eq!(error.to_string(), "iperf3: refused");
    }
}
