//! A data folder as it is after installation, made once and then copied: that takes a tenth of the time.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;

use crate::command;

/// Besides the user, so that tests can see what a read-only server refuses: by default `ALL` is above that.
const USERS: &str = "FLUSH PRIVILEGES;
CREATE USER tnv@'%' IDENTIFIED BY 'secret';
GRANT ALL PRIVILEGES ON *.* TO tnv@'%' WITH GRANT OPTION;
REVOKE READ ONLY ADMIN ON *.* FROM tnv@'%';
";

/// All servers have redo logs of this size, those of the template too.
pub(super) const LOG_SIZE: &str = "--innodb-log-file-size=16M";

/// Fills a data folder.
///
/// # Panics
/// With what the installation said, if it fails.
#[track_caller]
pub(super) fn copy_to(data: &Path) {
    run(Command::new("cp").arg("-a").arg(template()).arg(data));
}

/// Root is told to run the server as itself; others cannot choose.
pub(super) fn user() -> Option<String> {
    geteuid().is_root().then(|| "--user=root".to_owned())
}

#[track_caller]
fn template() -> PathBuf {
    let version = run(command("mariadbd").arg("--version"));
    let mut hash = DefaultHasher::new();
    (version, USERS, LOG_SIZE).hash(&mut hash);
    let cache = cache();
    std::fs::create_dir_all(&cache).expect("a folder beside the program");
    let template = cache.join(format!("mariadb-{:016x}", hash.finish()));
    // Tests in other processes may want it at the same moment.
    let lock = File::create(template.with_extension("lock")).expect("a lock file");
    lock.lock().expect("a lock");
    if !template.is_dir() {
        // A folder under its own name is a whole one, whatever happens before.
        let unfinished = tempfile::tempdir_in(&cache).expect("a temporary folder");
        install(unfinished.path());
        std::fs::rename(unfinished.path().join("data"), &template).expect("a new name");
    }
    template
}

#[track_caller]
fn install(folder: &Path) {
    let users = folder.join("users.sql");
    std::fs::write(&users, USERS).expect("a file can be written");
    run(command("mariadb-install-db")
        .args(["--no-defaults", "--auth-root-authentication-method=normal"])
        .args(["--skip-test-db", "--skip-name-resolve", LOG_SIZE])
        .args(user())
        .arg(format!("--datadir={}", folder.join("data").display()))
        .arg(format!("--extra-file={}", users.display())));
}

/// Where cargo builds: it lasts from run to run, and `cargo clean` ends it.
fn cache() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this program");
    program.parent().expect("the folder of this program").join("testbed")
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let run = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let said = [run.stdout, run.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(run.status.success(), "{command:?}: {}\n{said}", run.status);
    said
}
