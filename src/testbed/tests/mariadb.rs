//! The MariaDB of the bed.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use tnv_testbed::{MariaDb, installed};

/// A statement sent over TCP, as a program under test would.
fn over_tcp(server: &MariaDb, user: &str, more: &[&str], sql: &str) -> Output {
    Command::new("mariadb")
        .args(["--no-defaults", "--batch", "--skip-column-names", "--host=127.0.0.1", "--password=secret"])
        .args([format!("--port={}", server.port()), format!("--user={user}")])
        .args(more)
        .args(["--execute", sql])
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn rows_survive_a_crash_and_a_stop() {
    if !installed(MariaDb::PROGRAMS) {
        return;
    }
    let mut server = MariaDb::start();
    assert_eq!(server.url(), format!("mysql://tnv:secret@{}/", server.address()));
    server.execute("CREATE DATABASE seen; CREATE TABLE seen.t (id INT PRIMARY KEY, name TEXT)");
    let said = over_tcp(&server, "tnv", &[], "INSERT INTO seen.t VALUES (1, 'one'), (2, NULL)");
    assert!(said.status.success(), "{}", text(&said.stderr));

    server.kill();
    assert!(TcpStream::connect(server.address()).is_err(), "gone");
    server.restart();
    assert_eq!(server.query("SELECT * FROM seen.t ORDER BY id"), "1\tone\n2\tNULL");

    server.stop();
    assert!(TcpStream::connect(server.address()).is_err(), "gone");
    server.restart();
    assert_eq!(server.query("SELECT count(*) FROM seen.t"), "2");
}

#[test]
fn a_paused_server_hangs_until_it_is_resumed() {
    if !installed(MariaDb::PROGRAMS) {
        return;
    }
    let server = MariaDb::start_with(&["--max-connections=20"]);
    assert_eq!(server.query("SELECT @@max_connections"), "20");

    server.pause();
    let connection = TcpStream::connect(server.address()).unwrap();
    connection.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(connection.peek(&mut [0]).is_err(), "a server sends the first packet, a hanging one none");
    server.resume();
    connection.set_read_timeout(None).unwrap();
    assert_eq!(connection.peek(&mut [0]).unwrap(), 1);
}

#[test]
fn a_read_only_server_refuses_to_write() {
    if !installed(MariaDb::PROGRAMS) {
        return;
    }
    let server = MariaDb::start();
    server.set_read_only(true);
    let said = over_tcp(&server, "tnv", &[], "CREATE DATABASE refused");
    assert!(text(&said.stderr).contains("ERROR 1290 "), "{}", text(&said.stderr));
    server.set_read_only(false);
    assert!(over_tcp(&server, "tnv", &[], "CREATE DATABASE taken").status.success());
}

#[test]
fn users_that_need_tls_are_refused_without() {
    if !installed(MariaDb::PROGRAMS) || !installed(&["openssl"]) {
        return;
    }
    let server = MariaDb::start_with_tls();
    let certificates = server.certificates();
    let verified =
        [format!("--ssl-ca={}", certificates.ca().display()), "--ssl-verify-server-cert".to_owned()];
    let (certificate, key) = certificates.client();
    let named = [format!("--ssl-cert={}", certificate.display()), format!("--ssl-key={}", key.display())];
    let verified: Vec<&str> = verified.iter().map(String::as_str).collect();
    let named: Vec<&str> = verified.iter().copied().chain(named.iter().map(String::as_str)).collect();
    let cipher =
        "SELECT variable_value FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'";

    for (user, options, accepted) in [
        ("tnv", &["--skip-ssl"][..], true),
        ("tls", &["--skip-ssl"], false),
        ("tls", &verified, true),
        ("x509", &verified, false),
        ("x509", &named, true),
    ] {
        let said = over_tcp(&server, user, options, cipher);
        assert_eq!(said.status.success(), accepted, "{user} {options:?}: {}", text(&said.stderr));
        let encrypted = !text(&said.stdout).trim().is_empty();
        assert_eq!(encrypted, accepted && user != "tnv", "{user} {options:?}");
    }
}

#[test]
fn data_lie_where_they_are_told_to() {
    if !installed(MariaDb::PROGRAMS) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = MariaDb::start_in(folder.path());
    let file = folder.path().join("schema.sql");
    std::fs::write(&file, "CREATE DATABASE loaded;\nCREATE TABLE loaded.t (id INT);\n").unwrap();
    server.load(&file);
    assert_eq!(server.query("SELECT @@datadir"), format!("{}/data/", folder.path().display()));
    assert!(folder.path().join("data/loaded/t.ibd").is_file());
}

#[test]
#[should_panic(expected = "ERROR 1146")]
fn a_failed_statement_panics_with_the_message_of_the_server() {
    assert!(installed(MariaDb::PROGRAMS), "ERROR 1146 is not to be had");
    MariaDb::start().query("SELECT * FROM mysql.missing");
}

#[test]
#[should_panic(expected = "unknown option '--no-such-option'")]
fn a_server_that_does_not_start_panics_with_its_log() {
    assert!(installed(MariaDb::PROGRAMS), "unknown option '--no-such-option'");
    MariaDb::start_with(&["--no-such-option"]);
}

#[test]
fn nothing_is_left_of_a_server() {
    if !installed(MariaDb::PROGRAMS) {
        return;
    }
    let server = MariaDb::start();
    let pid = server.query("SELECT @@pid_file");
    let pid = Path::new(&pid);
    let process = Path::new("/proc").join(std::fs::read_to_string(pid).unwrap().trim());
    assert!(process.exists());
    drop(server);
    assert!(!process.exists());
    assert!(!pid.parent().unwrap().exists());
}
