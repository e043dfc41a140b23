//! A GlusterFS volume for one test.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::{Daemon, command, eventually, skip};

/// Two bricks on this host with the same files, seen through two mounts, each of them with a client of its own.
///
/// The daemon, its bricks and what heals them run in a process namespace, so that they end together, and have logs and
/// sockets of their own in places that cannot be configured. Dropped, it is unmounted, killed, and its folder removed.
#[derive(Debug)]
pub struct Gluster {
    // The clients end before the server that they would wait for, and all before the folder.
    clients: [Daemon; 2],
    _glusterd: Daemon,
    mounts: [Mount; 2],
    bricks: [PathBuf; 2],
    folder: TempDir,
}

impl Gluster {
    /// What must be [`installed`](crate::installed).
    pub const PROGRAMS: &[&str] = &["glusterd", "gluster", "glusterfs", "unshare", "mount", "umount"];

    /// Starts a volume and mounts it twice. Returns when both clients are connected to both bricks.
    ///
    /// `None` for all but root, who alone may mount; then the test is to be skipped, and this says so.
    ///
    /// # Panics
    /// With the end of the log of what does not start, and with `CI=true` in the environment also for those others.
    #[track_caller]
    pub fn start() -> Option<Gluster> {
        if !geteuid().is_root() {
            skip("only root may mount a volume");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = free_address();
        let glusterd = start_glusterd(folder.path(), address);
        let bricks = ["brick0", "brick1"].map(|name| folder.path().join(name));
        let [first, second] = bricks.each_ref().map(|brick| format!("{address}:{}", brick.display()));
        // It warns of a replica of two, and of bricks that are no disks.
        tell(folder.path(), &["volume", "create", VOLUME, "replica", "2", &first, &second, "force"]);
        tell(folder.path(), &[&["volume", "set", VOLUME], OPTIONS].concat());
        tell(folder.path(), &["volume", "start", VOLUME]);
        let mounts = ["mount0", "mount1"].map(|name| Mount(folder.path().join(name)));
        let clients = mounts.each_ref().map(|mount| start_client(folder.path(), address, &mount.0));
        let mut gluster = Gluster { clients, _glusterd: glusterd, mounts, bricks, folder };
        for i in 0..2 {
            let mount = gluster.mounts[i].0.clone();
            gluster.clients[i].wait_until("connects", || (0..2).all(|brick| connected(&mount, brick)));
        }
        Some(gluster)
    }

    /// The folders at which the volume is mounted.
    pub fn mounts(&self) -> [PathBuf; 2] {
        self.mounts.each_ref().map(|mount| mount.0.clone())
    }

    /// The folder in which a brick keeps its files, for a look.
    pub fn brick(&self, i: usize) -> &Path {
        &self.bricks[i]
    }

    /// As a crash: SIGKILL. Returns when both clients have noticed; they go on with the other brick.
    ///
    /// # Panics
    /// If it does not run.
    #[track_caller]
    pub fn kill_brick(&self, i: usize) {
        let pid = self.brick_process(i).expect("a brick that runs");
        kill_process(pid, Signal::KILL).expect("a signal can be sent");
        for Mount(mount) in &self.mounts {
            eventually("the client notices", || (!connected(mount, i)).then_some(()));
        }
    }

    /// Starts it again. Returns when both clients are connected to it and it has what it missed.
    ///
    /// # Panics
    /// With the message of `gluster`, if it does not start.
    #[track_caller]
    pub fn restart_brick(&self, i: usize) {
        tell(self.folder.path(), &["volume", "start", VOLUME, "force"]);
        for Mount(mount) in &self.mounts {
            eventually("the client connects again", || connected(mount, i).then_some(()));
        }
        eventually("nothing is to be healed", || {
            let waiting = tell(self.folder.path(), &["volume", "heal", VOLUME, "statistics", "heal-count"]);
            (waiting.matches("Number of entries: 0").count() == 2).then_some(())
        });
    }

    /// The brick as those outside of its namespace see it.
    fn brick_process(&self, i: usize) -> Option<Pid> {
        let name = format!("--brick-name\0{}\0", self.bricks[i].display());
        std::fs::read_dir("/proc").expect("processes").flatten().find_map(|process| {
            let pid = Pid::from_raw(process.file_name().to_str()?.parse().ok()?)?;
            let arguments = std::fs::read_to_string(process.path().join("cmdline")).ok()?;
            arguments.contains(&name).then_some(pid)
        })
    }
}

const VOLUME: &str = "testbed";

/// What docs/operations.md says a volume needs whose files are seen at every host at once.
const OPTIONS: &[&str] = &[
    "performance.quick-read",
    "off",
    "performance.io-cache",
    "off",
    "performance.stat-prefetch",
    "off",
    "performance.open-behind",
    "off",
    "performance.read-ahead",
    "off",
    "performance.nl-cache",
    "off",
    "client.strict-locks",
    "on",
    "network.ping-timeout",
    "10",
];

/// Unmounted when dropped, even if somebody still has a file open there.
#[derive(Debug)]
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = command("umount").arg("--lazy").arg(&self.0).output();
    }
}

