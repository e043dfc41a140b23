//! dd: what the disk takes when nobody has to do anything else.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

use crate::cpu;
use crate::versus::Turn;

const MIB: u64 = 1 << 20;

/// One turn: a new file of so many bytes, whole MiB, on the disk when it ends.
///
/// # Errors
/// If it fails, in its words.
pub(crate) fn turn(file: &Path, bytes: u64) -> anyhow::Result<Turn> {
    let (begin, cpu) = (Instant::now(), cpu::of_ended_children()?);
    let output = Command::new("dd")
        .arg("if=/dev/zero")
        .arg(format!("of={}", file.display()))
        .args(["bs=1M", &format!("count={}", bytes / MIB), "conv=fsync"])
        .output()
        .context("cannot run dd")?;
    let (seconds, cpu) = (begin.elapsed().as_secs_f64(), cpu::of_ended_children()? - cpu);
    let written = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    if !output.status.success() || written != bytes {
        bail!("dd wrote {written} of {bytes} bytes: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(Turn { amount: bytes as f64, seconds, cpu: Some(cpu), latencies: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_writes_what_it_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let turn = turn(&folder.path().join("file"), 2 * MIB).unwrap();
        assert_eq!(turn.amount, 2.0 * MIB as f64);
        assert!(super::turn(&folder.path().join("none/file"), MIB).is_err());
    }
}
