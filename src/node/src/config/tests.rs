use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::json;

use super::document::MASK;
use super::file::defaults;
use super::*;

fn table(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn mistakes(value: Value) -> Vec<String> {
    match Document::read(&table(value)) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.iter().map(Remark::to_string).collect(),
    }
}

/// A file in a folder of its own.
struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn new(contents: &str) -> Lab {
        let lab = Lab { folder: tempfile::tempdir().unwrap() };
        if !contents.is_empty() {
            fs::write(lab.path(), contents).unwrap();
        }
        lab
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("node_config.json")
    }

    fn open(&self, overrides: &[(&str, &str)]) -> Result<ConfigFile, ConfigError> {
        let variables = overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ConfigFile::read(&self.path(), Overrides::from_environment(variables))
    }

    fn stored(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path()).unwrap()).unwrap()
    }
}

#[test]
fn the_sample_says_every_key_and_its_default() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../etc/node_config.json");
    assert_eq!(fs::read_to_string(sample).unwrap(), defaults(), "etc/node_config.json is to say this");
}

#[test]
fn the_manual_names_every_key() {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
    let manual = fs::read_to_string(manual).unwrap();
    let document = Document::read(&Map::new()).unwrap();
    let missing: Vec<&String> =
        document.order.iter().filter(|key| !manual.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "docs/operations.md does not tell of {missing:?}");
}

#[test]
fn defaults_are_those_of_the_manual() {
    let config = Config::default();
    assert_eq!(config.hub, "http://192.168.110.10:80");
    assert_eq!((config.node_port, &*config.node_host), (8001, "0.0.0.0"));
    assert_eq!(config.storage.max_size, 10_737_418_240);
    assert_eq!(config.storage.high_mark(), 9_663_676_416);
    assert_eq!(config.network.download_timeout, Duration::from_secs(300));
    assert_eq!((config.logging.level.as_str(), config.logging.backup_count), ("info", 5));
    assert!(config.cleanup.enabled && !config.public.used);
}

#[test]
fn every_mistake_is_named_at_once() {
    let found = mistakes(json!({
        "mainServerIp": "http://hub:80",
        "mainServerPort": 0,
        "mainServerUrl": "ftp://hub",
        "syncInterval": "often",
        "nodeId": "a/b",
        "nodeHost": "localhost",
        "nodePort": 65536,
        "publicIp": 7,
        "publicPort": 0,
        "usePublicAddress": "yes",
        "weight": -1,
        "adminPassword": ["hunter2"],
        "hosts": "nas",
        "storage": {"path": "", "maxSize": 0, "cleanupThreshold": 1.5, "autoCleanup": 1},
        "network": 3,
        "logging": {"level": "LOUD", "maxFileSize": -1, "backupCount": 1001},
        "heartbeat": {"interval": 0, "timeout": 1.5},
    }));
    assert_eq!(
        found,
        [
            r#"mainServerIp: "http://hub:80" is neither an IP address nor a host name; write it without http:// and port"#,
            "mainServerPort: 0 is out of range; allowed is 1 to 65535",
            "mainServerUrl: not the URL of a hub; write something like https://hub.example.org:8000",
            r#"syncInterval: "often" is not valid; expected a whole number"#,
            r#"nodeId: "a/b" is not 1 to 64 letters, digits, '-', '_' and '.'"#,
            r#"nodeHost: "localhost" is not an IP address; 0.0.0.0 is every one of this machine"#,
            "nodePort: 65536 is out of range; allowed is 0 to 65535",
            "publicIp: 7 is not valid; expected a text, or null",
            "publicPort: 0 is not valid; expected a port from 1 to 65535, or null",
            r#"usePublicAddress: "yes" is not valid; expected true or false"#,
            "weight: -1 is out of range; allowed is 0.01 to 100",
            "adminPassword: expected a text, or null",
            r#"hosts: "nas" is not valid; expected a list of texts"#,
            "storage.path: a path has 1 to 1024 bytes",
            "storage.maxSize: 0 is out of range; allowed is 1 to 9007199254740992",
            "storage.cleanupThreshold: 1.5 is out of range; allowed is 0.01 to 1",
            "storage.autoCleanup: 1 is not valid; expected true or false",
            "network: 3 is not valid; expected an object",
            r#"logging.level: "LOUD" is not valid; write DEBUG, INFO, WARNING or ERROR"#,
            "logging.maxFileSize: -1 is out of range; allowed is 0 to 9007199254740992",
            "logging.backupCount: 1001 is out of range; allowed is 0 to 1000",
            "heartbeat.interval: 0 is out of range; allowed is 1 to 3600",
            "heartbeat.timeout: 1.5 is out of range; allowed is 1 to 300",
        ]
    );
}

