//! How far the members of an unfinished package have come, so that a killed node goes on where it was. What the journal
//! says is a hint: bytes that it promises are hashed before they count.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

/// No journal comes near this.
const MAX_LEN: u64 = 64 * 1024 * 1024;

/// One line for each step: the member's index and how many of its bytes are written, from its beginning on.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
}

impl Journal {
    /// Begins an empty one.
    pub(crate) fn create(path: &Path) -> io::Result<Journal> {
        Ok(Journal { file: File::create(path)? })
    }

    /// Goes on with one.
    pub(crate) fn append(path: &Path) -> io::Result<Journal> {
        Ok(Journal { file: File::options().append(true).create(true).open(path)? })
    }

    /// What a journal says last of each member. A line that was cut off, or is none, says nothing.
    pub(crate) fn read(path: &Path) -> io::Result<BTreeMap<usize, u64>> {
        let mut text = String::new();
        match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            file => file?.take(MAX_LEN).read_to_string(&mut text)?,
        };
        Ok(parse(&text))
    }

    /// Notes that a member has so many bytes.
    pub(crate) fn note(&mut self, member: usize, written: u64) -> io::Result<()> {
        self.file.write_all(format!("{member} {written}\n").as_bytes())
    }
}

fn parse(text: &str) -> BTreeMap<usize, u64> {
    let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    lines
        .filter_map(|line| {
            let (member, written) = line.split_once(' ')?;
            Some((member.parse().ok()?, written.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_line_of_a_member_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.done");
        assert!(Journal::read(&path).unwrap().is_empty());
        let mut journal = Journal::create(&path).unwrap();
        for (member, written) in [(0, 5), (7, 100), (0, 9)] {
            journal.note(member, written).unwrap();
        }
        drop(journal);
        Journal::append(&path).unwrap().note(7, 200).unwrap();
        assert_eq!(Journal::read(&path).unwrap(), BTreeMap::from([(0, 9), (7, 200)]));
        assert_eq!(parse("1 2\nx\n3\n4 5 6\n7 8\n9 10"), BTreeMap::from([(1, 2), (7, 8)]));
    }
}
