//! A log file that is set aside by size and by time.
//!
//! `x.log` is always the current file. Rotation renames it to `x.log.1`, the former `x.log.1` to `x.log.2` and so on;
//! what would get a number beyond `keep` is deleted. No line is split over two files.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

/// How long to go on with the old file before a failed rotation is tried again.
const RETRY: SignedDuration = SignedDuration::from_secs(60);

/// When a log file is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes the file may reach; 0 means any number.
    pub size: u64,
    /// The time one file covers.
    pub every: RotateEvery,
    /// How many files stay beside the current one; with 0 the file is emptied instead.
    pub keep: u32,
}

/// The time one log file covers, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotateEvery {
    /// Any time.
    Never,
    /// A clock hour.
    Hourly,
    /// A calendar day.
    Daily,
}

impl RotateEvery {
    /// The number of the period that `time` lies in.
    fn period(self, time: Timestamp) -> i64 {
        match self {
            RotateEvery::Never => 0,
            RotateEvery::Hourly => time.as_second().div_euclid(3600),
            RotateEvery::Daily => time.as_second().div_euclid(86400),
        }
    }
}

impl FromStr for RotateEvery {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<RotateEvery, &'static str> {
        match text {
            "never" => Ok(RotateEvery::Never),
            "hourly" => Ok(RotateEvery::Hourly),
            "daily" => Ok(RotateEvery::Daily),
            _ => Err("write never, hourly or daily"),
        }
    }
}

pub(super) struct RotatingFile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    len: u64,
    period: i64,
    retry_at: Timestamp,
}

