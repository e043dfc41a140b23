//! Stopping, and not starting: SIGTERM lets transfers finish; what cannot work is one clear sentence and exit code 1.

use std::io::Read;
use std::process::Output;

use crate::harness::frames::{DOWNLOAD, FILESIZE, Wire, frame, key, range};
use crate::harness::lab::{APP, Lab, Role, USER, assert_no_temps};
use crate::harness::pattern::Pattern;
use crate::harness::process::{command, run, text, tnv};
use crate::harness::web::{Web, request};
use crate::harness::{contents_below, eventually};
use rustix::process::Signal;

/// Exit code 1, nothing on standard output, and a few words on standard error that name `wanted`.
#[track_caller]
fn fails_with_a_sentence(output: &Output, wanted: &str) {
    let (out, err) = text(output);
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(!out.contains("ready"), "{out}");
    assert!(err.contains(wanted), "{wanted:?} in {err}");
    assert!(!err.contains("panicked") && !err.contains("RUST_BACKTRACE"), "{err}");
    // Log lines begin with the year.
    let said = err.lines().filter(|line| !line.starts_with("20")).count();
    assert!((1..=2).contains(&said), "one sentence: {err}");
}

#[test]
fn sigterm_lets_a_download_and_an_upload_finish() {
    let lab = Lab::new();
    let mut up = lab.up();
    let pattern = Pattern::new(51, 64 << 20);
    let large = key(APP, USER, "large");
    Wire::connect(&up.storage).upload(&large, &pattern.bytes()).ok();

    let mut download = Wire::connect(&up.storage);
    download.send(&frame(DOWNLOAD, &range(&large, 0, 0)));
    let (len, _, status) = download.try_reply_header().unwrap();
    assert_eq!((len, status), (pattern.len(), 0));
    let mut web = Web::connect(&up.http);
    web.send(request("GET", "/files/large", &[]).as_bytes());
    assert_eq!(web.head().unwrap().status, 200);
    let late = key(APP, USER, "late");
    let mut upload = Wire::connect(&up.storage);
    let contents = Pattern::new(52, 2_000_000).bytes();
    upload.begin_upload(&late, contents.len() as u64).unwrap();
    upload.send(&contents[..1_000_000]);
    let data = lab.path("data");
    eventually("the upload to have begun", || (!crate::harness::temps_below(&data).is_empty()).then_some(()));
    let mut idle = Wire::connect(&up.storage);

    // From the outside in: what the gateway still sends comes from the storage.
    up.process.signal(Signal::TERM);
    eventually("the gateway to refuse", || Wire::try_connect(&up.http).is_err().then_some(()));
    pattern.check(0, len, &mut web.stream.by_ref().take(len));
    idle.assert_closed();
    eventually("the storage to refuse", || Wire::try_connect(&up.storage).is_err().then_some(()));
    upload.send(&contents[1_000_000..]);
    assert!(upload.reply().ok().is_empty());
    pattern.check(0, len, &mut (&mut download.stream).take(len));
    drop((upload, download, web));
    assert_eq!(up.process.wait().code(), Some(0));
    assert_no_temps(&data);

    let up = lab.up();
    assert!(Wire::connect(&up.storage).download(&late, 0, 0).ok() == contents);
}

#[test]
fn a_transfer_that_never_ends_is_cut_off_at_the_drain_timeout() {
    let lab = Lab::new();
    let tracker = Role::tracker(&lab).start(&lab);
    let id = Role::id(&lab).start(&lab);
    let role =
        Role::storage(&lab, "store", &[&tracker.address], &[&id.address]).set("drain_timeout", "300ms");
    let mut storage = role.start(&lab);
    let mut wire = Wire::connect(&storage.address);
    wire.begin_upload(&key(APP, USER, "f"), 4 << 20).unwrap();
    wire.send(&vec![1; 3 << 20]);
    let store = lab.path("store");
    eventually("the upload to have begun", || {
        (!crate::harness::temps_below(&store).is_empty()).then_some(())
    });
    assert_eq!(storage.process.terminate().code(), Some(0));
    wire.assert_closed();
    assert_no_temps(&store);
    assert_eq!(contents_below(&store), []);
}

#[test]
fn every_server_stops_on_sigterm_and_on_ctrl_c() {
    let lab = Lab::new();
    for signal in [Signal::TERM, Signal::INT] {
        let tracker = Role::tracker(&lab).start(&lab);
        let id = Role::id(&lab).start(&lab);
        let storage = Role::storage(&lab, "store", &[&tracker.address], &[&id.address]).start(&lab);
        let http = Role::http(&[&tracker.address]).start(&lab);
        let mut idle = Web::connect(&http.address);
        idle.request("GET", "/files/none", &[]);
        for mut server in [http, storage, id, tracker] {
            server.process.signal(signal);
            assert_eq!(server.process.wait().code(), Some(0), "{}", server.process.log());
        }
    }
}

