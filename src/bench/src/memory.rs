//! What memory processes hold.

use anyhow::Context;

/// The memory of one process, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// What is resident of it, the program's own text included.
    pub(crate) resident: u64,
    /// The same, with what it shares with others divided among them.
    pub(crate) proportional: u64,
}

impl Memory {
    /// As it is now.
    ///
    /// # Errors
    /// If the process is gone.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Memory> {
        Ok(Memory {
            resident: field(&format!("/proc/{pid}/status"), "VmRSS")?,
            proportional: field(&format!("/proc/{pid}/smaps_rollup"), "Pss")?,
        })
    }
}

/// The most that was resident since [`forget_peak`], in KiB.
///
/// # Errors
/// If the process is gone.
pub(crate) fn peak(pid: u32) -> anyhow::Result<u64> {
    field(&format!("/proc/{pid}/status"), "VmHWM")
}

/// Lets the peak begin anew at what is resident now.
///
/// # Errors
/// If the process is gone, or another user's.
pub(crate) fn forget_peak(pid: u32) -> anyhow::Result<()> {
    let file = format!("/proc/{pid}/clear_refs");
    std::fs::write(&file, "5").with_context(|| format!("cannot write {file}"))
}

/// What nobody has of the machine's memory, not even the page cache, in bytes.
///
/// # Errors
/// If the system does not tell.
pub(crate) fn free() -> anyhow::Result<u64> {
    Ok(field("/proc/meminfo", "MemFree")? << 10)
}

fn field(file: &str, name: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    kib(&text, name).with_context(|| format!("there is no {name} in {file}"))
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_begins_alike_is_another_one() {
        let text = "VmRSSx:\t1 kB\nVmRSS:\t    1234 kB\nThreads:\t3\n";
        assert_eq!(kib(text, "VmRSS"), Some(1234));
        assert_eq!(kib(text, "VmR"), None);
        assert_eq!(kib(text, "Threads"), None);
    }

    #[test]
    fn a_peak_is_forgotten() {
        let own = std::process::id();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        drop(block);
        let before = peak(own).unwrap();
        forget_peak(own).unwrap();
        assert!(peak(own).unwrap() + (32 << 10) < before);
        assert!(Memory::of(own).unwrap().resident > 0);
    }
}
