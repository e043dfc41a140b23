//! One client: it does this and that, and checks every byte it gets.

use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Barrier, Mutex};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};

use super::books::Books;
use super::site::Addresses;
use crate::harness::DEADLINE;
use crate::harness::frames::{DELETE, DOWNLOAD, FILESIZE, UPLOAD, Wire, frame, header, key, range};
use crate::harness::lab::{APP, USER};
use crate::harness::pattern::{Pattern, Random};
use crate::harness::web::{Web, request};
use crate::kill::ledger::{Entry, State};

/// Around the edges of buffers, pages and windows.
const SIZES: [u64; 12] = [
    0,
    1,
    4095,
    4096,
    4097,
    (16 << 10) - 1,
    16 << 10,
    (16 << 10) + 1,
    (256 << 10) - 1,
    (256 << 10) + 1,
    (1 << 20) - 1,
    (1 << 20) + 1,
];
/// The receive buffer of a client that sips, in bytes, and what it takes byte by byte and in all.
const SIP_BUFFER: usize = 4096;
const SIPS: u64 = 400;
const SIPPED: u64 = 96 << 10;

pub(super) struct Client<'a> {
    addresses: &'a Addresses,
    books: &'a Mutex<Books>,
    random: Random,
    number: u64,
    files: u64,
    wire: Wire,
    web: Web,
}

impl<'a> Client<'a> {
    pub(super) fn new(
        number: u64,
        addresses: &'a Addresses,
        books: &'a Mutex<Books>,
        random: Random,
    ) -> Client<'a> {
        let (wire, web) = (Wire::connect(&addresses.storage), Web::connect(&addresses.http));
        Client { addresses, books, random, number, files: 0, wire, web }
    }

    pub(super) fn work(mut self, operations: u64, together: &Barrier) {
        together.wait();
        for _ in 0..operations {
            match self.random.below(16) {
                0..4 => self.upload(),
                4..6 => self.post(),
                6 => self.break_off_an_upload(),
                7 => self.break_off_a_post(),
                8..10 => self.download(),
                10 => self.size(),
                11..13 => self.get(),
                13 => self.break_off_a_download(),
                14 => self.sip(),
                _ => self.delete(),
            }
        }
    }

    fn upload(&mut self) {
        let (file, contents) = self.new_file();
        self.books().enter(&file, contents.seed, contents.len, State::Uploading);
        self.wire.upload(&key(APP, USER, &file), &contents.bytes()).ok();
        self.books().stored(&file);
    }

    fn post(&mut self) {
        let (name, contents) = self.new_file();
        let made = self.web.post(&format!("/files?name={name}"), &[], &contents.bytes());
        assert_eq!(made.status, 201, "{}", made.text());
        let id = made.json()["id"].as_str().expect("an id").to_owned();
        self.books().enter(&id, contents.seed, contents.len, State::Present);
    }

    /// Sends an upload up to any byte and hangs up. Only after the last one there may be a file.
    fn break_off_an_upload(&mut self) {
        let (file, contents) = self.new_file();
        let key = key(APP, USER, &file);
        let len = key.len() as u64 + 8 + contents.len;
        let request =
            [&header(len as i64, UPLOAD), &key, &contents.len.to_be_bytes()[..], &contents.bytes()].concat();
        let sent = match self.random.below(4) {
            0 => request.len(),
            1 => request.len() - 1,
            _ => self.random.below(request.len() as u64) as usize,
        };
        let state = if sent == request.len() { State::Uploading } else { State::Gone };
        self.books().enter(&file, contents.seed, contents.len, state);
        self.wire.send(&request[..sent]);
        let next = Wire::connect(&self.addresses.storage);
        reset(std::mem::replace(&mut self.wire, next).stream);
    }

    /// The same at the gateway, but never to the end: nobody would know the id of a file that came of it.
    fn break_off_a_post(&mut self) {
        let (name, contents) = self.new_file();
        let len = contents.len.to_string();
        let head = request("POST", &format!("/files?name={name}"), &[("Content-Length", &len)]);
        let request = [head.as_bytes(), &contents.bytes()].concat();
        let most = request.len() - 1;
        let sent = if self.random.below(3) == 0 { most } else { self.random.below(most as u64) as usize };
        self.web.send(&request[..sent]);
        let next = Web::connect(&self.addresses.http);
        reset(std::mem::replace(&mut self.web, next).stream.into_inner());
    }

    fn download(&mut self) {
        let Some((file, entry, offset, len)) = self.pick(u64::MAX) else { return };
        let reply = self.wire.download(&key(APP, USER, &file), offset as i64, len as i64);
        if reply.status == 0 {
            assert_part(&file, &entry, offset, len, &reply.body);
        } else {
            assert_eq!(reply.refused(), 404, "{file}");
            self.books().assert_may_be_gone(&file);
        }
    }

    fn size(&mut self) {
        let Some((file, entry, ..)) = self.pick(u64::MAX) else { return };
        let reply = self.wire.call(FILESIZE, &key(APP, USER, &file));
        if reply.status == 0 {
            assert_eq!(reply.integer(), entry.len as i64, "{file}");
        } else {
            assert_eq!(reply.refused(), 404, "{file}");
            self.books().assert_may_be_gone(&file);
        }
    }

    fn get(&mut self) {
        let Some((file, entry, offset, len)) = self.pick(u64::MAX) else { return };
        let (headers, status) = ranges(offset, len);
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let response = self.web.get(&format!("/files/{file}"), &headers);
        if response.status == status {
            assert_part(&file, &entry, offset, len, &response.body);
        } else {
            assert_eq!(response.status, 404, "{file}: {}", response.text());
            self.books().assert_may_be_gone(&file);
        }
    }

    /// Asks the storage or the gateway for a file, and hangs up after any of its bytes.
    fn break_off_a_download(&mut self) {
        let Some((file, entry, offset, len)) = self.pick(u64::MAX) else { return };
        let taken = self.random.below(part_len(&entry, offset, len) + 1);
        if self.random.below(2) == 0 {
            let mut wire = Wire::connect(&self.addresses.storage);
            wire.send(&frame(DOWNLOAD, &range(&key(APP, USER, &file), offset as i64, len as i64)));
            let (_, _, status) = wire.try_reply_header().unwrap();
            if status == 0 {
                assert_holds(&file, &entry, offset, taken, &mut wire.stream);
            }
            reset(wire.stream);
        } else {
            let mut web = Web::connect(&self.addresses.http);
            let (headers, status) = ranges(offset, len);
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            web.send(request("GET", &format!("/files/{file}"), &headers).as_bytes());
            if web.head().unwrap().status == status {
                assert_holds(&file, &entry, offset, taken, &mut web.stream);
            }
            reset(web.stream.into_inner());
        }
    }

    /// Downloads with next to no room for what comes, first byte by byte and then in small bites.
    fn sip(&mut self) {
        let Some((file, entry, offset, len)) = self.pick(SIPPED) else { return };
        let mut wire = Wire { stream: narrow(&self.addresses.storage) };
        wire.send(&frame(DOWNLOAD, &range(&key(APP, USER, &file), offset as i64, len as i64)));
        let (announced, _, status) = wire.try_reply_header().unwrap();
        if status != 0 {
            return self.books().assert_may_be_gone(&file);
        }
        assert_eq!(announced, part_len(&entry, offset, len), "{file}");
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < announced {
            let left = announced - bytes.len() as u64;
            let bite = if (bytes.len() as u64) < SIPS { 1 } else { left.min(1 + self.random.below(2000)) };
            let mut bitten = vec![0; bite as usize];
            wire.stream.read_exact(&mut bitten).unwrap();
            bytes.append(&mut bitten);
        }
        assert_part(&file, &entry, offset, len, &bytes);
        wire.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(wire.stream.read(&mut [0]).unwrap(), 0, "{file}: more than was announced");
    }

    fn delete(&mut self) {
        let random = self.random.next();
        let Some(file) = self.books().claim(random) else { return };
        if random.is_multiple_of(3) {
            let response = self.web.request("DELETE", &format!("/files/{file}"), &[]);
            assert_eq!(response.status, 204, "{file}: {}", response.text());
        } else {
            self.wire.call(DELETE, &key(APP, USER, &file)).ok();
        }
        self.books().deleted(&file);
    }

    /// A name nobody else uses, and what is to be in the file.
    fn new_file(&mut self) -> (String, Contents) {
        self.files += 1;
        let size = SIZES[self.random.below(SIZES.len() as u64) as usize];
        (format!("c{}n{}", self.number, self.files), Contents { seed: self.random.next(), len: size })
    }

    /// A file that was present a moment ago, and the part to ask for: offset and length, 0 and 0 for the whole. Wholes
    /// are of files of up to `most` bytes, other parts have up to that.
    fn pick(&mut self, most: u64) -> Option<(String, Entry, u64, u64)> {
        let random = self.random.next();
        let (file, entry) = self.books().pick(random)?;
        if entry.len == 0 || (self.random.below(2) == 0 && entry.len <= most) {
            return Some((file, entry, 0, 0));
        }
        let offset = self.random.below(entry.len);
        let len = 1 + self.random.below((entry.len - offset).min(most));
        Some((file, entry, offset, len))
    }

    fn books(&self) -> std::sync::MutexGuard<'a, Books> {
        self.books.lock().unwrap()
    }
}

