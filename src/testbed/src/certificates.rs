//! A certificate authority, and one certificate each for a server and a client.

use std::path::{Path, PathBuf};
use std::process::Command;

/// PEM files of an authority made for one test, and what it signed: a server at 127.0.0.1 or `localhost`, and a client.
#[derive(Debug, Clone)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes them with the `openssl` command, in a folder that exists. They are valid for a day.
    ///
    /// # Panics
    /// With what `openssl` said, if it fails.
    #[track_caller]
    pub fn make(folder: &Path) -> Certificates {
        let made = Certificates { folder: folder.to_owned() };
        made.sign("ca", &["-subj", "/CN=testbed authority", "-addext", "keyUsage=critical,keyCertSign"]);
        let by_ca = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"];
        let server = ["-subj", "/CN=testbed server", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"];
        made.sign("server", &[&by_ca[..], &["-addext", "extendedKeyUsage=serverAuth"], &server].concat());
        let client = ["-subj", "/CN=testbed client"];
        made.sign("client", &[&by_ca[..], &["-addext", "extendedKeyUsage=clientAuth"], &client].concat());
        made
    }

    /// The certificate of the authority.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The certificate of the server, and its key.
    pub fn server(&self) -> (PathBuf, PathBuf) {
        self.pair("server")
    }

    /// The certificate of the client, and its key.
    pub fn client(&self) -> (PathBuf, PathBuf) {
        self.pair("client")
    }

    fn pair(&self, name: &str) -> (PathBuf, PathBuf) {
        (self.folder.join(format!("{name}.pem")), self.folder.join(format!("{name}.key")))
    }

    #[track_caller]
    fn sign(&self, name: &str, arguments: &[&str]) {
        let (certificate, key) = self.pair(name);
        let made = Command::new("openssl")
            .current_dir(&self.folder)
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "1", "-out"])
            .arg(certificate)
            .arg("-keyout")
            .arg(key)
            .args(arguments)
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
}
