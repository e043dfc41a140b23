//! What texts must be like.

use std::net::IpAddr;

/// The longest name that anything has here, in bytes.
const MAX_NAME: usize = 64;
/// The longest host name, path, key or password, in bytes.
const MAX_TEXT: usize = 1024;

type Checked = Result<(), String>;

/// A host: an address or a name, without scheme and port.
pub(super) fn host(text: &str) -> Checked {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    match text.len() <= 253 && text.split('.').all(is_part) {
        true => Ok(()),
        false => Err(format!(
            "{text:?} is neither an IP address nor a host name; write it without http:// and port"
        )),
    }
}

/// A host as it stands in a URL.
pub(super) fn in_url(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

/// An address to listen on.
pub(super) fn address(text: &str) -> Checked {
    text.parse::<IpAddr>()
        .map(|_| ())
        .map_err(|_| format!("{text:?} is not an IP address; 0.0.0.0 is every one of this machine"))
}

/// Where a hub is.
pub(super) fn url(text: &str) -> Checked {
    let wrong = || {
        // Whoever put a password into it does not want to read it again here.
        "not the URL of a hub; write something like https://hub.example.org:8000".to_owned()
    };
    let url = reqwest::Url::parse(text).map_err(|_| wrong())?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    match matches!(url.scheme(), "http" | "https") && url.has_host() && plain && text.len() <= MAX_TEXT {
        true => Ok(()),
        false => Err(wrong()),
    }
}

/// What goes into a header as it is. Never quoted: it is a secret.
pub(super) fn key(text: &str) -> Checked {
    match text.len() <= MAX_TEXT && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(()),
        false => Err("a key has printable ASCII characters only, and no spaces".to_owned()),
    }
}

/// A password or its hash. Never quoted: it is a secret.
pub(super) fn password(text: &str) -> Checked {
    match text.len() <= MAX_TEXT && !text.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(format!("a password has at most {MAX_TEXT} bytes and no control characters")),
    }
}

/// A name that is part of paths and log lines.
pub(super) fn id(text: &str) -> Checked {
    let fits = (1..=MAX_NAME).contains(&text.len());
    match fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        true => Ok(()),
        false => Err(format!("{text:?} is not 1 to {MAX_NAME} letters, digits, '-', '_' and '.'")),
    }
}

/// A name for people.
pub(super) fn name(text: &str) -> Checked {
    match text.len() <= MAX_NAME && !text.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(format!("at most {MAX_NAME} bytes, and no control characters")),
    }
}

/// A path.
pub(super) fn path(text: &str) -> Checked {
    match (1..=MAX_TEXT).contains(&text.len()) && !text.contains('\0') {
        true => Ok(()),
        false => Err(format!("a path has 1 to {MAX_TEXT} bytes")),
    }
}

/// A log level in the words of the file, as `tracing` calls it.
pub(super) fn level(text: &str) -> Result<&'static str, String> {
    match text.to_ascii_uppercase().as_str() {
        "DEBUG" => Ok("debug"),
        "INFO" => Ok("info"),
        "WARNING" | "WARN" => Ok("warn"),
        "ERROR" | "CRITICAL" => Ok("error"),
        _ => Err(format!("{text:?} is not valid; write DEBUG, INFO, WARNING or ERROR")),
    }
}