/// What is to be in a new file.
struct Contents {
    seed: u64,
    len: u64,
}

impl Contents {
    fn bytes(&self) -> Vec<u8> {
        Pattern::new(self.seed, self.len).bytes()
    }
}

/// The headers that ask a gateway for a part, and the status of a success.
fn ranges(offset: u64, len: u64) -> (Vec<(&'static str, String)>, u16) {
    match len {
        0 => (Vec::new(), 200),
        _ => (vec![("Range", format!("bytes={offset}-{}", offset + len - 1))], 206),
    }
}

fn part_len(entry: &Entry, offset: u64, len: u64) -> u64 {
    if len == 0 { entry.len - offset } else { len }
}

#[track_caller]
fn assert_part(file: &str, entry: &Entry, offset: u64, len: u64, bytes: &[u8]) {
    assert_eq!(bytes.len() as u64, part_len(entry, offset, len), "{file} from {offset} on");
    let pattern = Pattern::new(entry.seed, entry.len);
    assert!(pattern.has(offset, bytes), "{file} is damaged from {offset} on: {entry:?}");
}

/// Takes so many bytes, which must be those of the file.
#[track_caller]
fn assert_holds(file: &str, entry: &Entry, offset: u64, taken: u64, from: &mut impl Read) {
    let mut bytes = Vec::new();
    from.take(taken).read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, taken, "{file} ends early");
    assert!(Pattern::new(entry.seed, entry.len).has(offset, &bytes), "{file} is damaged from {offset} on");
}

/// A connection whose receive buffer is as small as it was before the first byte came.
fn narrow(address: &str) -> TcpStream {
    let address: SocketAddr = address.parse().unwrap();
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&socket, SIP_BUFFER).unwrap();
    connect(&socket, &address).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Hangs up with a reset, whatever is still to be sent or read.
fn reset(stream: TcpStream) {
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}
