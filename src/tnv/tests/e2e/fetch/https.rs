//! `client fetch` over https, from nginx with a certificate of an authority that nobody knows but the test.

use std::path::Path;
use std::process::Output;

use tnv_testbed::{Certificates, Daemon, free_ports, installed};

use super::{LEN, last_event};
use crate::harness::lab::Lab;
use crate::harness::pattern::Pattern;
use crate::harness::process::text;

/// Two addresses of one nginx, the second of which no certificate is for, and the file that both have.
struct Secure {
    lab: Lab,
    certificates: Certificates,
    urls: [String; 2],
    bytes: Vec<u8>,
    nginx: Daemon,
}

impl Secure {
    fn start() -> Option<Secure> {
        if !installed(&["nginx", "openssl"]) {
            return None;
        }
        let lab = Lab::new();
        let certificates = Certificates::make(&lab.path(""));
        let bytes = Pattern::new(71, LEN).bytes();
        lab.file("film", &bytes);
        let [port] = free_ports();
        let file = lab.file("nginx.conf", configuration(&lab.path(""), port, &certificates));
        let mut command = tnv_testbed::command("nginx");
        command.arg("-p").arg(lab.path("")).args(["-c", &file, "-e", "stderr"]);
        let mut nginx = Daemon::start(&lab.path(""), "nginx", &mut command);
        nginx.wait_until("connect", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        let urls = ["127.0.0.1", "127.0.0.2"].map(|host| format!("https://{host}:{port}/film"));
        Some(Secure { lab, certificates, urls, bytes, nginx })
    }

    fn fetch(&self, args: &[&str]) -> Output {
        let out = self.lab.arg("out");
        self.lab
            .client(&[&["fetch", "-o", &out, "--json", "--timeout", "50", "--retries", "0"], args].concat())
    }

    fn ca(&self) -> String {
        self.certificates.ca().into_os_string().into_string().unwrap()
    }

    #[track_caller]
    fn assert_fetched(&self, output: &Output) {
        assert_eq!(output.status.code(), Some(0), "{:?}", text(output));
        assert!(std::fs::read(self.lab.path("out")).unwrap() == self.bytes, "other bytes");
        std::fs::remove_file(self.lab.path("out")).unwrap();
    }

    /// A failure with this exit code and these words, of which nothing stays.
    #[track_caller]
    fn assert_failed(&self, output: &Output, code: i32, words: &str) {
        assert_eq!(output.status.code(), Some(code), "{:?}", text(output));
        assert!(last_event(output).to_string().contains(words), "{:?}", text(output));
        assert!(!self.lab.path("out").exists() && !self.lab.path("out.part").exists());
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        // Killed, the master would leave its worker behind.
        self.nginx.stop();
    }
}

fn configuration(folder: &Path, port: u16, certificates: &Certificates) -> String {
    let (certificate, key) = certificates.server();
    // Workers of root's would not be allowed to read what root alone may.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|what| format!("{what}_temp_path {:?}; ", folder.join(what)))
        .collect();
    format!(
        "{user} daemon off; pid {pid:?}; worker_processes 1; error_log stderr warn; events {{ worker_connections 256; }}
        http {{
            {temporary} access_log off; root {folder:?}; default_type application/octet-stream;
            ssl_certificate {certificate:?}; ssl_certificate_key {key:?};
            server {{
                listen 127.0.0.1:{port} ssl; listen 127.0.0.2:{port} ssl;
                location /down {{ return 302 http://127.0.0.1:1/film; }}
            }}
        }}",
        pid = folder.join("nginx.pid"),
    )
}

#[test]
fn an_authority_that_is_named_is_trusted() {
    let Some(site) = Secure::start() else { return };
    let [url, other] = &site.urls;
    site.assert_fetched(&site.fetch(&[url, "--ca", &site.ca()]));
    // From the other one it takes nothing, whatever it has.
    let output = site.fetch(&[other, url, "--parallel", "2", "--ca", &site.ca()]);
    let sources = last_event(&output)["sources"].clone();
    let of_other =
        sources.as_array().unwrap().iter().find(|source| source["source"] == other.as_str()).unwrap();
    assert_eq!(of_other["bytes"], 0, "{sources}");
    site.assert_fetched(&output);
}

#[test]
fn nobody_else_is_trusted() {
    let Some(site) = Secure::start() else { return };
    let [url, other] = &site.urls;
    site.assert_failed(&site.fetch(&[url]), 4, "certificate");
    site.assert_failed(&site.fetch(&[other, "--ca", &site.ca()]), 4, "certificate");
    let down = url.replace("/film", "/down");
    site.assert_failed(&site.fetch(&[&down, "--ca", &site.ca()]), 4, "from https to http");
    let none = site.lab.file("none.pem", "no certificate");
    site.assert_failed(&site.fetch(&[url, "--ca", &none]), 1, "none.pem");
    site.assert_failed(&site.fetch(&[url, "--ca", &site.lab.arg("missing.pem")]), 1, "missing.pem");
}
