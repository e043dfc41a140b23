//! The address of a Redis: one server, sentinels that know it, or a cluster.

use std::fmt;

use percent_encoding::percent_decode_str;

const FORMS: &str = "memory:, off, redis://HOST:PORT, rediss://HOST:PORT, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE \
                     or redis+cluster://HOST:PORT,HOST:PORT";
/// The highest number of a database.
const MAX_DATABASE: i64 = 1_000_000;

/// A password, which nothing shows.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Password(pub(super) String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a URL says. Shown, it is that URL without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RedisServer {
    pub(super) kind: Kind,
    /// Host and port of each, at least one.
    pub(super) hosts: Vec<(String, u16)>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Password>,
    pub(super) database: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Single {
        tls: bool,
    },
    /// The hosts are sentinels, which know the master under this name.
    Sentinel {
        service: String,
    },
    Cluster,
}

impl RedisServer {
    /// Reads a URL. User and password may be percent-encoded, and must be where they have `%`.
    ///
    /// # Errors
    /// What to write instead, without any part of what was written that could be a password.
    pub(super) fn parse(url: &str) -> Result<RedisServer, String> {
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| format!("unknown kind of cache: write {FORMS}"))?;
        // Neither hosts nor names have @, but passwords may.
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (Some(credentials), rest),
            None => (None, rest),
        };
        if rest.contains(['?', '#']) {
            return Err("options after ? or # are not taken; the other keys have what can be set".to_owned());
        }
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (kind, database, port) = match scheme {
            "redis" | "rediss" => (Kind::Single { tls: scheme == "rediss" }, path, 6379),
            "redis+sentinel" => {
                let (service, database) = path.split_once('/').unwrap_or((path, ""));
                if service.is_empty() {
                    return Err("the name of the service is missing: write \
                                redis+sentinel://HOST:PORT,HOST:PORT/SERVICE"
                        .to_owned());
                }
                (Kind::Sentinel { service: service.to_owned() }, database, 26379)
            }
            "redis+cluster" if path.is_empty() => (Kind::Cluster, "", 6379),
            "redis+cluster" => {
                return Err("a cluster has database 0 only: write no / after the hosts".to_owned());
            }
            _ => return Err(format!("unknown kind of cache: write {FORMS}")),
        };
        let hosts = hosts.split(',').map(|host| parse_host(host, port)).collect::<Result<Vec<_>, _>>()?;
        if matches!(kind, Kind::Single { .. }) && hosts.len() > 1 {
            return Err(
                "several hosts are sentinels or a cluster: write redis+sentinel:// or redis+cluster://"
                    .to_owned(),
            );
        }
        let (user, password) = parse_credentials(credentials)?;
        Ok(RedisServer { kind, hosts, user, password, database: parse_database(database)? })
    }

    /// `text` without the password, should a server have repeated it.
    pub(super) fn conceal(&self, text: &str) -> String {
        match &self.password {
            Some(Password(secret)) if !secret.is_empty() => text.replace(secret.as_str(), "***"),
            _ => text.to_owned(),
        }
    }
}

impl fmt::Display for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Single { tls: false } => "redis://",
            Kind::Single { tls: true } => "rediss://",
            Kind::Sentinel { .. } => "redis+sentinel://",
            Kind::Cluster => "redis+cluster://",
        })?;
        if self.user.is_some() || self.password.is_some() {
            let secret = if self.password.is_some() { ":***" } else { "" };
            write!(f, "{}{secret}@", self.user.as_deref().unwrap_or_default())?;
        }
        for (index, (host, port)) in self.hosts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match host.contains(':') {
                true => write!(f, "{comma}[{host}]:{port}")?,
                false => write!(f, "{comma}{host}:{port}")?,
            }
        }
        if let Kind::Sentinel { service } = &self.kind {
            write!(f, "/{service}")?;
        }
        if self.database != 0 { write!(f, "/{}", self.database) } else { Ok(()) }
    }
}

