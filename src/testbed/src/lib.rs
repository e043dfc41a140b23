//! What the tests of several crates stand on: real databases, caches and volumes, each started for one test on free
//! ports in a folder of its own, and gone with it. Only ever a dev-dependency.

mod certificates;
mod daemon;
mod galera;
mod gluster;
mod mariadb;
mod redis;

use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

pub use certificates::Certificates;
pub use daemon::Daemon;
pub use galera::Galera;
pub use gluster::Gluster;
pub use mariadb::MariaDb;
pub use redis::{Redis, RedisCluster, Sentinel};

/// No event that is waited for takes anywhere near as long, not even on a loaded machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Whether these programs are here. If not the test is to be skipped, and this says so; in CI it is a failure.
///
/// # Panics
/// With `CI=true` in the environment, if one is missing.
#[track_caller]
pub fn installed(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| find(program).is_none()).collect();
    if missing.is_empty() {
        return true;
    }
    skip(&format!("{missing:?} not installed"));
    false
}

/// Says that a test is skipped; in CI that is a failure.
#[track_caller]
fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}, which must not be in CI");
    // Past the test runner, which keeps the output of tests that pass to itself.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// A command to run a program with, which for servers is not always in the path of those who are not root.
pub fn command(program: &str) -> Command {
    Command::new(find(program).unwrap_or_else(|| program.into()))
}

/// Where a program lies.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin".into(), "/sbin".into()]);
    folders.into_iter().map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Asks again and again until there is an answer, for what announces itself in no other way.
///
/// # Panics
/// After [`DEADLINE`].
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "still waiting: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ports on 127.0.0.1 that nobody listens on at this moment, all different.
///
/// # Panics
/// If there are none.
pub fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until all are found.
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("a bound port").port())
}
