//! What counts more than the file: environment variables and options.

use serde_json::{Map, Value};

use super::document;

/// Environment variables and the keys that they stand for.
const VARIABLES: [(&str, &str); 7] = [
    ("NODE_ID", "nodeId"),
    ("NODE_IP", "publicIp"),
    ("NODE_PORT", "nodePort"),
    ("MAIN_SERVER_URL", "mainServerUrl"),
    ("API_KEY", "apiKey"),
    ("STORAGE_PATH", "storage.path"),
    ("SYNC_INTERVAL", "syncInterval"),
];

/// Values that are not in the file and count more than what is.
#[derive(Clone, Default)]
pub struct Overrides {
    values: Vec<Override>,
}

#[derive(Clone)]
struct Override {
    key: String,
    value: Value,
    /// What a message begins with.
    origin: String,
}

impl Overrides {
    /// Those of the environment; variables that are empty or of others are passed over.
    pub fn from_environment(variables: impl Iterator<Item = (String, String)>) -> Overrides {
        let mut overrides = Overrides::default();
        for (name, text) in variables.filter(|(_, text)| !text.is_empty()) {
            let Some((_, key)) = VARIABLES.iter().find(|(known, _)| *known == name) else { continue };
            let origin = format!("environment {name}");
            if name == "NODE_IP" {
                overrides.push("usePublicAddress", Value::Bool(true), &origin);
            }
            overrides.set(key, &text, &origin);
        }
        overrides
    }

    /// Sets a key. `text` is taken as a number where the key has one; `origin` is what messages call it, such as
    /// `--port`.
    pub fn set(&mut self, key: &str, text: &str, origin: &str) {
        let value = match key {
            "nodeId" | "publicIp" | "mainServerUrl" | "apiKey" | "adminPassword" | "nodeHost" => text.into(),
            // It is not written in the file, so it does not count from the file's folder.
            "storage.path" => std::path::absolute(text)
                .map_or_else(|_| text.to_owned(), |path| path.to_string_lossy().into_owned())
                .into(),
            _ => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        };
        self.push(key, value, origin);
    }

    fn push(&mut self, key: &str, value: Value, origin: &str) {
        self.values.retain(|given| given.key != key);
        self.values.push(Override { key: key.to_owned(), value, origin: origin.to_owned() });
    }

    /// Lays them over a document.
    pub(super) fn lay_over(&self, table: &mut Map<String, Value>) {
        for given in &self.values {
            document::set(table, &given.key, given.value.clone());
        }
    }

    /// Where the value of a key comes from, if from here.
    pub(super) fn origin(&self, key: &str) -> Option<&str> {
        self.values.iter().find(|given| given.key == key).map(|given| given.origin.as_str())
    }

    /// The keys that are set here.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|given| given.key.as_str())
    }
}