#[test]
fn unknown_keys_stay_and_are_named() {
    let given = table(json!({"colour": {"a": 1}, "network": {"retries": 4, "retrycount": 9}, "x": null}));
    let document = Document::read(&given).unwrap();
    let warnings: Vec<String> = document.warnings.iter().map(Remark::to_string).collect();
    assert_eq!(
        warnings,
        [
            "colour: no such key; it is kept and does nothing",
            "network.retries: no such key; it is kept and does nothing",
            "network.retrycount: no such key; it is kept and does nothing; did you mean network.retryCount?",
            "x: no such key; it is kept and does nothing",
        ]
    );
    assert_eq!(document.complete["colour"], json!({"a": 1}));
    assert_eq!(document.complete["network"]["retries"], json!(4));
    assert_eq!(document.config.network.retry_count, 3);
}

#[test]
fn the_hub_is_a_url_or_an_address() {
    let hub = |value| Document::read(&table(value)).unwrap().config.hub;
    assert_eq!(hub(json!({"mainServerIp": "hub.lan", "mainServerPort": 8000})), "http://hub.lan:8000");
    assert_eq!(hub(json!({"mainServerIp": "::1", "mainServerPort": 8000})), "http://[::1]:8000");
    assert_eq!(hub(json!({"mainServerUrl": "https://hub/x/", "mainServerPort": 8000})), "https://hub/x");
    assert_eq!(hub(json!({"mainServerUrl": null, "mainServerIp": null})), "http://192.168.110.10:80");
    for bad in ["http://root:hunter2@hub", "hub:8000", "http://", "https://hub?x", "file:///x"] {
        let found = mistakes(json!({"mainServerUrl": bad}));
        assert!(found.len() == 1 && !found[0].contains("hunter2"), "{bad}: {found:?}");
    }
}

#[test]
fn a_missing_file_is_written_with_an_id_of_its_own() {
    let lab = Lab::new("");
    let file = lab.open(&[]).unwrap();
    assert_eq!(file.config().node_id, "");
    file.settle().unwrap();
    let id = file.config().node_id.clone();
    assert!(id.starts_with("node-") && id.len() == 13, "{id}");
    assert_eq!(lab.stored()["nodeId"], json!(id));
    let again = lab.open(&[]).unwrap();
    again.settle().unwrap();
    assert_eq!(again.config().node_id, id);
}

