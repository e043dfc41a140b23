//! The progress bar on standard error.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use crate::console::printable;

/// Bytes, speed and time left of a command. It leaves the terminal when dropped.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(crate) fn visible(what: &str, total: u64) -> Progress {
        const TEMPLATE: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}";
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr())
            .with_finish(ProgressFinish::AndClear);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        bar.set_message(shortened(what));
        // Speed and ETA go on while a slow server sends nothing.
        bar.enable_steady_tick(Duration::from_millis(250));
        Progress { bar }
    }

    pub(crate) fn hidden() -> Progress {
        Progress { bar: ProgressBar::hidden() }
    }

    /// One file's part in it.
    pub(crate) fn share(&self) -> Share {
        Share { progress: self.clone(), moved: Arc::default() }
    }

    /// Makes it longer by a file that has become known.
    pub(crate) fn expect_more(&self, bytes: u64) {
        self.bar.inc_length(bytes);
    }

    /// Runs something that writes to the terminal while the bar is out of its way.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Takes the bar off the terminal.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// How much of one file has been moved, within a bar for all.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    progress: Progress,
    moved: Arc<AtomicU64>,
}

impl Share {
    /// Sets how many bytes of the file have been moved; fewer than before if a part must be moved again.
    pub(crate) fn set(&self, bytes: u64) {
        let before = self.moved.swap(bytes, Ordering::Relaxed);
        match bytes.checked_sub(before) {
            Some(more) => self.progress.bar.inc(more),
            None => self.progress.bar.dec(before - bytes),
        }
    }

    /// Counts bytes that have been moved.
    pub(crate) fn add(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        self.progress.bar.inc(bytes);
    }

    /// Says something above the bar, where there is one.
    pub(crate) fn say(&self, text: &str) {
        self.progress.bar.println(printable(text));
    }
}

/// At most 32 characters of a name, its end kept: that is where files of one series differ.
pub(crate) fn shortened(name: &str) -> String {
    const MAX: usize = 32;
    let count = name.chars().count();
    if count <= MAX {
        return name.to_owned();
    }
    let tail: String = name.chars().skip(count - (MAX - 1)).collect();
    format!("…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_may_go_back() {
        let progress = Progress::hidden();
        let (one, other) = (progress.share(), progress.share());
        one.set(10);
        other.add(5);
        one.set(4);
        other.set(7);
        assert_eq!(progress.bar.position(), 11);
    }

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(shortened("003.mp4"), "003.mp4");
        let short = shortened(&format!("{}é-42.mp4", "x".repeat(60)));
        assert_eq!(short.chars().count(), 32);
        assert!(short.ends_with("é-42.mp4"), "{short}");
    }
}
