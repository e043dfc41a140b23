//! What `upload` is to send: whole files, or a part of one.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileType};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, reason};

/// A part of a file, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) path: PathBuf,
    /// The first byte, from 0.
    pub(crate) offset: u64,
    /// How many bytes; 0 = to the end.
    pub(crate) size: u64,
}

/// Reads the words behind APP and USER: one path with an offset and a size, or paths alone. Exactly three words of which the
/// last two are integers are the former; a file called `0` is given as `./0`.
///
/// # Errors
/// A usage error if an integer is too large or the path is `-`.
pub(crate) fn pieces(words: &[OsString]) -> Result<Vec<Piece>, Error> {
    let pieces = match words {
        [path, offset, size] if is_integer(offset) && is_integer(size) => {
            vec![Piece {
                path: path.into(),
                offset: integer(offset, "offset")?,
                size: integer(size, "size")?,
            }]
        }
        paths => paths.iter().map(|path| Piece { path: path.into(), offset: 0, size: 0 }).collect(),
    };
    match pieces.iter().any(|piece| piece.path == Path::new("-")) {
        true => Err(Error::usage(
            "standard input cannot be uploaded, for its size must be known beforehand; a file called - is ./-",
        )),
        false => Ok(pieces),
    }
}

fn is_integer(word: &OsStr) -> bool {
    let bytes = word.as_encoded_bytes();
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit)
}

fn integer(word: &OsStr, what: &str) -> Result<u64, Error> {
    let digits = word.to_string_lossy();
    match digits.parse::<i64>() {
        Ok(number) => Ok(number.unsigned_abs()),
        Err(_) => {
            Err(Error::usage(format!("the {what} {digits} is too large, at most {} is possible", i64::MAX)))
        }
    }
}

impl Piece {
    /// How many bytes it has, having checked that it is a file that can be read and is long enough.
    ///
    /// # Errors
    /// A local error that says which path is wrong and how.
    pub(crate) fn check(&self) -> Result<u64, Error> {
        let path = self.path.display();
        let cannot_read =
            |error| Error::local(format!("cannot read {path}: {}{}", reason(&error), self.hint()));
        // Looked at before it is opened: opening a FIFO waits for its writer.
        let metadata = fs::metadata(&self.path).map_err(cannot_read)?;
        if !metadata.is_file() {
            let kind = describe(metadata.file_type());
            if metadata.is_dir() {
                return Err(Error::local(format!("{path} is {kind}; -r uploads the files in it")));
            }
            return Err(Error::local(format!("{path} is {kind}; only regular files can be uploaded")));
        }
        File::open(&self.path).map_err(cannot_read)?;
        let rest = metadata.len().checked_sub(self.offset).ok_or_else(|| {
            Error::local(format!(
                "offset {} is behind the end of {path} ({} bytes)",
                self.offset,
                metadata.len()
            ))
        })?;
        match self.size {
            0 => Ok(rest),
            size if size <= rest => Ok(size),
            size => Err(Error::local(format!(
                "{path} has only {rest} bytes from offset {}, not {size}",
                self.offset
            ))),
        }
    }

    /// Why a number may have been taken for a path.
    fn hint(&self) -> &'static str {
        match is_integer(self.path.as_os_str()) {
            true => " (offset and size are read as such behind exactly one path, and only both together)",
            false => "",
        }
    }
}