impl RotatingFile {
    /// Opens the file, and its folder if need be; lines are appended to what it already holds.
    ///
    /// # Errors
    /// The folder or the file can neither be opened nor created.
    pub(super) fn open(path: PathBuf, rotation: Rotation) -> io::Result<RotatingFile> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = append_to(&path)?;
        let metadata = file.metadata()?;
        // A file from yesterday is set aside with the first line of today.
        let written = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
        let period = rotation.every.period(written.unwrap_or(Timestamp::UNIX_EPOCH));
        Ok(RotatingFile { path, rotation, file, len: metadata.len(), period, retry_at: Timestamp::MIN })
    }

    /// Appends a line, to a new file if it is due. A rotation that fails keeps no line from being written.
    fn append(&mut self, line: &[u8], now: Timestamp) -> io::Result<()> {
        if self.is_due(line.len() as u64, now)
            && let Err(error) = self.rotate()
        {
            self.retry_at = now.saturating_add(RETRY).unwrap_or(Timestamp::MAX);
            tracing::error!(path = %self.path.display(), %error, "cannot rotate the log file");
        }
        if self.len == 0 {
            self.period = self.rotation.every.period(now);
        }
        self.file.write_all(line)?;
        self.len += line.len() as u64;
        Ok(())
    }

    fn is_due(&self, more: u64, now: Timestamp) -> bool {
        let too_long = self.rotation.size > 0 && self.len.saturating_add(more) > self.rotation.size;
        let too_old = self.rotation.every.period(now) > self.period;
        self.len > 0 && (too_long || too_old) && now >= self.retry_at
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.rotation.keep == 0 {
            self.file.set_len(0)?;
        } else {
            self.shift()?;
            self.file = append_to(&self.path)?;
        }
        self.len = 0;
        Ok(())
    }

    /// Makes room for a new current file, the oldest first so that no file is overwritten.
    fn shift(&self) -> io::Result<()> {
        let keep = self.rotation.keep;
        // More than one is beyond the limit after `keep` was lowered.
        for beyond in keep.. {
            match fs::remove_file(self.numbered(beyond)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                result => result?,
            }
        }
        for number in (1..keep).rev() {
            rename_existing(&self.numbered(number), &self.numbered(number + 1))?;
        }
        rename_existing(&self.path, &self.numbered(1))
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

impl Write for RotatingFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.append(line, Timestamp::now())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

fn rename_existing(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURLY: Rotation = Rotation { size: 0, every: RotateEvery::Hourly, keep: 2 };

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The current file and those set aside, until one is missing.
    fn contents(path: &Path) -> Vec<String> {
        let numbered = (1..).map(|number| PathBuf::from(format!("{}.{number}", path.display())));
        let paths = std::iter::once(path.to_owned()).chain(numbered);
        paths.map_while(|path| fs::read_to_string(path).ok()).collect()
    }

    #[test]
    fn lines_fill_a_file_up_to_its_size_and_are_never_split() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/x.log");
        let rotation = Rotation { size: 10, every: RotateEvery::Never, keep: 3 };
        let mut log = RotatingFile::open(path.clone(), rotation).unwrap();
        let now = at("2026-01-01T00:00:00Z");
        for line in ["1234\n", "6789\n", "a\n", "a line that is too long\n", "b\n"] {
            log.append(line.as_bytes(), now).unwrap();
        }
        assert_eq!(contents(&path), ["b\n", "a line that is too long\n", "a\n", "1234\n6789\n"]);
    }

    #[test]
    fn no_more_files_stay_than_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut log = RotatingFile::open(path.clone(), HOURLY).unwrap();
        for hour in 0..5 {
            log.append(format!("{hour}").as_bytes(), at(&format!("2026-01-01T0{hour}:30:00Z"))).unwrap();
        }
        assert_eq!(contents(&path), ["4", "3", "2"]);

        log.rotation.keep = 1;
        log.append(b"5", at("2026-01-01T05:30:00Z")).unwrap();
        assert_eq!(contents(&path), ["5", "4"], "the limit was lowered");

        log.rotation.keep = 0;
        log.append(b"6", at("2026-01-01T06:30:00Z")).unwrap();
        assert_eq!(contents(&path), ["6", "4"], "the file is emptied in place");
    }

    #[test]
    fn a_new_hour_or_day_begins_a_new_file_with_its_first_line() {
        for (every, same, next) in [
            (RotateEvery::Hourly, "2026-01-01T22:59:59Z", "2026-01-01T23:00:00Z"),
            (RotateEvery::Daily, "2026-01-01T23:59:59Z", "2026-01-02T00:00:00Z"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.log");
            let mut log = RotatingFile::open(path.clone(), Rotation { every, ..HOURLY }).unwrap();
            log.append(b"a", at("2026-01-01T22:00:00Z")).unwrap();
            log.append(b"b", at(same)).unwrap();
            assert_eq!(contents(&path), ["ab"]);
            log.append(b"c", at(next)).unwrap();
            log.append(b"d", at(same)).unwrap();
            assert_eq!(contents(&path), ["cd", "ab"], "a clock that steps back rotates nothing");
        }
    }

    #[test]
    fn a_file_of_an_earlier_run_is_continued_or_set_aside_by_its_age() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        fs::write(&path, "old").unwrap();
        let written = Timestamp::try_from(fs::metadata(&path).unwrap().modified().unwrap()).unwrap();

        let daily = Rotation { every: RotateEvery::Daily, ..HOURLY };
        RotatingFile::open(path.clone(), daily).unwrap().append(b" new", written).unwrap();
        assert_eq!(contents(&path), ["old new"]);

        let tomorrow = written + SignedDuration::from_hours(25);
        RotatingFile::open(path.clone(), daily).unwrap().append(b"next", tomorrow).unwrap();
        assert_eq!(contents(&path), ["next", "old new"]);
    }

    #[test]
    fn a_rotation_that_fails_loses_no_line_and_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let obstacle = folder.path().join("x.log.1");
        fs::create_dir_all(obstacle.join("not empty")).unwrap();
        let mut log = RotatingFile::open(path.clone(), Rotation { keep: 1, ..HOURLY }).unwrap();
        log.append(b"a", at("2026-01-01T00:00:00Z")).unwrap();
        log.append(b"b", at("2026-01-01T01:00:00Z")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "ab");

        fs::remove_dir_all(&obstacle).unwrap();
        log.append(b"c", at("2026-01-01T01:00:59Z")).unwrap();
        assert_eq!(contents(&path), ["abc"], "it is too early to try again");
        log.append(b"d", at("2026-01-01T01:01:00Z")).unwrap();
        assert_eq!(contents(&path), ["d", "abc"]);
    }
}