#[test]
fn a_port_that_is_taken_is_said_so() {
    let lab = Lab::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for role in ["--tracker", "--id", "--storage", "--http"] {
        let mut args = vec!["up".to_owned(), "--data".to_owned(), lab.arg("data")];
        for other in ["--tracker", "--id", "--storage", "--http"] {
            args.extend([
                other.to_owned(),
                if other == role { address.clone() } else { "127.0.0.1:0".to_owned() },
            ]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        fails_with_a_sentence(&run(tnv(), &args), &address);
    }
    fails_with_a_sentence(&run(tnv(), &Role::tracker(&lab).listen(&address).args()), &address);
}

#[test]
fn a_folder_that_cannot_be_used_is_said_so() {
    let lab = Lab::new();
    let file = lab.file("file", "not a folder");
    let up = |data: &str| {
        run(
            tnv(),
            &[
                "up",
                "--data",
                data,
                "--tracker",
                "127.0.0.1:0",
                "--id",
                "127.0.0.1:0",
                "--storage",
                "127.0.0.1:0",
                "--http",
                "127.0.0.1:0",
            ],
        )
    };
    fails_with_a_sentence(&up(&file), &file);
    fails_with_a_sentence(&up(&format!("{file}/below")), &file);
    fails_with_a_sentence(&up("/proc/nosuch"), "/proc/nosuch");
}

#[test]
fn a_folder_in_use_is_said_so() {
    let lab = Lab::new();
    let _first = lab.up();
    let second = lab.up_command().output().unwrap();
    fails_with_a_sentence(&second, &lab.arg("data"));
}

#[test]
fn a_full_disk_is_507_and_leaves_nothing() {
    let lab = Lab::new();
    let tracker = Role::tracker(&lab).start(&lab);
    let id = Role::id(&lab).start(&lab);
    // As if all of the disk were reserved.
    let storage = Role::storage(&lab, "store", &[&tracker.address], &[&id.address])
        .set("reserved_space", "8000TiB")
        .start(&lab);
    let mut wire = Wire::connect(&storage.address);
    assert_eq!(wire.upload(&key(APP, USER, "f"), b"contents").refused(), 507);
    assert_eq!(wire.call(FILESIZE, &key(APP, USER, "f")).refused(), 404);
    assert_no_temps(&lab.path("store"));
}

#[test]
fn check_says_every_mistake_at_once_with_file_and_line() {
    let lab = Lab::new();
    let good = lab.file(
        "good.toml",
        "listen = \"127.0.0.1:0\"\ngroup = \"group001\"\n[database]\nurl = \"sqlite:x.db\"\n",
    );
    let output = run(tnv(), &["storage", "--config", &good, "--check"]);
    assert!(output.status.success(), "{:?}", text(&output));

    let bad = lab.file(
        "bad.toml",
        "# a comment\nlisten = \"nowhere\"\ngroup = \"not a group\"\nheartbeat_interval = -1\ngruop = \"x\"\n\n[database]\nurl = 7\n",
    );
    let output = run(tnv(), &["storage", "--config", &bad, "--check", "--set", "reserved_space=lots"]);
    let (out, err) = text(&output);
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    for (line, key) in
        [(2, "listen"), (3, "group"), (4, "heartbeat_interval"), (5, "gruop"), (8, "database.url")]
    {
        let wanted = format!("{bad}:{line}: {key}");
        assert!(err.contains(&wanted), "{wanted} in {err}");
    }
    assert!(err.contains("--set reserved_space"), "{err}");
}

#[test]
fn a_server_with_a_bad_configuration_does_not_start() {
    let lab = Lab::new();
    let bad = lab.file("bad.toml", "listen = 7\n");
    fails_with_a_sentence(&run(tnv(), &["tracker", "--config", &bad]), &format!("{bad}:1"));
    let absent = lab.arg("absent.toml");
    fails_with_a_sentence(&run(tnv(), &["tracker", "--config", &absent]), &absent);
    let from_environment =
        command(tnv()).args(["id", "--listen", "127.0.0.1:0"]).env("TNV_ID_STEP", "none").output().unwrap();
    fails_with_a_sentence(&from_environment, "TNV_ID_STEP");
}

/// Flags win over the environment, which wins over the file.
#[test]
fn the_environment_stands_between_file_and_flags() {
    let lab = Lab::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let database = format!("database.url=sqlite:{}", lab.arg("catalog.db"));
    let config = lab.file("id.toml", "listen = \"127.0.0.1:0\"\n");
    let mut with_variable = command(tnv());
    with_variable.args(["id", "--config", &config, "--set", &database]).env("TNV_ID_LISTEN", &address);
    fails_with_a_sentence(&with_variable.output().unwrap(), &address);
    let mut with_flag = command(tnv());
    with_flag.args(["id", "--config", &config, "--set", &database, "--listen", "127.0.0.1:0"]);
    let mut server = lab.process("id", with_flag.env("TNV_ID_LISTEN", &address));
    server.expect_line("ready ");
    assert!(server.terminate().success());
}
