//! One server process: started, signalled, and never left behind.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{DEADLINE, eventually};

/// A server whose output goes to a file. Dropped, it is killed.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a program, with its output appended to `NAME.log` in `folder`.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start(folder: &Path, name: &str, command: &mut Command) -> Daemon {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("a log can be written");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Daemon { name: name.to_owned(), child, log }
    }

    /// Waits until it answers.
    ///
    /// # Panics
    /// With the end of its log, if it ends instead.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, mut is_so: impl FnMut() -> bool) {
        eventually(&format!("{}: {what}", self.name), || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("{} ended with {status} instead of {what}:\n{}", self.name, self.log_tail());
            }
            is_so().then_some(())
        });
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal; SIGSTOP makes a server that hangs.
    pub fn signal(&self, signal: Signal) {
        // A process that is gone already has what it was to get.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// As a crash: SIGKILL, and gone when this returns.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// As an administrator would: SIGTERM, also to one that hangs, and gone when this returns.
    ///
    /// # Panics
    /// With the end of its log, if it stays.
    #[track_caller]
    pub fn stop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
        let start = Instant::now();
        while let Ok(None) = self.child.try_wait() {
            assert!(start.elapsed() < DEADLINE, "{} does not stop:\n{}", self.name, self.log_tail());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// All that it and those before it of the same name and folder said.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last lines of that.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
