//! A client that knows two of each server: what fails at one it asks of another, once.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use super::site::Site;
use crate::harness::DEADLINE;
use crate::harness::frames::{DELETE, ID_GET, Reply, SADDRS, Wire, addresses, id_key, key};
use crate::harness::lab::APP;
use crate::harness::web::request;

/// Why a server that was asked is to be left for another one.
type Trouble = String;

/// A client, and how often it had to ask twice.
pub(super) struct Client {
    trackers: [String; 2],
    ids: [String; 2],
    gateways: [String; 2],
    /// Which of two is asked first: each in turn.
    turn: usize,
    pub(super) requests: usize,
    pub(super) retried: usize,
}

impl Client {
    pub(super) fn of(site: &Site) -> Client {
        let (trackers, ids, gateways) = (site.trackers(), site.ids(), site.gateways());
        Client { trackers, ids, gateways, turn: 0, requests: 0, retried: 0 }
    }

    /// Stores a file at a storage.
    pub(super) fn upload(&mut self, user: &str, file: &str, contents: &[u8]) {
        let key = key(APP, user, file);
        let was_there = self.at_storage(user, |wire, again| {
            let reply = answered(wire.try_upload(&key, contents))?;
            // Its first try was stored, but nobody was told any more.
            if reply.status != 0 && again && reply.refused() == 409 {
                return Ok(true);
            }
            reply.ok();
            Ok(false)
        });
        if was_there {
            let found = self.at_storage(user, |wire, _| answered(wire.try_download(&key)));
            assert!(found.ok() == contents, "{user}/{file} is not what was sent");
        }
    }

    /// Deletes a file at a storage.
    pub(super) fn delete(&mut self, user: &str, file: &str) {
        let key = key(APP, user, file);
        self.at_storage(user, |wire, again| {
            let reply = answered(wire.try_call(DELETE, &key))?;
            if reply.status == 0 || !again || reply.refused() != 404 {
                reply.ok();
            }
            Ok(())
        });
    }

    /// The file's bytes from a storage, if it is there.
    pub(super) fn download(&mut self, user: &str, file: &str) -> Option<Vec<u8>> {
        let key = key(APP, user, file);
        let reply = self.at_storage(user, |wire, _| answered(wire.try_download(&key)));
        if reply.status == 0 {
            return Some(reply.body);
        }
        assert_eq!(reply.refused(), 404, "{user}/{file}");
        None
    }

    /// The file's bytes from a gateway, if it is there.
    pub(super) fn get(&mut self, user: &str, file: &str) -> Option<Vec<u8>> {
        let path = format!("/files/{APP}/{user}/{file}");
        let (status, body) = self.at_gateway(|gateway| http(gateway, "GET", &path, &[]));
        assert!(matches!(status, 200 | 404), "{path}: {status}");
        (status == 200).then_some(body)
    }

    /// Stores a file at a gateway, which gives it its id; and whether it may be there twice.
    pub(super) fn post(&mut self, user: &str, contents: &[u8]) -> (String, bool) {
        let (path, before) = (format!("/files/{APP}/{user}?name=a.bin"), self.retried);
        let (status, body) = self.at_gateway(|gateway| http(gateway, "POST", &path, contents));
        assert_eq!(status, 201, "{path}: {}", String::from_utf8_lossy(&body));
        let made: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        (made["id"].as_str().expect("an id").to_owned(), self.retried > before)
    }

    /// A number from an id server.
    pub(super) fn number(&mut self, key: &str) -> i64 {
        let ids = self.ids.clone();
        self.twice(|turn, _| {
            let mut wire = Wire::try_connect(&ids[turn]).map_err(|error| error.to_string())?;
            Ok(answered(wire.try_call(ID_GET, &id_key(key)))?.integer())
        })
    }

    /// The storages of a user's group.
    pub(super) fn storages(&mut self, user: &str) -> Vec<String> {
        let trackers = self.trackers.clone();
        self.twice(|turn, _| storages(&trackers[turn], user))
    }

    /// Asks a tracker for storages, and the first of them that did not fail before.
    fn at_storage<T>(&mut self, user: &str, ask: impl Fn(&mut Wire, bool) -> Result<T, Trouble>) -> T {
        let trackers = self.trackers.clone();
        let mut left = HashSet::new();
        self.twice(|turn, again| {
            let named = storages(&trackers[turn], user)?;
            let storage = named.iter().find(|storage| !left.contains(*storage)).unwrap_or(&named[0]);
            let connected = Wire::try_connect(storage).map_err(|error| format!("{storage}: {error}"));
            let answer = connected.and_then(|mut wire| ask(&mut wire, again));
            if answer.is_err() {
                left.insert(storage.clone());
            }
            answer.map_err(|trouble| format!("{storage}: {trouble}"))
        })
    }

    fn at_gateway(&mut self, ask: impl Fn(&str) -> Result<(u16, Vec<u8>), Trouble>) -> (u16, Vec<u8>) {
        let gateways = self.gateways.clone();
        self.twice(|turn, _| ask(&gateways[turn]))
    }

    /// Asks one of two, and when that fails the other one.
    #[track_caller]
    fn twice<T>(&mut self, mut ask: impl FnMut(usize, bool) -> Result<T, Trouble>) -> T {
        self.turn += 1;
        self.requests += 1;
        let first = match ask(self.turn % 2, false) {
            Ok(answer) => return answer,
            Err(trouble) => trouble,
        };
        self.retried += 1;
        ask((self.turn + 1) % 2, true)
            .unwrap_or_else(|second| panic!("refused twice: {first}; then {second}"))
    }
}

/// A reply, unless it says that another server should be asked.
fn answered(reply: std::io::Result<Reply>) -> Result<Reply, Trouble> {
    let reply = reply.map_err(|error| error.to_string())?;
    if reply.status != 0 && reply.refused() >= 500 {
        return Err(String::from_utf8_lossy(&reply.body[2..]).into_owned());
    }
    Ok(reply)
}

fn storages(tracker: &str, user: &str) -> Result<Vec<String>, Trouble> {
    let mut wire = Wire::try_connect(tracker).map_err(|error| format!("{tracker}: {error}"))?;
    let reply = answered(wire.try_call(SADDRS, &key(APP, user, "")))
        .map_err(|trouble| format!("{tracker}: {trouble}"))?;
    Ok(addresses(&reply.ok()).1)
}

/// One request on a connection of its own: the status, and the body if all of it came.
fn http(gateway: &str, method: &str, path: &str, body: &[u8]) -> Result<(u16, Vec<u8>), Trouble> {
    let broken = |error: std::io::Error| format!("{gateway}: {error}");
    let mut stream = TcpStream::connect(gateway).map_err(broken)?;
    stream.set_read_timeout(Some(DEADLINE)).map_err(broken)?;
    let len = body.len().to_string();
    let head = request(method, path, &[("Connection", "close"), ("Content-Length", &len)]);
    // A refusal may come, and the connection end, before all of it is sent.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(broken)?;
    let short = || format!("{gateway}: the answer broke off");
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").ok_or_else(short)?;
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let status: u16 = head.get(9..12).and_then(|digits| digits.parse().ok()).ok_or_else(short)?;
    let len = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let body = answer.split_off(end + 4);
    if len != Some(body.len()) {
        return Err(short());
    }
    if status >= 500 {
        return Err(format!("{gateway}: {status} {}", String::from_utf8_lossy(&body)));
    }
    Ok((status, body))
}