/// What something that is no regular file is called.
pub(crate) fn describe(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    fn parse(line: &str) -> Result<Vec<Piece>, Error> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        pieces(&words)
    }

    fn piece(path: &str, offset: u64, size: u64) -> Piece {
        Piece { path: path.into(), offset, size }
    }

    #[test]
    fn two_integers_behind_one_path_are_offset_and_size() {
        assert_eq!(parse("003.mp4 0 0").unwrap(), [piece("003.mp4", 0, 0)]);
        assert_eq!(parse("a 10 007").unwrap(), [piece("a", 10, 7)]);
        assert_eq!(parse("0 1 2").unwrap(), [piece("0", 1, 2)]);
        assert_eq!(parse("a 9223372036854775807 1").unwrap(), [piece("a", i64::MAX as u64, 1)]);
    }

    #[test]
    fn anything_else_is_paths() {
        assert_eq!(parse("a").unwrap(), [piece("a", 0, 0)]);
        assert_eq!(parse("a 0").unwrap(), [piece("a", 0, 0), piece("0", 0, 0)]);
        assert_eq!(parse("a b 0").unwrap().len(), 3);
        assert_eq!(parse("a 0 ./0").unwrap()[2], piece("./0", 0, 0));
        assert_eq!(parse("a +1 -1").unwrap().len(), 3);
        assert_eq!(parse("a b 0 0").unwrap().len(), 4);
    }

    #[test]
    fn integers_that_do_not_fit_and_standard_input_are_usage_errors() {
        let error = parse("a 9223372036854775808 0").unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        assert!(error.text.contains("offset 9223372036854775808"), "{error}");
        assert_eq!(parse("a 0 99999999999999999999").unwrap_err().kind, Kind::Usage);
        assert_eq!(parse("-").unwrap_err().kind, Kind::Usage);
        assert!(parse("./-").is_ok());
    }

    #[test]
    fn paths_need_not_be_utf8() {
        let words = [OsString::from_vec(vec![b'a', 0xff]), "0".into(), "5".into()];
        let pieces = pieces(&words).unwrap();
        assert_eq!(pieces[0].path.as_os_str(), words[0]);
    }

    #[test]
    fn only_regular_files_that_are_long_enough_pass() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("five");
        fs::write(&path, b"12345").unwrap();
        let sized = |offset, size| Piece { path: path.clone(), offset, size }.check();
        assert_eq!(sized(0, 0).unwrap(), 5);
        assert_eq!(sized(2, 0).unwrap(), 3);
        assert_eq!(sized(5, 0).unwrap(), 0);
        assert_eq!(sized(2, 3).unwrap(), 3);
        assert!(sized(6, 0).unwrap_err().text.contains("behind the end"));
        assert!(sized(2, 4).unwrap_err().text.contains("only 3 bytes"));

        let check = |path: &Path| Piece { path: path.into(), offset: 0, size: 0 }.check().unwrap_err();
        assert!(check(folder.path()).text.contains("is a directory"));
        assert!(check(Path::new("/dev/null")).text.contains("is a device"));
        let missing = check(&folder.path().join("none"));
        assert_eq!((missing.kind, missing.text.ends_with("no such file or directory")), (Kind::Local, true));
        assert!(check(Path::new("4711")).text.contains("only both together"));
    }

    #[test]
    fn a_named_pipe_is_refused_without_waiting_for_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let error = Piece { path, offset: 0, size: 0 }.check().unwrap_err();
        assert!(error.text.contains("is a named pipe"), "{error}");
    }

    proptest! {
        #[test]
        fn any_words_are_read_or_refused(words in prop::collection::vec(prop::collection::vec(1u8.., 0..24), 0..6)) {
            let words: Vec<OsString> = words.into_iter().map(OsString::from_vec).collect();
            if let Ok(pieces) = pieces(&words) {
                prop_assert!(pieces.len() == words.len() || (pieces.len() == 1 && words.len() == 3));
            }
        }

        #[test]
        fn digits_are_offset_and_size_or_a_usage_error(offset in "[0-9]{1,30}", size in "[0-9]{1,30}") {
            match pieces(&["f".into(), offset.clone().into(), size.clone().into()]) {
                Ok(pieces) => prop_assert_eq!(&pieces[..], &[piece("f", offset.parse().unwrap(), size.parse().unwrap())]),
                Err(error) => prop_assert_eq!(error.kind, Kind::Usage),
            }
        }
    }
}
