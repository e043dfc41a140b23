//! What a process does to its files, as strace tells it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::harness::lab::Lab;
use crate::harness::process::{Process, command};

/// One thing that a process did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A file or a folder was made, if it was not there.
    Make { path: PathBuf, is_folder: bool },
    /// Bytes were written; without an offset behind the last ones.
    Write { path: PathBuf, offset: Option<u64>, bytes: Bytes },
    /// A file became this long.
    Resize { path: PathBuf, len: u64, shrink: bool },
    /// A file or a folder was synced.
    Sync(PathBuf),
    /// All was synced.
    SyncAll,
    /// A file got a name, and lost another one if this was no link.
    Name { from: PathBuf, to: PathBuf, keep: bool },
    /// A file or a folder lost its name.
    Unlink(PathBuf),
    /// A reply was sent.
    Reply,
}

/// Bytes that are not shown in messages.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// A process that is being watched.
pub(super) struct Trace {
    strace: Process,
    output: PathBuf,
}

const CALLS: &str = "trace=openat,write,pwrite64,pwritev,pwritev2,writev,sendto,sendmsg,fsync,fdatasync,syncfs,sync,\
                     /^rename,/^link,/^unlink,/^mkdir,rmdir,/^f?truncate,fallocate,copy_file_range,sendfile,splice";

impl Trace {
    pub(super) fn begin(lab: &Lab, pid: u32) -> Trace {
        let output = lab.path("trace");
        let mut strace = command("sh");
        strace
            .args([
                "-c",
                "exec \"$@\" 2>&1",
                "sh",
                "strace",
                "-f",
                "-yy",
                "-xx",
                "-s",
                "4000000",
                "-e",
                CALLS,
            ])
            .args(["-p", &pid.to_string(), "-o"])
            .arg(&output);
        let mut strace = lab.process("strace", &mut strace);
        assert!(strace.expect_line("strace: Process ").contains("attached"), "strace may not attach here");
        Trace { strace, output }
    }

    /// What was done to files that are or lie in `watched`, and when the storage at `address` replied.
    pub(super) fn end(mut self, watched: &[PathBuf], address: &str) -> Vec<Event> {
        self.strace.terminate();
        let text = std::fs::read_to_string(&self.output).unwrap();
        let mut reader = Reader { address, offsets: HashMap::new() };
        let events = whole_calls(&text).into_iter().filter_map(|line| reader.event(&line));
        let is_watched = |path: &Path| watched.iter().any(|root| path.starts_with(root));
        events.filter(|event| event.path().is_none_or(is_watched)).collect()
    }
}

impl Event {
    fn path(&self) -> Option<&Path> {
        match self {
            Event::Make { path, .. }
            | Event::Write { path, .. }
            | Event::Resize { path, .. }
            | Event::Sync(path)
            | Event::Name { to: path, .. }
            | Event::Unlink(path) => Some(path),
            Event::SyncAll | Event::Reply => None,
        }
    }
}

/// Calls that another thread interrupted are put together again, where they ended.
fn whole_calls(text: &str) -> Vec<String> {
    let mut begun = HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let (pid, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        if let Some(head) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(pid, head);
        } else if let Some((_, tail)) = rest.split_once(" resumed>").filter(|_| rest.starts_with("<... ")) {
            let head = begun.remove(pid).unwrap_or_default();
            calls.push(format!("{head}{tail}"));
        } else {
            calls.push(rest.to_owned());
        }
    }
    calls
}

struct Reader<'a> {
    address: &'a str,
    /// Where files that were opened under our eyes are written next, by descriptor.
    offsets: HashMap<String, u64>,
}

