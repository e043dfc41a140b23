//! One process: started, listened to, signalled, and never left behind.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::DEADLINE;

/// The binary under test.
pub(crate) fn tnv() -> PathBuf {
    std::env::var_os("TNV_BIN").map_or_else(|| env!("CARGO_BIN_EXE_tnv").into(), PathBuf::from)
}

/// A command without the environment variables that would change the servers' configuration.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TNV_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a program that ends by itself. One that hangs is ended by `timeout` and fails the test.
#[track_caller]
pub(crate) fn run(program: impl AsRef<Path>, args: &[&str]) -> Output {
    let output = command("timeout")
        .args(["--kill-after=5", &DEADLINE.as_secs().to_string()])
        .arg(program.as_ref())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_ne!(output.status.code(), Some(124), "{} {args:?} hangs", program.as_ref().display());
    output
}

/// Standard output and standard error as text, for messages.
pub(crate) fn text(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// A server or another long-running program. Its output goes to files in the test's folder; when a test fails, their
/// ends are shown.
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts a program, with `NAME.out` and `NAME.err` in `folder`; later starts under a name append to them.
    pub(crate) fn start(folder: &Path, name: &str, command: &mut Command) -> Process {
        let (stdout, stderr) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        let append = |path: &Path| File::options().create(true).append(true).open(path).unwrap();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(append(&stderr))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let (sender, lines) = channel();
        let (pipe, mut copy) = (child.stdout.take().unwrap(), append(&stdout));
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let _ = writeln!(copy, "{line}");
                let _ = sender.send(line);
            }
        });
        Process { name: name.to_owned(), child, lines, stdout, stderr }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The rest of the next line of standard output that starts with `prefix`; `None` if the process ends first.
    #[track_caller]
    pub(crate) fn line(&mut self, prefix: &str) -> Option<String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(prefix) {
                        return Some(rest.trim().to_owned());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("{} never said {prefix:?}", self.name),
            }
        }
    }

    #[track_caller]
    pub(crate) fn expect_line(&mut self, prefix: &str) -> String {
        let name = self.name.clone();
        self.line(prefix).unwrap_or_else(|| panic!("{name} ended without saying {prefix:?}"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // A process that is gone already has what it was to get.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Waits for the process to end by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        // Its standard output is closed when it ends, and not before.
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("{} does not end", self.name),
            }
        }
    }

    /// As a crash: SIGKILL, nothing can be cleaned up.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// As an orderly stop: SIGTERM, then wait.
    #[track_caller]
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// All it has said on standard error so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    #[expect(clippy::print_stdout, reason = "the test runner keeps it and shows it with the failure")]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            for path in [&self.stdout, &self.stderr] {
                let log = String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
                let lines: Vec<&str> = log.lines().collect();
                let tail = &lines[lines.len().saturating_sub(30)..];
                println!("---- {} ({} lines)\n{}", path.display(), lines.len(), tail.join("\n"));
            }
        }
    }
}
