//! Debian's nginx: files with sendfile, or a proxy in front of such a one.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use tnv_testbed::{Daemon, free_ports};

use crate::bench::Bench;

/// An nginx on this machine, one worker for each core. Dropped, it is ended.
pub(crate) struct Nginx {
    daemon: Daemon,
    address: SocketAddr,
}

impl Nginx {
    /// The program that it needs.
    pub(crate) const PROGRAM: &str = "nginx";

    /// The folders below its root for large files, and for those that parts are asked of.
    pub(crate) const LARGE: &str = "large";
    pub(crate) const PARTS: &str = "parts";

    /// One that serves the files below `root`, with what it needs in a new folder of that name.
    ///
    /// # Errors
    /// If its folder cannot be made; if it does not start, that is a panic with the end of its log.
    pub(crate) fn serving(bench: &Bench, name: &str, root: &Path) -> anyhow::Result<Nginx> {
        // With tcp_nopush what is more than fits into a socket waits 40 ms for the client to acknowledge the header; small
        // files are faster with it.
        let large = format!("location ~ ^/({}|{})/ {{ tcp_nopush off; }}", Self::LARGE, Self::PARTS);
        let location = format!("root {root:?}; {large}");
        Nginx::start(bench, name, "", &location)
    }

    /// One at this address of the machine that serves the files below `root` and gives each connection at most so many MiB in a second.
    ///
    /// # Errors
    /// As [`serving`](Nginx::serving).
    pub(crate) fn limited(
        bench: &Bench,
        name: &str,
        host: Ipv4Addr,
        root: &Path,
        rate: u32,
    ) -> anyhow::Result<Nginx> {
        let location = format!("root {root:?}; tcp_nopush off; limit_rate {rate}m;");
        Nginx::start_at(bench, name, host, "", &location)
    }

    /// One that passes everything on to another server over connections that stay.
    ///
    /// # Errors
    /// As [`serving`](Nginx::serving).
    pub(crate) fn proxying(bench: &Bench, name: &str, origin: SocketAddr) -> anyhow::Result<Nginx> {
        let upstream = format!(
            "upstream origin {{ server {origin}; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 1h; }}"
        );
        // Without its temporary files it waits for a slow client instead of writing to the disk: that is faster.
        let location = "proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
            proxy_max_temp_file_size 0;";
        Nginx::start(bench, name, &upstream, location)
    }

    fn start(bench: &Bench, name: &str, upstream: &str, location: &str) -> anyhow::Result<Nginx> {
        Nginx::start_at(bench, name, Ipv4Addr::LOCALHOST, upstream, location)
    }

    fn start_at(
        bench: &Bench,
        name: &str,
        host: Ipv4Addr,
        upstream: &str,
        location: &str,
    ) -> anyhow::Result<Nginx> {
        let folder = bench.folder(name)?;
        let [port] = free_ports();
        let address = SocketAddr::from((host, port));
        let configuration = folder.join("nginx.conf");
        std::fs::write(&configuration, configure(&folder, address, upstream, location))?;
        let mut command: Command = tnv_testbed::command(Self::PROGRAM);
        command.arg("-p").arg(&folder).arg("-c").arg(&configuration).args(["-e", "stderr"]);
        let mut daemon = Daemon::start(&folder, "nginx", &mut command);
        daemon.wait_until("connect", || std::net::TcpStream::connect(address).is_ok());
        Ok(Nginx { daemon, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its master and its workers.
    ///
    /// # Errors
    /// If the processes of this machine cannot be listed.
    pub(crate) fn pids(&self) -> anyhow::Result<Vec<u32>> {
        let master = self.daemon.pid();
        let mut pids = vec![master];
        for entry in std::fs::read_dir("/proc").context("cannot list /proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that has just ended is no worker.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if parent(&stat) == Some(master) {
                pids.push(pid);
            }
        }
        Ok(pids)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed, the master would leave its workers behind.
        self.daemon.stop();
    }
}

fn configure(folder: &Path, address: SocketAddr, upstream: &str, location: &str) -> String {
    // Workers of root's would not be allowed to read what root alone may.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|what| format!("{what}_temp_path {:?};\n  ", folder.join(what)))
        .collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{user}
daemon off;
pid {pid:?};
worker_processes {cores};
worker_rlimit_nofile 16384;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  {temporary}access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  default_type application/octet-stream;
  {upstream}
  server {{
    listen {address} backlog=4096;
    location / {{ {location} }}
  }}
}}
",
        pid = folder.join("nginx.pid"),
    )
}

/// The process that started a process: the 4th field. The second one, the name, may hold spaces and brackets.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_of_this_process_is_found() {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        assert_eq!(parent(&stat), Some(std::os::unix::process::parent_id()));
        assert_eq!(parent("7 (a) b) S 12 7 7"), Some(12));
        assert_eq!(parent(""), None);
    }
}