/// All daemons listen on one port, where bricks look for them, so each has an address of its own; 127.0.0.1 it refuses.
#[track_caller]
fn free_address() -> Ipv4Addr {
    let random = || {
        let [a, b, c, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
        Ipv4Addr::new(127, a.clamp(1, 254), b, c)
    };
    let free = |address: &Ipv4Addr| TcpListener::bind((*address, 24007)).is_ok();
    std::iter::repeat_with(random).take(100).find(free).expect("no other glusterd on all addresses")
}

#[track_caller]
fn start_glusterd(folder: &Path, address: Ipv4Addr) -> Daemon {
    for name in ["work", "run", "sockets", "log", "log/bricks", "mount0", "mount1"] {
        std::fs::create_dir(folder.join(name)).expect("a new folder");
    }
    let at = folder.display();
    let options = format!(
        "volume management
            type mgmt/glusterd
            option working-directory {at}/work
            option run-directory {at}/run
            option glusterd-sockfile {at}/glusterd.socket
            option transport-type socket
            option transport.socket.bind-address {address}
            option ping-timeout 0
        end-volume\n"
    );
    std::fs::write(folder.join("glusterd.vol"), options).expect("a file can be written");
    // Without geo-replication, the setting up of which takes 5 s. The shell stays as the first process of the namespace,
    // to bury bricks: one unburied counts as running.
    let script = r#"cd "$0" && mount --bind log /var/log/glusterfs && mount --bind sockets /var/run/gluster
        printf '#!/bin/sh\necho gsyncd\n' >gsyncd && chmod +x gsyncd
        mount --bind gsyncd "$(glusterd --print-libexecdir)/gsyncd"
        glusterd --no-daemon --volfile="$0/glusterd.vol" --pid-file="$0/glusterd.pid" --log-file=/dev/stdout
        exit $?"#;
    let mut glusterd = Daemon::start(
        folder,
        "glusterd",
        command("unshare")
            .args(["--mount", "--propagation=slave", "--pid", "--mount-proc", "--fork", "--kill-child"])
            .args(["sh", "-c", script])
            .arg(folder),
    );
    // The command line tool would wait for seconds before it tries a second time.
    let socket = folder.join("glusterd.socket");
    glusterd.wait_until("listens", || UnixStream::connect(&socket).is_ok());
    glusterd
}

#[track_caller]
fn start_client(folder: &Path, address: Ipv4Addr, mount: &Path) -> Daemon {
    let name = mount.file_name().expect("the name of the mount").to_string_lossy();
    let mut glusterfs = command("glusterfs");
    glusterfs
        .arg("--no-daemon")
        .args(["--entry-timeout=0", "--attribute-timeout=0", "--negative-timeout=0"])
        .arg(format!("--volfile-server={address}"))
        .arg(format!("--volfile-id={VOLUME}"))
        .arg(format!("--log-file={}", folder.join(format!("{name}.log")).display()))
        .arg(mount);
    Daemon::start(folder, &name, &mut glusterfs)
}

/// Whether the client behind a mount is connected to a brick, by its own account.
fn connected(mount: &Path, brick: usize) -> bool {
    let account = mount.join(format!(".meta/graphs/active/{VOLUME}-client-{brick}/private"));
    std::fs::read_to_string(account).is_ok_and(|text| text.lines().any(|line| line == "connected = 1"))
}

/// Runs the command line tool.
#[track_caller]
fn tell(folder: &Path, arguments: &[&str]) -> String {
    let mut gluster: Command = command("gluster");
    gluster
        .arg("--mode=script")
        .arg(format!("--glusterd-sock={}", folder.join("glusterd.socket").display()))
        .arg(format!("--log-file={}", folder.join("gluster.log").display()))
        .args(arguments);
    let said = gluster.output().expect("gluster runs");
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(said.status.success(), "{arguments:?}: {text}");
    text
}