impl Reader<'_> {
    /// What a call did; `None` if nothing to files, or if it failed.
    fn event(&mut self, line: &str) -> Option<Event> {
        let (call, rest) = line.split_once('(')?;
        let (args, result) = rest.rsplit_once(" = ")?;
        let args: Vec<&str> = args.trim_end().strip_suffix(')')?.split(", ").collect();
        let result = result.trim();
        if result.starts_with('-') || result.starts_with('?') {
            return None;
        }
        let number = |n: usize| args.get(n)?.parse::<u64>().ok();
        match call {
            "openat" => self.opened(&args, result),
            "mkdir" => Some(Event::Make { path: name(args[0]), is_folder: true }),
            "mkdirat" => Some(Event::Make { path: name(args[1]), is_folder: true }),
            "write" | "writev" | "sendto" | "sendmsg" => {
                let (descriptor, target) = descriptor(args[0])?;
                if let Some(connection) = target.strip_prefix("TCP:[") {
                    let is_reply = connection.starts_with(&format!("{}->", self.address));
                    return is_reply.then_some(Event::Reply);
                }
                let bytes = bytes(args[1]);
                let offset = self.offsets.get_mut(descriptor).map(|offset| {
                    *offset += bytes.len() as u64;
                    *offset - bytes.len() as u64
                });
                Some(Event::Write { path: path(target)?, offset, bytes: Bytes(bytes) })
            }
            "pwrite64" => Some(Event::Write {
                path: path(descriptor(args[0])?.1)?,
                offset: Some(number(3).unwrap()),
                bytes: Bytes(bytes(args[1])),
            }),
            "fsync" | "fdatasync" => Some(Event::Sync(path(descriptor(args[0])?.1)?)),
            "syncfs" | "sync" => Some(Event::SyncAll),
            "rename" | "link" => {
                Some(Event::Name { from: name(args[0]), to: name(args[1]), keep: call == "link" })
            }
            "renameat" | "renameat2" | "linkat" => {
                Some(Event::Name { from: name(args[1]), to: name(args[3]), keep: call == "linkat" })
            }
            "unlink" | "rmdir" => Some(Event::Unlink(name(args[0]))),
            "unlinkat" => Some(Event::Unlink(name(args[1]))),
            "ftruncate" => {
                Some(Event::Resize { path: path(descriptor(args[0])?.1)?, len: number(1)?, shrink: true })
            }
            "fallocate" => {
                assert_eq!(args[1], "0", "a file grows");
                let len = number(2)? + number(3)?;
                Some(Event::Resize { path: path(descriptor(args[0])?.1)?, len, shrink: false })
            }
            "truncate" | "pwritev" | "pwritev2" | "copy_file_range" => panic!("not understood: {call}"),
            // Between sockets, and from files to them.
            "sendfile" | "splice" => None,
            _ => None,
        }
    }

    fn opened(&mut self, args: &[&str], result: &str) -> Option<Event> {
        let flags: Vec<&str> = args[2].split('|').collect();
        let (descriptor, target) = descriptor(result)?;
        if flags.contains(&"O_APPEND") || flags.contains(&"O_RDONLY") {
            self.offsets.remove(descriptor);
        } else {
            self.offsets.insert(descriptor.to_owned(), 0);
        }
        let path = path(target)?;
        if flags.contains(&"O_TRUNC") {
            assert!(flags.contains(&"O_EXCL"), "{} is written over", path.display());
        }
        flags.contains(&"O_CREAT").then_some(Event::Make { path, is_folder: false })
    }
}

/// `12<what it is>`: the number, and what it is.
fn descriptor(text: &str) -> Option<(&str, String)> {
    let (number, target) = text.strip_suffix('>')?.split_once('<')?;
    Some((number, String::from_utf8(unescaped(target)).unwrap()))
}

/// Of a descriptor that is a file.
fn path(target: impl Into<String>) -> Option<PathBuf> {
    let target = target.into();
    target.starts_with('/').then(|| PathBuf::from(target.trim_end_matches(" (deleted)")))
}

/// A quoted path. It does not depend on the current folder.
fn name(quoted: &str) -> PathBuf {
    let path = PathBuf::from(String::from_utf8(bytes(quoted)).unwrap());
    assert!(path.is_absolute(), "{}", path.display());
    path
}

/// A quoted string.
fn bytes(quoted: &str) -> Vec<u8> {
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    unescaped(inner.unwrap_or_else(|| panic!("cut off: {}", &quoted[quoted.len().saturating_sub(80)..])))
}

/// strace writes every byte as `\xNN`, but leaves what it says itself as it is.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match tail {
            [b'x', high, low, tail @ ..] if *first == b'\\' => {
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
                bytes.push(digit(*high) * 16 + digit(*low));
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}