#[test]
fn a_file_that_is_no_json_is_left_alone() {
    for broken in ["{\"nodePort\": 80", "[]", "7", "{'a': 1}"] {
        let lab = Lab::new(broken);
        let error = lab.open(&[]).unwrap_err();
        assert!(matches!(error, ConfigError::Json { .. }), "{error}");
        assert_eq!(fs::read_to_string(lab.path()).unwrap(), broken);
    }
    let lab = Lab::new(r#"{"nodePort": "x", "syncInterval": 0}"#);
    let error = lab.open(&[("API_KEY", "a b")]).unwrap_err().to_string();
    let name = lab.path().display().to_string();
    assert_eq!(
        error,
        format!(
            "environment API_KEY: a key has printable ASCII characters only, and no spaces\n\
             {name}: syncInterval: 0 is out of range; allowed is 1 to 86400\n\
             {name}: nodePort: \"x\" is not valid; expected a whole number"
        )
    );
}

#[test]
fn the_environment_counts_more_and_is_not_written_down() {
    let lab = Lab::new(r#"{"nodePort": 9000, "syncInterval": 20, "nodeId": "a"}"#);
    let file = lab
        .open(&[
            ("NODE_ID", "007"),
            ("NODE_IP", "192.168.1.10"),
            ("NODE_PORT", "8123"),
            ("MAIN_SERVER_URL", "http://main-server:8000"),
            ("API_KEY", "12345"),
            ("STORAGE_PATH", "/srv/x"),
            ("SYNC_INTERVAL", "30"),
            ("PATH", "/bin"),
        ])
        .unwrap();
    let config = file.config();
    assert_eq!((config.node_id.as_str(), config.node_port), ("007", 8123));
    assert_eq!(
        (config.hub.as_str(), config.api_key.as_ref().map(Secret::reveal)),
        ("http://main-server:8000", Some("12345"))
    );
    assert_eq!((config.storage.path.as_str(), config.sync_interval), ("/srv/x", Duration::from_secs(30)));
    assert!(config.public.used && config.public.ip.as_deref() == Some("192.168.1.10"));

    // The page sends back all that it was shown, with one change.
    let mut shown: Map<String, Value> = serde_json::from_str(&file.shown()).unwrap();
    assert_eq!((&shown["apiKey"], &shown["nodePort"]), (&json!(MASK), &json!(8123)));
    assert!(file.overridden().contains(&"storage.path"));
    shown.insert("region".to_owned(), json!("north"));
    let applied = file.change(shown).unwrap();
    assert_eq!((applied.before.region.as_deref(), applied.now.region.as_deref()), (None, Some("north")));
    let stored = lab.stored();
    assert_eq!(
        (&stored["nodePort"], &stored["apiKey"], &stored["region"]),
        (&json!(9000), &json!(null), &json!("north"))
    );
    assert_eq!((&stored["syncInterval"], &stored["nodeId"]), (&json!(20), &json!("a")));
    let applied = file.change(table(json!({"nodePort": 9001}))).unwrap();
    assert_eq!(applied.now.node_port, 8123);
    assert!(
        applied.warnings.contains(&"nodePort: environment NODE_PORT counts more than the file".to_owned()),
        "{:?}",
        applied.warnings
    );
    // Also where the file says nothing.
    for key in file.overridden() {
        assert!(applied.warnings.iter().any(|warning| warning.starts_with(&format!("{key}: "))), "{key}");
    }
}

#[test]
fn changes_are_merged_checked_and_durable() {
    let lab = Lab::new(r#"{"storage": {"path": "./a"}, "extra": 1, "apiKey": "k1", "nodeId": "n"}"#);
    let file = lab.open(&[]).unwrap();
    let applied = file.change(table(json!({"storage": {"maxSize": 5000}, "apiKey": MASK}))).unwrap();
    assert_eq!(applied.now.storage.max_size, 5000);
    assert_eq!(applied.now.storage.path, "./a");
    assert_eq!(applied.now.api_key.as_ref().map(Secret::reveal), Some("k1"));
    assert_eq!(applied.warnings, ["extra: no such key; it is kept and does nothing"]);
    assert_eq!((&lab.stored()["extra"], &lab.stored()["apiKey"]), (&json!(1), &json!("k1")));

    let before = lab.stored();
    let error = file
        .change(table(json!({"syncInterval": 0, "heartbeat": {"interval": "x"}, "weight": 2})))
        .unwrap_err();
    let ChangeError::Mistakes(mistakes) = &error else { panic!("{error}") };
    assert_eq!(mistakes.len(), 2);
    assert!(error.to_string().contains("syncInterval") && error.to_string().contains("heartbeat.interval"));
    assert_eq!((lab.stored(), file.config().weight), (before, 1.0));

    fs::remove_file(lab.path()).unwrap();
    fs::create_dir(lab.path()).unwrap();
    assert!(matches!(file.change(table(json!({"weight": 2}))).unwrap_err(), ChangeError::Write { .. }));
    assert_eq!(file.config().weight, 1.0);
}

#[test]
fn a_password_is_kept_as_its_hash() {
    let lab = Lab::new(r#"{"adminPassword": "hunter2", "nodeId": "n"}"#);
    let file = lab.open(&[]).unwrap();
    file.settle().unwrap();
    assert!(!fs::read_to_string(lab.path()).unwrap().contains("hunter2"));
    let kept = file.config().admin_password.clone().unwrap();
    assert!(crate::password::matches(kept.reveal(), "hunter2"));
    let shown: Value = serde_json::from_str(&file.shown()).unwrap();
    assert_eq!(shown["adminPassword"], json!(MASK));
    let applied = file.change(table(json!({"adminPassword": "other"}))).unwrap();
    assert!(crate::password::matches(applied.now.admin_password.as_ref().unwrap().reveal(), "other"));
    let applied = file.change(table(json!({"adminPassword": ""}))).unwrap();
    assert_eq!(applied.now.admin_password, None);
}

proptest! {
    #[test]
    fn no_document_panics_and_what_is_read_reads_the_same(text in "\\PC{0,200}", number in any::<f64>(), key in 0usize..40) {
        let document = Document::read(&Map::new()).unwrap();
        let mut given = Map::new();
        let key = &document.order[key % document.order.len()];
        document::set(&mut given, key, json!(text));
        let _ = Document::read(&given);
        document::set(&mut given, key, json!(number));
        if let Ok(document) = Document::read(&given) {
            let again = Document::read(&document.complete).unwrap();
            prop_assert_eq!(again.config, document.config);
            prop_assert!(again.complete == document.complete);
        }
    }
}
