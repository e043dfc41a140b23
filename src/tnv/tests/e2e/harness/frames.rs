//! A raw client of the binary protocol, written from docs/protocol.md: it can say things no proper client says.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::DEADLINE;

pub(crate) const JOIN: u8 = 10;
pub(crate) const BEAT: u8 = 11;
pub(crate) const SADDRS: u8 = 12;
pub(crate) const GROUPS: u8 = 13;
pub(crate) const REPORT: u8 = 14;
pub(crate) const LOCATE: u8 = 16;
pub(crate) const STATE: u8 = 15;
pub(crate) const ID_GET: u8 = 40;
pub(crate) const ID_LEASE: u8 = 41;
pub(crate) const UPLOAD: u8 = 70;
pub(crate) const FILESIZE: u8 = 71;
pub(crate) const DOWNLOAD: u8 = 72;
pub(crate) const DELETE: u8 = 73;
pub(crate) const STAT: u8 = 74;
pub(crate) const READ: u8 = 75;
pub(crate) const BEGIN: u8 = 78;
pub(crate) const APPEND: u8 = 79;
pub(crate) const PROGRESS: u8 = 80;
pub(crate) const FINISH: u8 = 81;

/// A connection that sends whatever it is told to and reads replies.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
}

/// A reply with its whole body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) command: u8,
    pub(crate) status: u8,
    pub(crate) body: Vec<u8>,
}

impl Wire {
    #[track_caller]
    pub(crate) fn connect(address: &str) -> Wire {
        Wire::try_connect(address).unwrap_or_else(|error| panic!("cannot reach {address}: {error}"))
    }

    pub(crate) fn try_connect(address: &str) -> io::Result<Wire> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream })
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends a request and reads its reply.
    #[track_caller]
    pub(crate) fn call(&mut self, command: u8, body: &[u8]) -> Reply {
        self.try_call(command, body).unwrap_or_else(|error| panic!("command {command}: {error}"))
    }

    pub(crate) fn try_call(&mut self, command: u8, body: &[u8]) -> io::Result<Reply> {
        self.stream.write_all(&frame(command, body))?;
        self.try_reply()
    }

    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        self.try_reply().unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    pub(crate) fn try_reply(&mut self) -> io::Result<Reply> {
        let (len, command, status) = self.try_reply_header()?;
        let mut body = Vec::new();
        if (&mut self.stream).take(len).read_to_end(&mut body)? as u64 != len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Reply { command, status, body })
    }

    /// The length of the body that follows, the command and the status.
    pub(crate) fn try_reply_header(&mut self) -> io::Result<(u64, u8, u8)> {
        let mut header = [0; 10];
        self.stream.read_exact(&mut header)?;
        let len = i64::from_be_bytes(header[..8].try_into().unwrap());
        Ok((u64::try_from(len).expect("a reply's length is not negative"), header[8], header[9]))
    }

    /// Whether the server has closed the connection: nothing more comes, cleanly or with a reset.
    #[track_caller]
    pub(crate) fn assert_closed(&mut self) {
        match self.stream.read(&mut [0; 1]) {
            Ok(0) => {}
            Ok(_) => panic!("more bytes instead of the end"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
        }
    }

    /// Sends an upload's fixed part, for `size` bytes of contents to follow.
    pub(crate) fn begin_upload(&mut self, key: &[u8], size: u64) -> io::Result<()> {
        let body = [key, &size.to_be_bytes()].concat();
        self.stream.write_all(&header(body.len() as i64 + size as i64, UPLOAD))?;
        self.stream.write_all(&body)
    }

    #[track_caller]
    pub(crate) fn upload(&mut self, key: &[u8], contents: &[u8]) -> Reply {
        self.try_upload(key, contents).unwrap_or_else(|error| panic!("upload: {error}"))
    }

    pub(crate) fn try_upload(&mut self, key: &[u8], contents: &[u8]) -> io::Result<Reply> {
        self.begin_upload(key, contents.len() as u64)?;
        self.stream.write_all(contents)?;
        self.try_reply()
    }

    #[track_caller]
    pub(crate) fn download(&mut self, key: &[u8], offset: i64, size: i64) -> Reply {
        self.call(DOWNLOAD, &range(key, offset, size))
    }

    pub(crate) fn try_download(&mut self, key: &[u8]) -> io::Result<Reply> {
        self.try_call(DOWNLOAD, &range(key, 0, 0))
    }
}

impl Reply {
    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Vec<u8> {
        assert_eq!(self.status, 0, "refused: {}", String::from_utf8_lossy(&self.body));
        self.body
    }

    /// The body of a success that is one integer.
    #[track_caller]
    pub(crate) fn integer(self) -> i64 {
        i64::from_be_bytes(self.ok().try_into().expect("8 bytes"))
    }

