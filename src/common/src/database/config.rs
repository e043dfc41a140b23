//! The `database.*` keys.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use mysql_async::{ClientIdentity, Opts, OptsBuilder, SslOpts};

use crate::config::Settings;

/// Writes that share one transaction, at most, where nothing else is said.
const MAX_BATCH: usize = 256;

/// Which database, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseConfig {
    /// One SQLite file, which all servers of one machine may share.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Writes that share one transaction at most: 1 to 1024.
        max_batch: usize,
    },
    /// MySQL, MariaDB, Galera or TiDB.
    MySql(MySqlConfig),
}

/// Servers that hold the same rows, and how they are spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MySqlConfig {
    /// The first that answers is used until it no longer does.
    pub servers: Vec<MySqlServer>,
    /// Whether missing tables and columns are made at the start.
    pub migrate: bool,
    /// Connections to one server at most.
    pub connections: usize,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long a statement or a transaction may take. After that the server counts as gone.
    pub timeout: Duration,
    /// Writes that share one transaction at most: 1 to 1024.
    pub max_batch: usize,
    /// Whether the connection is encrypted.
    pub tls: Tls,
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Never.
    Off,
    /// Where the server can. Its certificate is looked at only if `database.tls_ca` is set.
    On,
    /// Always, with the server's certificate checked.
    Required,
}

/// One server.
#[derive(Clone, PartialEq, Eq)]
pub struct MySqlServer {
    opts: Opts,
}

impl MySqlServer {
    /// `host:port`.
    pub fn address(&self) -> String {
        match self.opts.ip_or_hostname() {
            host if host.contains(':') => format!("[{host}]:{}", self.opts.tcp_port()),
            host => format!("{host}:{}", self.opts.tcp_port()),
        }
    }

    /// How to connect, the password included.
    pub(crate) fn opts(&self) -> &Opts {
        &self.opts
    }
}

impl fmt::Debug for MySqlServer {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address())
    }
}

impl DatabaseConfig {
    /// An SQLite file with everything else at its default.
    pub fn sqlite(path: impl Into<PathBuf>) -> DatabaseConfig {
        DatabaseConfig::Sqlite { path: path.into(), max_batch: MAX_BATCH }
    }

    /// Reads the keys; a relative path counts from the config file's folder.
    pub fn read(settings: &mut Settings) -> DatabaseConfig {
        let url = settings.text("database.url", "sqlite:data/tnv.db");
        let urls: Vec<String> = settings.list("database.urls", Vec::new());
        let keys = Keys::read(settings);
        if urls.is_empty()
            && let Some(path) = url.strip_prefix("sqlite:")
        {
            if path.is_empty() {
                settings.problem("database.url", "the file is missing: write sqlite:PATH");
            }
            let path = settings.folder_of("database.url").join(path);
            return DatabaseConfig::Sqlite { path, max_batch: keys.max_batch };
        }
        let (key, urls) = if urls.is_empty() { ("database.url", vec![url]) } else { ("database.urls", urls) };
        let mut servers = Vec::new();
        for url in &urls {
            match keys.server(url) {
                Ok(server) => servers.push(server),
                Err(problem) => settings.problem(key, problem),
            }
        }
        DatabaseConfig::MySql(MySqlConfig {
            servers,
            migrate: keys.migrate,
            connections: keys.connections,
            connect_timeout: keys.connect_timeout,
            timeout: keys.timeout,
            max_batch: keys.max_batch,
            tls: keys.tls,
        })
    }

    /// Where it is, for people; without any password.
    pub fn describe(&self) -> String {
        match self {
            DatabaseConfig::Sqlite { path, .. } => path.display().to_string(),
            DatabaseConfig::MySql(config) => {
                let addresses: Vec<_> = config.servers.iter().map(MySqlServer::address).collect();
                addresses.join(", ")
            }
        }
    }
}

/// The keys beside the address.
struct Keys {
    password: String,
    tls: Tls,
    tls_opts: SslOpts,
    migrate: bool,
    connections: usize,
    connect_timeout: Duration,
    timeout: Duration,
    max_batch: usize,
}

impl Keys {
    fn read(settings: &mut Settings) -> Keys {
        const TIMES: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(600);
        let tls = settings.choice(
            "database.tls",
            Tls::Off,
            &[("off", Tls::Off), ("on", Tls::On), ("required", Tls::Required)],
        );
        Keys {
            password: read_password(settings),
            tls,
            tls_opts: read_tls_opts(settings, tls),
            migrate: settings.flag("database.migrate", true),
            connections: settings.number("database.connections", 16, 2..=10_000),
            connect_timeout: settings.duration("database.connect_timeout", Duration::from_secs(1), TIMES),
            timeout: settings.duration("database.timeout", Duration::from_secs(5), TIMES),
            max_batch: settings.number("database.max_batch", MAX_BATCH, 1..=1024),
        }
    }

