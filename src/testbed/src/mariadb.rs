//! A MariaDB server for one test.

mod template;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{Certificates, Daemon, command, free_ports};

/// A MariaDB on 127.0.0.1 with a data folder of its own. Commits are durable, buffers are small.
///
/// `tnv` with the password `secret` may do everything but write to a server that is read-only. Dropped, the server is
/// killed and its folder removed.
#[derive(Debug)]
pub struct MariaDb {
    daemon: Daemon,
    options: Vec<String>,
    port: u16,
    certificates: Option<Certificates>,
    folder: TempDir,
}

impl MariaDb {
    /// What must be [`installed`](crate::installed).
    pub const PROGRAMS: &[&str] = &["mariadbd", "mariadb-install-db", "mariadb"];

    /// Starts a server, and returns when it answers.
    ///
    /// # Panics
    /// With the end of its log, if it does not.
    #[track_caller]
    pub fn start() -> MariaDb {
        MariaDb::start_with(&[])
    }

    /// As [`start`](MariaDb::start), with further options of `mariadbd`, such as `--max-connections=5`.
    #[track_caller]
    pub fn start_with(options: &[&str]) -> MariaDb {
        MariaDb::launch(Setup::new(), &[], |_| options.iter().map(|&option| option.to_owned()).collect())
    }

    /// As [`start`](MariaDb::start), with the data in a folder `data` that it makes in this one. It needs about 60 MB.
    #[track_caller]
    pub fn start_in(folder: &Path) -> MariaDb {
        MariaDb::start_in_with(folder, &[])
    }

    /// As [`start_in`](MariaDb::start_in), with further options of `mariadbd`.
    #[track_caller]
    pub fn start_in_with(folder: &Path, options: &[&str]) -> MariaDb {
        let setup = Setup { data_in: Some(folder), ..Setup::new() };
        MariaDb::launch(setup, &[], |_| options.iter().map(|&option| option.to_owned()).collect())
    }

    /// As [`start`](MariaDb::start), with certificates: see [`certificates`](MariaDb::certificates). `tnv` may connect
    /// with or without TLS, `tls` only with it, and `x509` only with the certificate of the client; the password of
    /// all is `secret`. The server needs the `openssl` command.
    #[track_caller]
    pub fn start_with_tls() -> MariaDb {
        let mut made = None;
        let mut server = MariaDb::launch(Setup::new(), &[], |folder| {
            let certificates = made.insert(Certificates::make(folder));
            let (certificate, key) = certificates.server();
            vec![
                format!("--ssl-ca={}", certificates.ca().display()),
                format!("--ssl-cert={}", certificate.display()),
                format!("--ssl-key={}", key.display()),
            ]
        });
        server.certificates = made;
        server.execute(
            "CREATE USER tls@'%' IDENTIFIED BY 'secret' REQUIRE SSL;
             CREATE USER x509@'%' IDENTIFIED BY 'secret' REQUIRE X509;
             GRANT ALL PRIVILEGES ON *.* TO tls@'%', x509@'%'",
        );
        server
    }

    /// `mysql://tnv:secret@127.0.0.1:PORT/`
    pub fn url(&self) -> String {
        self.url_of("tnv", "secret")
    }

    /// The same for somebody else. Nothing is escaped.
    pub fn url_of(&self, user: &str, password: &str) -> String {
        format!("mysql://{user}:{password}@{}/", self.address())
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its TCP port, the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process, another one after a restart.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Those of a server that was started with TLS.
    ///
    /// # Panics
    /// If it was not.
    #[track_caller]
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("a server started with TLS")
    }

