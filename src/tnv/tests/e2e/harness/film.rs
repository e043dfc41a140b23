//! Films made by ffmpeg, kept between runs: long enough that no player has them whole after its first request.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::process::{run, text};

/// Their length in seconds.
pub(crate) const SECONDS: u32 = 30;

/// Where the index is, which a player must have before it can show anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Index {
    Front,
    End,
}

/// A film of about 20 MB: H.264 and AAC in an MP4, a key frame each second, a counter in the picture.
#[track_caller]
pub(crate) fn film(index: Index) -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    // Another test that failed here has left nothing half-done.
    let _alone = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let name = if index == Index::Front { "film-index-front.mp4" } else { "film-index-end.mp4" };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if !path.exists() {
        make(&path, index);
    }
    path
}

/// Makes the film under another name first: a run that is cut short leaves none that looks whole.
#[track_caller]
fn make(path: &Path, index: Index) {
    let (hue, flags) = if index == Index::Front { ("90", "+faststart") } else { ("0", "-faststart") };
    let picture = format!("testsrc2=s=1280x720:r=25:d={SECONDS}");
    let sound = format!("sine=330:d={SECONDS}");
    let filter = format!("hue=h={hue},noise=alls=12:allf=t,format=yuv420p");
    let unfinished = path.with_extension(format!("{}.mp4", std::process::id()));
    let mut args =
        vec!["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound];
    args.extend(["-vf", &filter, "-c:v", "libx264", "-preset", "ultrafast", "-b:v", "6M", "-maxrate", "8M"]);
    args.extend(["-bufsize", "8M", "-g", "25", "-c:a", "aac", "-map_metadata", "-1", "-movflags", flags]);
    args.push(unfinished.to_str().unwrap());
    let output = run("ffmpeg", &args);
    assert!(output.status.success(), "{:?}", text(&output));
    std::fs::rename(unfinished, path).unwrap();
}
