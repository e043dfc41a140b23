//! The environment variables of the older hub. Each stands behind the variable and the option that tnv has for the
//! same, and before the configuration file.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tnv_common::config::Settings;

/// How the text of a variable becomes that of a key.
type Rewrite = fn(&str) -> String;

/// Key, variable, and how its text has to be read.
const VARIABLES: [(&str, &str, Rewrite); 5] = [
    ("database.url", "DATABASE_URL", database_url),
    ("heartbeat_timeout", "NODE_HEARTBEAT_TIMEOUT", str::to_owned),
    ("api_key", "API_KEY", str::to_owned),
    ("upload_dir", "UPLOAD_DIR", str::to_owned),
    ("base_url", "BASE_URL", str::to_owned),
];

/// Takes what they say.
pub(super) fn apply(settings: &mut Settings) {
    for (key, variable, read) in VARIABLES {
        if let Some(text) = settings.older_variable(key, variable) {
            settings.set(key, &read(&text), variable);
        }
    }
}

/// Where to listen: HOST and PORT change one half each.
pub(super) fn listen(settings: &mut Settings, default: SocketAddr) -> SocketAddr {
    let (host, port) = (settings.older_variable("listen", "HOST"), settings.older_variable("listen", "PORT"));
    let mut listen = settings.parse("listen", default);
    if let Some(host) = host {
        match host.parse() {
            Ok(address) => listen.set_ip(address),
            Err(_) if host == "localhost" => listen.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Err(_) => settings.problem(
                "listen",
                format!("HOST={host:?} in the environment is no IP address; set TNV_HUB_LISTEN, which wins over it"),
            ),
        }
    }
    if let Some(port) = port {
        match port.parse() {
            Ok(port) => listen.set_port(port),
            Err(_) => settings.problem("listen", format!("PORT={port:?} in the environment is no port")),
        }
    }
    listen
}

/// `sqlite:///./meetings.db` is a path from the current folder, `sqlite:////var/meetings.db` one from the root;
/// `mysql+pymysql://` names a driver besides.
fn database_url(url: &str) -> String {
    let without_driver = |kind: &str| {
        let rest = url.strip_prefix(kind)?;
        rest.split_once("://").filter(|(driver, _)| driver.is_empty() || driver.starts_with('+'))
    };
    if let Some((_, path)) = without_driver("sqlite") {
        return format!("sqlite:{}", path.strip_prefix('/').unwrap_or(path));
    }
    match without_driver("mysql").or_else(|| without_driver("mariadb")) {
        Some((_, rest)) => format!("mysql://{rest}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tnv_common::config::Sources;
    use tnv_common::database::DatabaseConfig;

    use crate::config::Config;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
        let environment = variables.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        let mut settings = Settings::load("hub", Sources { environment, ..Sources::default() });
        let config = Config::read(&mut settings);
        settings.finish().map(|()| config).map_err(|problems| problems.to_string())
    }

    #[test]
    fn the_older_variables_count() {
        let config = read(&[
            ("PORT", "8123"),
            ("HOST", "0.0.0.0"),
            ("DATABASE_URL", "sqlite:////tmp/meetings.db"),
            ("NODE_HEARTBEAT_TIMEOUT", "90"),
            ("API_KEY", "12345678"),
            ("UPLOAD_DIR", "/tmp/uploads"),
            ("BASE_URL", "http://example.com/"),
        ])
        .unwrap();
        assert_eq!(config.listen, "0.0.0.0:8123".parse().unwrap());
        assert_eq!(config.database, DatabaseConfig::sqlite("/tmp/meetings.db"));
        assert_eq!(config.policy.heartbeat_timeout.as_secs(), 90);
        assert!(config.api_key.unwrap().is("12345678"));
        assert_eq!(config.upload_dir.resolved, Path::new("/tmp/uploads"));
        assert_eq!(config.base_url, "http://example.com");
    }

    #[test]
    fn ours_win() {
        let config = read(&[
            ("HOST", "somewhere"),
            ("PORT", "80"),
            ("TNV_HUB_LISTEN", "127.0.0.1:9"),
            ("API_KEY", "a"),
            ("TNV_HUB_API_KEY", "b"),
            ("BASE_URL", ""),
        ])
        .unwrap();
        assert_eq!(config.listen, "127.0.0.1:9".parse().unwrap());
        assert!(config.api_key.unwrap().is("b"));
        assert_eq!(read(&[("PORT", "80")]).unwrap().listen, "127.0.0.1:80".parse().unwrap());
        assert_eq!(read(&[("HOST", "localhost")]).unwrap().listen, "127.0.0.1:8000".parse().unwrap());
    }

    #[test]
    fn mistakes_are_told_with_the_name_of_the_variable() {
        for (name, text) in [
            ("HOST", "somewhere"),
            ("PORT", "80000"),
            ("NODE_HEARTBEAT_TIMEOUT", "soon"),
            ("DATABASE_URL", "postgresql://localhost/db"),
            ("BASE_URL", "example.com"),
        ] {
            let problem = read(&[(name, text)]).unwrap_err();
            assert!(problem.contains(name), "{problem}");
        }
    }

    #[test]
    fn urls_of_databases_are_translated() {
        for (theirs, ours) in [
            ("sqlite:///./meetings.db", "sqlite:./meetings.db"),
            ("sqlite:////var/meetings.db", "sqlite:/var/meetings.db"),
            ("sqlite+aiosqlite:///meetings.db", "sqlite:meetings.db"),
            ("mysql+pymysql://a:b@db/x", "mysql://a:b@db/x"),
            ("mysql://a:b@db:3307/x", "mysql://a:b@db:3307/x"),
            ("mariadb://db/", "mysql://db/"),
            ("sqlite:data/tnv.db", "sqlite:data/tnv.db"),
            ("oracle://x", "oracle://x"),
        ] {
            assert_eq!(database_url(theirs), ours);
        }
    }
}
