use std::path::{Path, PathBuf};

use tnv_common::config::Sources;
use tnv_common::telemetry::LogConfig;

use super::*;

fn settings(overrides: &[(&str, &str)]) -> Settings {
    let overrides =
        overrides.iter().map(|(key, value)| ((*key).into(), (*value).into(), format!("--set {key}")));
    Settings::load("hub", Sources { overrides: overrides.collect(), ..Sources::default() })
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../etc/hub.toml")
}

#[test]
fn the_sample_file_says_every_default() {
    let sources = Sources { file: Some(sample()), required: true, ..Sources::default() };
    let (mut written, mut built_in) = (Settings::load("hub", sources), Settings::built_in("hub"));
    assert_eq!(LogConfig::read(&mut written), LogConfig::read(&mut built_in));
    let (mut config, default) = (Config::read(&mut written), Config::read(&mut built_in));
    // The file's paths count from its own folder, the built-in ones from the current folder.
    assert_eq!(config.database, DatabaseConfig::sqlite(sample().with_file_name("../data/tnv.db")));
    assert_eq!(config.upload_dir.resolved, sample().with_file_name("../data/uploads"));
    (config.database, config.upload_dir) = (default.database.clone(), default.upload_dir.clone());
    assert_eq!(config, default);
    assert_eq!(written.left_out_of_file(), Vec::<&str>::new());
    written.finish().unwrap();
}

#[test]
fn every_key_can_be_set() {
    let mut settings = settings(&[
        ("listen", "0.0.0.0:80"),
        ("base_url", "https://hub.example.org/"),
        ("trackers", "a:1;b:2"),
        ("app", "shop"),
        ("user_prefix", "m"),
        ("database.url", "sqlite:/tmp/x.db"),
        ("upload_dir", "/tmp/up"),
        ("api_key", "k"),
        ("allowed_nodes", "10.0.0.0/8, fd00::/8"),
        ("admin_password", "p"),
        ("cors_origins", "*"),
        ("hosts", "hub.example.org"),
        ("max_upload_size", "5GiB"),
        ("max_files", "7"),
        ("grace", "1h"),
        ("packages_size", "1MiB"),
        ("metalinks_size", "2KiB"),
        ("max_nodes", "3"),
        ("heartbeat_timeout", "45"),
        ("pull_through", "true"),
        ("affinity", "true"),
        ("return_window", "0"),
        ("weights", "node-1=2.5, node=2=3"),
        ("regions", "10.1.0.0/16=north, 0.0.0.0/0=south"),
        ("probe_interval", "1s"),
        ("probe_timeout", "500ms"),
        ("send_memory", "1MiB"),
        ("max_fallbacks", "0"),
        ("max_ranges", "1"),
        ("max_connections", "7"),
        ("max_connections_per_client", "3"),
        ("rate_limit", "1MiB"),
        ("header_timeout", "1s"),
        ("progress_timeout", "2s"),
        ("drain_timeout", "0"),
        ("connect_timeout", "3s"),
        ("reply_timeout", "4s"),
        ("locate_ttl", "5s"),
    ]);
    let config = Config::read(&mut settings);
    settings.finish().unwrap();
    assert_eq!(config.base_url, "https://hub.example.org");
    assert_eq!((config.trackers, config.app.as_str()), (vec!["a:1".to_owned(), "b:2".to_owned()], "shop"));
    assert!(config.api_key.unwrap().is("k") && config.admin_password.unwrap().is("p"));
    assert_eq!(config.allowed_nodes.len(), 2);
    assert_eq!((config.max_upload_size, config.max_files, config.packages_size), (5 << 30, 7, 1 << 20));
    assert_eq!((config.metalinks_size, config.send_memory), (2048, 1 << 20));
    let policy = config.policy;
    assert_eq!((policy.heartbeat_timeout.as_secs(), policy.return_window), (45, Duration::ZERO));
    assert!(policy.pull_through && policy.affinity);
    assert_eq!(policy.weights[&NodeId::new("node-1").unwrap()], 2.5);
    assert_eq!(policy.weights[&NodeId::new("node=2").unwrap()], 3.0);
    assert_eq!(policy.regions[1].1, "south");
}

#[test]
fn mistakes_are_found() {
    for (key, value) in [
        ("listen", "8000"),
        ("base_url", "hub.example.org"),
        ("base_url", "http://"),
        ("base_url", "http://a b"),
        ("trackers", "nowhere"),
        ("app", "no-letters"),
        ("user_prefix", &"x".repeat(200)),
        ("api_key_file", "/no/such/file"),
        ("admin_password_file", "/no/such/file"),
        ("allowed_nodes", "10.0.0.0/33"),
        ("weights", "node-1"),
        ("weights", "node-1=0"),
        ("weights", "node-1=much"),
        ("weights", "=1"),
        ("regions", "north=10.0.0.0/8"),
        ("hosts", "https://media.example.org"),
        ("cors_origins", "example.org"),
        ("heartbeat_timeout", "0"),
        ("max_files", "0"),
        ("send_memory", "64KiB"),
        ("rate_limit", "1KiB"),
    ] {
        let mut settings = settings(&[(key, value)]);
        Config::read(&mut settings);
        let problems = settings.finish().expect_err(key).to_string();
        assert!(problems.contains(key), "{key}={value}: {problems}");
    }
}

#[test]
fn no_secret_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "hunter2\n").unwrap();
    let mut settings = settings(&[
        ("api_key_file", file.to_str().unwrap()),
        ("api_key", "x"),
        ("admin_password", "hunter2"),
    ]);
    let config = Config::read(&mut settings);
    settings.finish().unwrap();
    assert!(config.api_key.as_ref().unwrap().is("hunter2"), "the file wins");
    assert!(!format!("{config:?}").contains("hunter2"));
}
