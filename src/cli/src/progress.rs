//! The progress bar on standard error.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// Bytes, speed and time left of one transfer. It leaves the terminal when dropped.
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

    /// Counts bytes that have been moved.
    pub(crate) fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// Sets how many bytes have been moved in all.
    pub(crate) fn set(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    /// Takes the bar off the terminal.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// At most 32 characters of a name, its end kept: that is where files of one series differ.
fn shortened(name: &str) -> String {
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
    fn long_names_keep_their_end() {
        assert_eq!(shortened("003.mp4"), "003.mp4");
        let short = shortened(&format!("{}é-42.mp4", "x".repeat(60)));
        assert_eq!(short.chars().count(), 32);
        assert!(short.ends_with("é-42.mp4"), "{short}");
    }
}
