//! Ctrl-C and its kin.

use std::future::pending;

use tokio::signal::unix::{Signal, SignalKind, signal};

const HANGUP: u8 = 1;
const INTERRUPT: u8 = 2;
const TERMINATE: u8 = 15;

/// Waits for a hang-up, Ctrl-C or a request to end, and returns its number. Signals that were ignored when the
/// program started stay ignored, so that `nohup` and background jobs of scripts work as they should.
pub(crate) async fn stopped() -> u8 {
    let ignored = ignored_signals();
    tokio::select! {
        () = received(HANGUP, ignored) => HANGUP,
        () = received(INTERRUPT, ignored) => INTERRUPT,
        () = received(TERMINATE, ignored) => TERMINATE,
    }
}

async fn received(number: u8, ignored: u64) {
    match listen(number, ignored) {
        Some(mut stream) => {
            stream.recv().await;
        }
        None => pending().await,
    }
}

fn listen(number: u8, ignored: u64) -> Option<Signal> {
    let is_ignored = ignored & (1 << (number - 1)) != 0;
    if is_ignored { None } else { signal(SignalKind::from_raw(number.into())).ok() }
}

/// One bit per signal that this process ignores; none where the system does not tell.
fn ignored_signals() -> u64 {
    std::fs::read_to_string("/proc/self/status").map_or(0, |status| parse_ignored(&status))
}

fn parse_ignored(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        let status = "Name:\tclient\nSigBlk:\tffff\nSigIgn:\t0000000000001003\nSigCgt:\t0\n";
        assert_eq!(parse_ignored(status), 0x1003);
        assert_eq!(parse_ignored("Name:\tclient\n"), 0);
        assert_eq!(parse_ignored("SigIgn:\tnonsense\n"), 0);
    }

    #[tokio::test]
    async fn ignored_signals_are_not_listened_for() {
        assert!(listen(HANGUP, 0b001).is_none());
        assert!(listen(HANGUP, 0b110).is_some());
    }
}