    /// The number of a refusal, whose layout is checked.
    #[track_caller]
    pub(crate) fn refused(&self) -> u16 {
        assert_eq!(self.status, 0xfd, "a refusal was due, not {self:?}");
        assert!((4..=2 + 1024).contains(&self.body.len()), "a refusal of {} bytes", self.body.len());
        let (number, text) = self.body.split_at(2);
        let (nul, text) = text.split_last().unwrap();
        let text = std::str::from_utf8(text).expect("the description is UTF-8");
        assert_eq!((*nul, text.contains('\0')), (0, false), "one NUL, at the end: {text:?}");
        let (host, sentence) = text.strip_prefix('[').and_then(|rest| rest.split_once("] ")).expect(text);
        assert!(!host.is_empty() && !sentence.is_empty(), "host and reason: {text}");
        u16::from_be_bytes(number.try_into().unwrap())
    }

    /// What a refusal with this number says.
    #[track_caller]
    pub(crate) fn reason(&self, number: u16) -> String {
        assert_eq!(self.refused(), number, "{}", String::from_utf8_lossy(&self.body));
        String::from_utf8_lossy(&self.body[2..self.body.len() - 1]).into_owned()
    }
}

pub(crate) fn header(len: i64, command: u8) -> Vec<u8> {
    [&len.to_be_bytes()[..], &[command, 0]].concat()
}

pub(crate) fn frame(command: u8, body: &[u8]) -> Vec<u8> {
    [&header(body.len() as i64, command), body].concat()
}

/// A text field: NUL-padded, or filled to the last byte if the text is that long.
pub(crate) fn field(text: impl AsRef<[u8]>, size: usize) -> Vec<u8> {
    let mut field = text.as_ref().to_vec();
    assert!(field.len() <= size);
    field.resize(size, 0);
    field
}

/// App, user and file.
pub(crate) fn key(app: &str, user: &str, file: &str) -> Vec<u8> {
    [field(app, 16), field(user, 256), field(file, 128)].concat()
}

/// The body of a DOWNLOAD.
pub(crate) fn range(key: &[u8], offset: i64, size: i64) -> Vec<u8> {
    [key, &offset.to_be_bytes(), &size.to_be_bytes()].concat()
}

/// The body of a BEGIN without labels.
pub(crate) fn begin(key: &[u8], size: u64) -> Vec<u8> {
    [key, &size.to_be_bytes(), &[0; 4]].concat()
}

/// The body of an APPEND.
pub(crate) fn append(key: &[u8], offset: u64, contents: &[u8]) -> Vec<u8> {
    [key, &offset.to_be_bytes(), contents].concat()
}

/// The body of a FINISH that takes whatever BLAKE3 the whole has.
pub(crate) fn finish(key: &[u8]) -> Vec<u8> {
    [key, &[0; 32]].concat()
}

/// How many bytes are durable, of how many: what BEGIN, APPEND and PROGRESS are told.
#[track_caller]
pub(crate) fn progress(body: &[u8]) -> (u64, u64) {
    assert!(body.len() >= 24, "progress of {} bytes", body.len());
    let number = |at: usize| u64::from_be_bytes(body[at..at + 8].try_into().unwrap());
    (number(0), number(8))
}

pub(crate) fn join(group: &str, host: &str, port: u16) -> Vec<u8> {
    [
        field("1.0", 7),
        field(group, 17),
        field(host, 129),
        port.to_be_bytes().to_vec(),
        1_700_000_000_i64.to_be_bytes().to_vec(),
        1_700_000_001_i64.to_be_bytes().to_vec(),
    ]
    .concat()
}

pub(crate) fn beat(group: &str, host: &str) -> Vec<u8> {
    [field(group, 17), field(host, 129)].concat()
}

/// An id server's key.
pub(crate) fn id_key(key: &str) -> Vec<u8> {
    [key.as_bytes(), b"\0"].concat()
}

/// Group and addresses of a SADDRS reply, whose layout is checked.
#[track_caller]
pub(crate) fn addresses(body: &[u8]) -> (String, Vec<String>) {
    let (group, list) = body.split_at(17);
    let group = String::from_utf8(group.split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap();
    let list = std::str::from_utf8(list.strip_suffix(b"\0").expect("a NUL ends the list")).unwrap();
    let list = list.strip_suffix(';').expect("every entry ends in a semicolon");
    (group, list.split(';').map(str::to_owned).collect())
}

/// The text of GROUPS.
#[track_caller]
pub(crate) fn groups(tracker: &str) -> String {
    let body = Wire::connect(tracker).call(GROUPS, &[]).ok();
    let text = String::from_utf8(body).unwrap();
    text.strip_suffix('\0').expect("a NUL ends the text").to_owned()
}
