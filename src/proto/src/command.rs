//! The one table of commands: number, server, and how long a request body may be.

use std::fmt;
use std::ops::RangeInclusive;

use crate::{Failure, Header};

/// The kinds of server that speak this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    /// Keeps the map of groups and storages.
    Tracker,
    /// Hands out numbers that never repeat.
    Id,
    /// Keeps the files.
    Storage,
}

impl Server {
    /// The command byte in every reply of this kind of server.
    pub const fn reply_command(self) -> u8 {
        match self {
            Server::Tracker => 100,
            Server::Id => 101,
            Server::Storage => 102,
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Server::Tracker => "tracker",
            Server::Id => "id server",
            Server::Storage => "storage",
        })
    }
}

macro_rules! commands {
    ($( $(#[$doc:meta])* $name:ident = $number:literal, $server:ident, $body:expr; )*) => {
        /// A request's command byte.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Command { $( $(#[$doc])* $name = $number, )* }

        impl Command {
            /// Every command, in the order of the table.
            pub const ALL: &'static [Command] = &[$( Command::$name, )*];

            /// The command with this number, if there is one.
            pub const fn from_byte(byte: u8) -> Option<Command> {
                match byte { $( $number => Some(Command::$name), )* _ => None }
            }

            /// The kind of server that answers this command.
            pub const fn server(self) -> Server {
                match self { $( Command::$name => Server::$server, )* }
            }

            /// The lengths a request body of this command may have, in bytes.
            pub const fn body_len(self) -> RangeInclusive<u64> {
                match self { $( Command::$name => $body, )* }
            }

            /// The command's name as in docs/protocol.md.
            pub const fn name(self) -> &'static str {
                match self { $( Command::$name => stringify!($name), )* }
            }
        }
    };
}

commands! {
    /// A storage enters its group.
    Join = 10, Tracker, 171..=171;
    /// A storage is still there.
    Beat = 11, Tracker, 146..=146;
    /// Which storages serve this user?
    Saddrs = 12, Tracker, 400..=400;
    /// All groups and storages, as text for people.
    Groups = 13, Tracker, 0..=0;
    /// A storage tells its identity, advertised address, space and load (extension).
    Report = 14, Tracker, 148..=148_u64.saturating_add(crate::MAX_REPORT_LEN as u64);
    /// All groups and storages, as JSON (extension).
    State = 15, Tracker, 0..=0;
    /// SADDRS for readers: a user without a group does not get one by it (extension).
    Locate = 16, Tracker, 400..=400;
    /// One number for a key.
    IdGet = 40, Id, 2..=65;
    /// A range of numbers for a key in one round trip (extension).
    IdLease = 41, Id, 6..=69;
    /// Store a new file.
    Upload = 70, Storage, 408..=i64::MAX as u64;
    /// How long is this file?
    FileSize = 71, Storage, 400..=400;
    /// Bytes of a file.
    Download = 72, Storage, 416..=416;
    /// Remove a file for good.
    Delete = 73, Storage, 400..=400;
    /// A file's size, time, checksum and content type (extension).
    Stat = 74, Storage, 400..=400;
    /// Bytes of a file, if it still has the given checksum (extension).
    Read = 75, Storage, 448..=448;
    /// Store a new file with its name, content type and checksum (extension).
    Store = 76, Storage, 444..=i64::MAX as u64;
    /// A user's files, page by page (extension).
    List = 77, Storage, 279..=279_u64.saturating_add(crate::MAX_LIST_TEXT_LEN as u64);
    /// Begin an upload that comes in parts and may be resumed (extension).
    Begin = 78, Storage, 412..=412_u64.saturating_add(crate::MAX_LABELS_LEN as u64);
    /// The next part of such an upload (extension).
    Append = 79, Storage, 408..=i64::MAX as u64;
    /// How far has such an upload come? (extension)
    Progress = 80, Storage, 400..=400;
    /// Such an upload is complete: make it a file (extension).
    Finish = 81, Storage, 432..=432;
    /// Forget such an upload (extension).
    Abort = 82, Storage, 400..=400;
    /// READ of a file's bytes that lie on this very storage: for peers (extension).
    Fetch = 83, Storage, 448..=448;
    /// The catalog has news of this file: for peers (extension).
    Notice = 84, Storage, 400..=400;
    /// Read all files again, or tell how far that is (extension).
    Scrub = 85, Storage, 1..=1;
    /// How a member of the group is, and changing that: drain, undrain, remove (extension).
    Member = 86, Storage, 5..=4_u64.saturating_add(crate::MAX_IDENTITY_LEN as u64);
    /// Bytes of an upload that another storage of the group is taking: for peers (extension).
    Push = 88, Storage, 440..=i64::MAX as u64;
    /// Bytes that were pushed have their rows: for peers (extension).
    Keep = 89, Storage, 6..=crate::MAX_KEEP_LEN as u64;
}

impl Command {
    /// Checks a request header before anything is read or allocated for its body: the command must be known, be
    /// meant for `server`, and its body must have a length that fits.
    ///
    /// # Errors
    /// 400 for an unknown or misdirected command and for a length that does not fit.
    pub fn check(header: Header, server: Server) -> Result<Command, Failure> {
        let command =
            Command::from_byte(header.command).filter(|command| command.server() == server).ok_or_else(
                || Failure::bad_request(format!("a {server} does not know command {}", header.command)),
            )?;
        let allowed = command.body_len();
        if allowed.contains(&header.body_len) {
            return Ok(command);
        }
        let wanted = if allowed.start() == allowed.end() {
            format!("{} bytes", allowed.start())
        } else if *allowed.end() >= i64::MAX as u64 {
            format!("at least {} bytes", allowed.start())
        } else {
            format!("{} to {} bytes", allowed.start(), allowed.end())
        };
        Err(Failure::bad_request(format!(
            "{} takes a body of {wanted}, this one says {}",
            command.name(),
            header.body_len
        )))
    }
}