    fn server(&self, url: &str) -> Result<MySqlServer, String> {
        const FORM: &str = "mysql://HOST:PORT/, with USER@ in front of the host";
        if url.starts_with("sqlite:") {
            return Err(format!("an SQLite file stands alone, in database.url; a list is of {FORM}"));
        }
        if !url.starts_with("mysql://") {
            return Err(format!("unknown kind of database: write sqlite:PATH or {FORM}"));
        }
        let opts = Opts::from_url(url).map_err(|error| format!("{error}; write {FORM}"))?;
        let mut builder = OptsBuilder::from_opts(opts.clone()).prefer_socket(false).tcp_nodelay(true);
        builder = builder.ip_or_hostname(opts.ip_or_hostname().trim_matches(['[', ']']));
        if opts.pass().is_none_or(str::is_empty) && !self.password.is_empty() {
            builder = builder.pass(Some(self.password.clone()));
        }
        // Rows that match count, changed or not; so a repeated statement tells the same.
        builder = builder.client_found_rows(true).stmt_cache_size(128);
        if self.tls != Tls::Off {
            builder = builder.ssl_opts(self.tls_opts.clone());
        }
        Ok(MySqlServer { opts: builder.into() })
    }
}

fn read_tls_opts(settings: &mut Settings, tls: Tls) -> SslOpts {
    let mut file = |key: &str| settings.optional_path(key).map(|path| path.resolved);
    let (ca, cert, key) = (file("database.tls_ca"), file("database.tls_cert"), file("database.tls_key"));
    let mut opts = SslOpts::default();
    match (cert, key) {
        (Some(cert), Some(key)) => {
            opts = opts.with_client_identity(Some(ClientIdentity::new(cert.into(), key.into())));
        }
        (None, None) => {}
        _ => settings.problem("database.tls_cert", "tls_cert and tls_key go together"),
    }
    match ca {
        Some(ca) => opts = opts.with_root_certs(vec![ca.into()]).with_disable_built_in_roots(true),
        None if tls == Tls::On => {
            opts = opts.with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true);
        }
        None => {}
    }
    opts
}

/// From the key itself, which is meant for the environment, or from a file.
fn read_password(settings: &mut Settings) -> String {
    const FILE: &str = "database.password_file";
    let password = settings.text("database.password", "");
    let Some(file) = settings.optional_path(FILE) else { return password };
    match std::fs::read_to_string(&file.resolved) {
        Ok(text) => text.trim_end_matches(['\r', '\n']).to_owned(),
        Err(error) => {
            settings.problem(FILE, format!("cannot read {}: {error}", file.resolved.display()));
            password
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<DatabaseConfig, String> {
        let mut settings = Settings::built_in("storage");
        for (key, value) in pairs {
            settings.set(key, value, &format!("--set {key}"));
        }
        let config = DatabaseConfig::read(&mut settings);
        settings.finish().map(|()| config).map_err(|problems| problems.to_string())
    }

    fn mysql(pairs: &[(&str, &str)]) -> MySqlConfig {
        match read(pairs).unwrap() {
            DatabaseConfig::MySql(config) => config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn several_servers_share_a_password_from_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "p@ss:word/\n").unwrap();
        let urls = r#"["mysql://tnv@db1/", "mysql://tnv:own@[::1]:3307/media"]"#;
        let config = mysql(&[("database.urls", urls), ("database.password_file", file.to_str().unwrap())]);
        let addresses: Vec<_> = config.servers.iter().map(MySqlServer::address).collect();
        assert_eq!(addresses, ["db1:3306", "[::1]:3307"]);
        let passwords: Vec<_> = config.servers.iter().map(|server| server.opts.pass().unwrap()).collect();
        assert_eq!(passwords, ["p@ss:word/", "own"]);
        assert_eq!(config.servers[1].opts.db_name(), Some("media"));
    }

    #[test]
    fn no_password_is_shown() {
        let config = read(&[("database.url", "mysql://tnv:hunter2@db1/")]).unwrap();
        assert!(!format!("{config:?} {}", config.describe()).contains("hunter2"));
        for url in
            ["mysql://tnv:hunter2@db1:port/", "mysql://tnv:hunter2@db1/?no_such=1", "pg://tnv:hunter2@db1/"]
        {
            let problem = read(&[("database.url", url)]).unwrap_err();
            assert!(problem.contains("mysql://HOST:PORT/") && !problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (pairs, said) in [
            (vec![("database.url", "sqlite:")], "the file is missing"),
            (vec![("database.urls", r#"["sqlite:a.db", "mysql://a@b/"]"#)], "stands alone"),
            (vec![("database.url", "mysql://a@b/"), ("database.tls", "maybe")], "off, on or required"),
            (vec![("database.url", "mysql://a@b/"), ("database.tls_cert", "/a")], "go together"),
            (vec![("database.url", "mysql://a@b/"), ("database.password_file", "/no/such")], "cannot read"),
        ] {
            let problem = read(&pairs).unwrap_err();
            assert!(problem.contains(said), "{problem}");
        }
    }

    #[test]
    fn certificates_are_checked_where_that_was_asked_for() {
        let opts = |pairs: &[(&str, &str)]| {
            let url = [("database.url", "mysql://a@b/")];
            mysql(&[&url, pairs].concat()).servers[0].opts.ssl_opts().cloned()
        };
        assert_eq!(opts(&[]), None);
        assert!(opts(&[("database.tls", "on")]).unwrap().accept_invalid_certs());
        assert!(
            !opts(&[("database.tls", "on"), ("database.tls_ca", "/ca.pem")]).unwrap().accept_invalid_certs()
        );
        assert!(!opts(&[("database.tls", "required")]).unwrap().accept_invalid_certs());
    }
}
