//! A Redis for one test: one server, a master with replica and sentinels, or a cluster.

mod cluster;
mod sentinel;

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

pub use cluster::RedisCluster;
pub use sentinel::Sentinel;

use crate::{Daemon, command, free_ports};

/// A Redis on 127.0.0.1 that writes nothing to disk. Dropped, it is killed.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    folder: TempDir,
}

impl Redis {
    /// What must be [`installed`](crate::installed).
    pub const PROGRAMS: &[&str] = &["redis-server", "redis-cli"];

    /// Starts a server, and returns when it answers.
    ///
    /// # Panics
    /// With the end of its log, if it does not.
    #[track_caller]
    pub fn start() -> Redis {
        Redis::start_with(&[])
    }

    /// As [`start`](Redis::start), with further options of `redis-server`, such as `--requirepass`, `secret`.
    #[track_caller]
    pub fn start_with(options: &[&str]) -> Redis {
        let folder = TempDir::new().expect("a temporary folder");
        let [port] = free_ports();
        Redis { server: Server::start(folder.path(), port, options), folder }
    }

    /// `redis://127.0.0.1:PORT`, with the password of `--requirepass` in it.
    pub fn url(&self) -> String {
        match &self.server.password {
            Some(password) => format!("redis://:{password}@{}", self.address()),
            None => format!("redis://{}", self.address()),
        }
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.server.port)
    }

    /// What `redis-cli` prints for a command, without the last newline; an error of the server too.
    ///
    /// # Panics
    /// If the server does not answer.
    #[track_caller]
    pub fn command(&self, arguments: &[&str]) -> String {
        self.server.command(arguments)
    }

    /// As a crash.
    pub fn kill(&mut self) {
        self.server.daemon.kill();
    }

    /// As a crash, if it runs, and a new start at the same port with nothing in it.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        self.server.launch(self.folder.path());
    }

    /// The same with other options.
    #[track_caller]
    pub fn restart_with(&mut self, options: &[&str]) {
        self.kill();
        self.server = Server::start(self.folder.path(), self.server.port, options);
    }

    /// Hangs: connections stand, and nothing is answered.
    pub fn pause(&self) {
        self.server.daemon.signal(Signal::STOP);
    }

    /// Goes on after [`pause`](Redis::pause).
    pub fn resume(&self) {
        self.server.daemon.signal(Signal::CONT);
    }
}

/// One process of `redis-server`.
#[derive(Debug)]
struct Server {
    daemon: Daemon,
    port: u16,
    options: Vec<String>,
    password: Option<String>,
}

impl Server {
    #[track_caller]
    fn start(folder: &Path, port: u16, options: &[&str]) -> Server {
        let mut server = Server::spawn(folder, port, options);
        server.wait();
        server
    }

    /// Starts it without waiting for it.
    #[track_caller]
    fn spawn(folder: &Path, port: u16, options: &[&str]) -> Server {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let mut pairs = options.iter().zip(options.iter().skip(1));
        let password = pairs.find(|(name, _)| *name == "--requirepass").map(|(_, password)| password.clone());
        Server { daemon: daemon(folder, port, &options), port, options, password }
    }

    #[track_caller]
    fn launch(&mut self, folder: &Path) {
        self.daemon = daemon(folder, self.port, &self.options);
        self.wait();
    }

    #[track_caller]
    fn wait(&mut self) {
        let (port, password) = (self.port, self.password.clone());
        // A user of its own may be all that it lets in.
        let answers = |text: String| text == "PONG" || text.starts_with("NO");
        self.daemon
            .wait_until("answering", || ask(port, password.as_deref(), &["PING"]).is_some_and(answers));
    }

    #[track_caller]
    fn command(&self, arguments: &[&str]) -> String {
        ask(self.port, self.password.as_deref(), arguments)
            .unwrap_or_else(|| panic!("no answer to {arguments:?}:\n{}", self.daemon.log_tail()))
    }
}

#[track_caller]
fn daemon(folder: &Path, port: u16, options: &[String]) -> Daemon {
    let mut program = command("redis-server");
    program.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    program.arg("--port").arg(port.to_string()).arg("--dir").arg(folder).args(options);
    Daemon::start(folder, &format!("redis-{port}"), &mut program)
}

/// What `redis-cli` prints; `None` without a server.
fn ask(port: u16, password: Option<&str>, arguments: &[&str]) -> Option<String> {
    let mut program = Command::new("redis-cli");
    program.args(["-h", "127.0.0.1", "-p"]).arg(port.to_string());
    if let Some(password) = password {
        // The command line shows it to nobody this way.
        program.env("REDISCLI_AUTH", password);
    }
    let output = program.args(arguments).output().expect("redis-cli runs");
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.strip_suffix('\n').unwrap_or(&text).to_owned())
}
