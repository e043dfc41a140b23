//! mpv without a screen: what it decodes, and seeks told to it while it plays.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use super::with_film;
use crate::harness::lab::Lab;
use crate::harness::process::{command, run, text};
use crate::harness::{DEADLINE, eventually, installed};

#[test]
fn mpv_decodes_the_same_pictures() {
    if !installed(&["mpv", "ffmpeg"]) {
        return;
    }
    let lab = Lab::new();
    let (_up, url, local) = with_film(&lab);
    let decoded = |input: &str, start: &str| {
        let (start, out) = (format!("--start={start}"), lab.arg("frames"));
        let quiet = ["--no-config", "--really-quiet", "--no-audio", "--of=framemd5", "--ovc=rawvideo"];
        let output =
            run("mpv", &[&quiet, &[&start, "--frames=15", &format!("--o={out}"), input][..]].concat());
        assert!(output.status.success(), "{:?}", text(&output));
        std::fs::read_to_string(out).unwrap()
    };
    for start in ["0", "27.3", "11"] {
        let pictures = decoded(&url, start);
        assert!(pictures.lines().count() > 15, "{pictures}");
        assert_eq!(pictures, decoded(&local, start), "from {start} s");
    }
}

#[test]
fn mpv_seeks_forth_and_back_while_it_plays() {
    if !installed(&["mpv", "ffmpeg"]) {
        return;
    }
    let lab = Lab::new();
    let (_up, url, _) = with_film(&lab);
    // A socket's path must be short; the lab's folder may be deep.
    let folder = tempfile::Builder::new().prefix("tnv-mpv-").tempdir().unwrap();
    let socket = folder.path().join("socket");
    let mut mpv = command("mpv");
    mpv.args(["--no-config", "--really-quiet", "--msg-level=all=error", "--vo=null", "--ao=null"]);
    mpv.args(["--keep-open=yes", &format!("--input-ipc-server={}", socket.display()), &url]);
    let mut process = lab.process("mpv", &mut mpv);
    let mut remote = Remote::connect(&socket);
    eventually("mpv to have the film open", || remote.property("duration").as_f64());
    assert_eq!(remote.property("seekable"), true);
    assert_eq!(remote.property("partially-seekable"), false);
    for position in [27.0, 2.0, 19.5, 0.5, 25.0, 10.0] {
        remote.command(json!(["seek", position, "absolute+exact"]));
        remote.event("playback-restart");
        let reached = remote.property("time-pos").as_f64().unwrap();
        assert!((reached - position).abs() < 1.0, "{reached} s instead of {position} s");
    }
    remote.command(json!(["quit"]));
    assert!(process.wait().success());
    assert_eq!(process.log(), "", "mpv has nothing to complain about");
}

/// mpv's control socket: one JSON object a line, replies and events mixed.
struct Remote {
    lines: BufReader<UnixStream>,
}

impl Remote {
    #[track_caller]
    fn connect(socket: &Path) -> Remote {
        let stream = eventually("mpv's socket", || UnixStream::connect(socket).ok());
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Remote { lines: BufReader::new(stream) }
    }

    /// Sends a command and returns its reply; events before it are dropped.
    #[track_caller]
    fn command(&mut self, command: Value) -> Value {
        let request = json!({ "command": command, "request_id": 1 });
        writeln!(self.lines.get_mut(), "{request}").unwrap();
        self.find(|line| line["request_id"] == 1)
    }

    /// `null` if it has none at present.
    #[track_caller]
    fn property(&mut self, name: &str) -> Value {
        self.command(json!(["get_property", name]))["data"].take()
    }

    #[track_caller]
    fn event(&mut self, name: &str) {
        self.find(|line| line["event"] == name);
    }

    #[track_caller]
    fn find(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "mpv has gone");
            let line = serde_json::from_str(&line).unwrap();
            if wanted(&line) {
                return line;
            }
        }
    }
}