    /// Runs statements as root, whom no limit on connections keeps out.
    ///
    /// # Panics
    /// With the message of the server, if one fails.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        self.query(sql);
    }

    /// Runs statements as root, and returns their rows: one to a line, columns parted by tabs, `NULL` for null.
    ///
    /// # Panics
    /// With the message of the server, if one fails.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        self.client(&["--execute", sql], Stdio::null()).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs the statements of a file as root, as `mariadb < FILE` does.
    ///
    /// # Panics
    /// With the message of the server, if one fails.
    #[track_caller]
    pub fn load(&self, file: &Path) {
        let input = File::open(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if let Err(error) = self.client(&[], input.into()) {
            panic!("{}: {error}", file.display());
        }
    }

    /// Whether it refuses `tnv` to write. Root may always.
    #[track_caller]
    pub fn set_read_only(&self, read_only: bool) {
        self.execute(&format!("SET GLOBAL read_only = {read_only}"));
    }

    /// As a crash: SIGKILL, and gone when this returns.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// As an administrator would; gone when this returns.
    #[track_caller]
    pub fn stop(&mut self) {
        self.daemon.stop();
    }

    /// Starts it again with the same data and port, killing it before if it runs, and returns when it answers.
    ///
    /// # Panics
    /// With the end of its log, if it does not.
    #[track_caller]
    pub fn restart(&mut self) {
        self.restart_with(&[]);
    }

    /// Makes it hang: connections are accepted, but nothing is answered.
    pub fn pause(&self) {
        self.daemon.signal(Signal::STOP);
    }

    /// Ends [`pause`](MariaDb::pause).
    pub fn resume(&self) {
        self.daemon.signal(Signal::CONT);
    }

    /// All that it said since [`start`](MariaDb::start).
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Starts a server with options for this once, and those that `options` makes of the folder of the server.
    #[track_caller]
    pub(crate) fn launch(
        setup: Setup,
        once: &[String],
        options: impl FnOnce(&Path) -> Vec<String>,
    ) -> MariaDb {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = setup.data_in.unwrap_or(folder.path()).join("data");
        template::copy_to(&data);
        let mut all = setup.options(folder.path(), &data);
        all.extend(options(folder.path()));
        setup.give_away(folder.path());
        let daemon = spawn(folder.path(), &all, once);
        let mut server = MariaDb { daemon, options: all, port: setup.port, certificates: None, folder };
        server.wait_until_it_answers();
        server
    }

    /// Up to which transaction of its cluster it has the data. It must not run.
    #[track_caller]
    pub(crate) fn recovered_position(&self) -> String {
        let mut recovering = command("mariadbd")
            .args(&self.options)
            .arg("--wsrep-recover")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mariadbd runs");
        let lines = BufReader::new(recovering.stderr.take().expect("it is piped")).lines();
        let mut said = Vec::new();
        let mut position = None;
        for line in lines.map_while(Result::ok) {
            if let Some((_, found)) = line.split_once("Recovered position: ") {
                position = Some(found.trim().to_owned());
                break;
            }
            said.push(line);
        }
        // It has said what it is for. Left to itself it now and then never ends, and takes all memory there is.
        let _ = recovering.kill();
        let _ = recovering.wait();
        position.unwrap_or_else(|| panic!("no position is recovered:\n{}", said.join("\n")))
    }

    /// [`restart`](MariaDb::restart) with further options for this once.
    #[track_caller]
    pub(crate) fn restart_with(&mut self, once: &[String]) {
        self.daemon.kill();
        self.daemon = spawn(self.folder.path(), &self.options, once);
        self.wait_until_it_answers();
    }

    #[track_caller]
    fn wait_until_it_answers(&mut self) {
        let socket = socket(self.folder.path());
        self.daemon.wait_until("answers", || ask(&socket, &["--execute", "SELECT 1"], Stdio::null()).is_ok());
    }

    fn client(&self, arguments: &[&str], input: Stdio) -> Result<String, String> {
        ask(&socket(self.folder.path()), arguments, input)
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("socket")
}

/// What differs from server to server.
pub(crate) struct Setup<'a> {
    port: u16,
    data_in: Option<&'a Path>,
    /// The server runs as this user, and its folder is theirs. Only root may ask for that.
    pub(crate) user: Option<&'a str>,
}

impl Setup<'_> {
    fn new() -> Self {
        let [port] = free_ports();
        Setup::at(port)
    }

    pub(crate) fn at(port: u16) -> Self {
        Setup { port, data_in: None, user: None }
    }

    fn options(&self, folder: &Path, data: &Path) -> Vec<String> {
        let mut options = vec![
            // First, or it is not obeyed.
            "--no-defaults".to_owned(),
            format!("--datadir={}", data.display()),
            format!("--tmpdir={}", folder.display()),
            format!("--socket={}", socket(folder).display()),
            format!("--pid-file={}", folder.join("pid").display()),
            format!("--port={}", self.port),
        ];
        options.extend(self.user.map(|user| format!("--user={user}")).or_else(template::user));
        let fixed = [
            template::LOG_SIZE,
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-buffer-size=2M",
            "--key-buffer-size=1M",
            "--aria-pagecache-buffer-size=8M",
            "--performance-schema=off",
        ];
        options.extend(fixed.map(str::to_owned));
        options
    }

    #[track_caller]
    fn give_away(&self, folder: &Path) {
        if let Some(user) = self.user {
            let given = Command::new("chown").args(["-R", &format!("{user}:")]).arg(folder).status();
            assert!(given.is_ok_and(|status| status.success()), "{} for {user}", folder.display());
        }
    }
}

#[track_caller]
fn spawn(folder: &Path, options: &[String], once: &[String]) -> Daemon {
    Daemon::start(folder, "mariadbd", command("mariadbd").args(options).args(once))
}

/// What the command line client says.
fn ask(socket: &Path, arguments: &[&str], input: Stdio) -> Result<String, String> {
    let said = command("mariadb")
        .args(["--no-defaults", "--batch", "--skip-column-names", "--user=root", "--socket"])
        .arg(socket)
        .args(arguments)
        .stdin(input)
        .output()
        .expect("the mariadb client runs");
    if said.status.success() {
        Ok(String::from_utf8_lossy(&said.stdout).trim_end().to_owned())
    } else {
        Err(String::from_utf8_lossy(&said.stderr).trim_end().to_owned())
    }
}