/// `host`, `host:port` or `[IPv6]:port`.
fn parse_host(text: &str, default_port: u16) -> Result<(String, u16), String> {
    // Not shown: with an @ forgotten it is a password.
    let wrong = || "what follows :// or @ is no HOST:PORT".to_owned();
    let (host, port) = match text.strip_prefix('[').map(|text| text.split_once(']')) {
        Some(Some((host, port))) => (host, port),
        Some(None) => return Err(wrong()),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?,
        None if port.is_empty() => default_port,
        None => return Err(wrong()),
    };
    let is_odd = |c: char| c.is_whitespace() || c.is_control();
    if host.is_empty() || host.contains(is_odd) { Err(wrong()) } else { Ok((host.to_owned(), port)) }
}

/// `user:password`, either of which may be empty.
fn parse_credentials(text: Option<&str>) -> Result<(Option<String>, Option<Password>), String> {
    let Some(text) = text else { return Ok((None, None)) };
    let decode = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        text.map(|text| Some(text.into_owned()).filter(|text| !text.is_empty()))
            .map_err(|_| "user and password must be UTF-8".to_owned())
    };
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, decode(password)?.map(Password)),
        // The password may be elsewhere.
        None => (text, None),
    };
    Ok((decode(user)?, password))
}

fn parse_database(text: &str) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let number = text.parse().ok().filter(|number| (0..=MAX_DATABASE).contains(number));
    number.ok_or_else(|| format!("what follows the last / is no number of a database, 0 to {MAX_DATABASE}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_are_read_and_shown_without_their_password() {
        for (url, shown) in [
            ("redis://cache", "redis://cache:6379"),
            ("redis://127.0.0.1:6380/3", "redis://127.0.0.1:6380/3"),
            ("rediss://tnv:hunter2@cache:6379", "rediss://tnv:***@cache:6379"),
            ("redis://:hunter2@[::1]:7000/0", "redis://:***@[::1]:7000"),
            ("redis://tnv@cache", "redis://tnv@cache:6379"),
            ("redis+sentinel://:hunter2@a:1,b/films/2", "redis+sentinel://:***@a:1,b:26379/films/2"),
            ("redis+cluster://u:hunter2@a,b:2,[::1]", "redis+cluster://u:***@a:6379,b:2,[::1]:6379"),
        ] {
            let server = RedisServer::parse(url).unwrap();
            assert_eq!(server.to_string(), shown);
            assert!(!format!("{server:?}").contains("hunter2"));
            assert_eq!(RedisServer::parse(shown).unwrap().hosts, server.hosts);
        }
        let server = RedisServer::parse("redis://a%3Ab:p@ss/w%25rd:1@h").unwrap();
        assert_eq!(server.user.as_deref(), Some("a:b"));
        assert_eq!(server.password, Some(Password("p@ss/w%rd:1".to_owned())));
        assert_eq!(server.conceal("unknown command, args p@ss/w%rd:1"), "unknown command, args ***");
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for (url, said) in [
            ("redis", "redis+cluster://"),
            ("memcached://hunter2@a", "redis+sentinel://"),
            ("redis+sentinel://:hunter2@a:1,b:2", "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE"),
            ("redis+sentinel://a:1/", "the service"),
            ("redis+cluster://a:1/1", "database 0"),
            ("redis://a:1,b:2", "redis+cluster://"),
            ("redis://:hunter2@a/x", "number of a database"),
            ("redis://a/-1", "number of a database"),
            ("redis://:hunter2@a:b", "HOST:PORT"),
            ("redis://:hunter2@", "HOST:PORT"),
            ("redis://a:0", "HOST:PORT"),
            ("redis://[::1", "HOST:PORT"),
            ("redis://a b", "HOST:PORT"),
            ("redis://a?db=1", "options"),
            ("redis://:%ff@a", "UTF-8"),
        ] {
            let message = RedisServer::parse(url).unwrap_err();
            assert!(message.contains(said) && !message.contains("hunter2"), "{url}: {message}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_no_password_is_shown(text in ".*", password in "[a-z0-9/@:%]{8}") {
            let _ = RedisServer::parse(&text);
            for url in [format!("redis://:{password}@host"), format!("redis://:{password}")] {
                let shown = match RedisServer::parse(&url) {
                    Ok(server) => format!("{server} {server:?}"),
                    Err(message) => message,
                };
                prop_assert!(!url.contains('@') || !shown.contains(&password), "{}", shown);
            }
        }
    }
}
