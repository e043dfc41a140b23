//! VLC without a screen. It refuses to run as root, so there it runs as nobody, in a folder that nobody can write to.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{frames, with_film};
use crate::harness::installed;
use crate::harness::lab::Lab;
use crate::harness::process::{run, text};

/// A folder for VLC alone; not the lab's, whose parents may be closed to others.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("tnv-vlc-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    folder
}

/// Runs VLC, which is to quit by itself. It exits with 0 whatever happens; what it wrote tells.
#[track_caller]
fn vlc(folder: &Path, args: &[&str]) {
    let home = format!("HOME={}", folder.display());
    let as_nobody: &[&str] = if rustix::process::getuid().is_root() {
        &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    } else {
        &[]
    };
    let quiet = ["cvlc", "-I", "dummy", "--no-color", "--vout", "dummy", "--aout", "dummy"];
    let output = run("env", &[&[home.as_str()], as_nobody, &quiet, args, &["vlc://quit"]].concat());
    assert!(output.status.success(), "{:?}", text(&output));
}

#[test]
fn vlc_reads_every_byte() {
    if !installed(&["cvlc", "ffmpeg"]) {
        return;
    }
    let lab = Lab::new();
    let (_up, url, local) = with_film(&lab);
    let folder = open_folder();
    let dump = folder.path().join("dump");
    vlc(folder.path(), &["--demux=dump", &format!("--demuxdump-file={}", dump.display()), &url]);
    assert!(std::fs::read(dump).unwrap() == std::fs::read(local).unwrap());
}

/// VLC opens the film, seeks, and hands on what it would decode; the pictures in it are those of the local film.
#[test]
fn vlc_seeks_to_the_same_pictures() {
    if !installed(&["cvlc", "ffmpeg"]) {
        return;
    }
    let lab = Lab::new();
    let (_up, url, local) = with_film(&lab);
    let folder = open_folder();
    let local_copy = folder.path().join("film.mp4");
    std::fs::copy(local, &local_copy).unwrap();
    std::fs::set_permissions(&local_copy, PermissionsExt::from_mode(0o644)).unwrap();
    for (start, stop) in [(26, 28), (3, 5)] {
        let shown = |name: &str, input: &str| {
            let out = folder.path().join(format!("{name}-{start}.ts"));
            let (start, stop) = (format!("--start-time={start}"), format!("--stop-time={stop}"));
            let sout = format!("--sout=#std{{access=file,mux=ts,dst={}}}", out.display());
            vlc(folder.path(), &[&start, &stop, &sout, input]);
            // Times differ with the moment VLC began; pictures do not.
            let pictures = frames(&[], out.to_str().unwrap(), &["-an"]);
            let pictures = pictures.lines().filter(|line| !line.starts_with('#'));
            pictures.map(|line| line.rsplit(',').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(shown("remote", &url), shown("local", local_copy.to_str().unwrap()), "from {start} s");
    }
}
