//! A raw HTTP/1.1 client: it sends the bytes it is given and shows what came back, unchanged.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::DEADLINE;

/// A connection to the gateway.
pub(crate) struct Web {
    pub(crate) stream: BufReader<TcpStream>,
    /// Where to connect again: the last answer said that this connection ends.
    closing: Option<std::net::SocketAddr>,
}

/// A response with its whole body.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// In the order they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Web {
    #[track_caller]
    pub(crate) fn connect(address: &str) -> Web {
        Web::try_connect(address).unwrap_or_else(|error| panic!("cannot reach {address}: {error}"))
    }

    /// As [`Web::connect`], to a server that may be gone.
    pub(crate) fn try_connect(address: &str) -> io::Result<Web> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Web { stream: BufReader::new(stream), closing: None })
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Sends a request and reads the response.
    #[track_caller]
    pub(crate) fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        self.reconnect_if_closing();
        self.send(request(method, path, headers).as_bytes());
        self.response(method)
    }

    /// Does what every client does after an answer that says `Connection: close`.
    fn reconnect_if_closing(&mut self) {
        if let Some(address) = self.closing.take() {
            *self = Web::connect(&address.to_string());
        }
    }

    #[track_caller]
    pub(crate) fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Response {
        self.request("GET", path, headers)
    }

    /// Sends a request with a body, whose length is said unless `headers` say something about it.
    #[track_caller]
    pub(crate) fn send_body(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let len = body.len().to_string();
        let about_len = ["content-length", "transfer-encoding"];
        let mut headers = headers.to_vec();
        if !headers.iter().any(|(name, _)| about_len.contains(&name.to_lowercase().as_str())) {
            headers.push(("Content-Length", &len));
        }
        self.reconnect_if_closing();
        // A refusal may come, and the connection end, before all of it is sent.
        let _ = self.stream.get_mut().write_all(request(method, path, &headers).as_bytes());
        let _ = self.stream.get_mut().write_all(body);
        self.response(method)
    }

    #[track_caller]
    pub(crate) fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.send_body("POST", path, headers, body)
    }

    /// One request with a body, to a server that may be gone before it has answered.
    pub(crate) fn attempt(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Response> {
        let len = body.len().to_string();
        let headers = [("Content-Type", "application/json"), ("Content-Length", len.as_str())];
        let stream = self.stream.get_mut();
        stream.write_all(request(method, path, &headers).as_bytes())?;
        stream.write_all(body)?;
        let mut response = self.head()?;
        let len = response.header("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
        response.body = vec![0; len];
        self.stream.read_exact(&mut response.body)?;
        Ok(response)
    }

    /// Reads the response to a request of this method.
    #[track_caller]
    pub(crate) fn response(&mut self, method: &str) -> Response {
        let mut response = self.head().unwrap_or_else(|error| panic!("no response: {error}"));
        if response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.closing = self.stream.get_ref().peer_addr().ok();
        }
        if method != "HEAD" && ![204, 304].contains(&response.status) {
            let len = response.len();
            (&mut self.stream).take(len).read_to_end(&mut response.body).unwrap();
            assert_eq!(response.body.len() as u64, len, "the body is as long as its Content-Length says");
        }
        response
    }

    /// Reads status and headers; the body stays on the connection.
    pub(crate) fn head(&mut self) -> io::Result<Response> {
        let status_line = self.line()?;
        let status = status_line.strip_prefix("HTTP/1.1 ").or_else(|| status_line.strip_prefix("HTTP/1.0 "));
        let status = status.and_then(|rest| rest.get(..3)).and_then(|digits| digits.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status line: {status_line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.to_lowercase(), value.trim().to_owned())),
                None => return Ok(Response { status, headers, body: Vec::new() }),
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Whether the server has closed the connection.
    #[track_caller]
    pub(crate) fn assert_closed(&mut self) {
        match self.stream.read(&mut [0; 1]) {
            Ok(0) => {}
            Ok(_) => panic!("more bytes instead of the end"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
        }
    }
}

impl Response {
    /// A header's value; it must not be there twice.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(header, _)| header == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is there twice");
        value
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        assert!(
            self.header("content-type").is_some_and(|kind| kind.starts_with("application/json")),
            "{self:?}"
        );
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// A refusal with this status: a short plain sentence.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, what: &str) {
        assert_eq!(self.status, status, "{what}: {}", self.text());
        assert_eq!(self.header("content-type"), Some("text/plain; charset=utf-8"), "{what}");
        let sentence = self.text();
        assert!((10..1000).contains(&sentence.len()) && sentence.contains(' '), "{what}: {sentence:?}");
    }

    /// What Content-Length says, which must be there.
    #[track_caller]
    pub(crate) fn len(&self) -> u64 {
        let len = self.header("content-length").unwrap_or_else(|| panic!("no Content-Length: {self:?}"));
        len.parse().unwrap()
    }
}

pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

/// One request on a connection of its own.
#[track_caller]
pub(crate) fn get(address: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    Web::connect(address).get(path, headers)
}
