//! The file: read once, changed through [`ConfigFile::change`], written so that it is whole at every moment.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde_json::{Map, Value};

use super::document::{self, MASK};
use super::{Config, Document, Overrides, Remark, SECRETS, show};
use crate::{durable, password};

/// No configuration comes near this; whatever does was not meant as one.
const MAX_LEN: u64 = 1024 * 1024;

/// Why there is no configuration to start with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not JSON.
    #[error("{}:{}:{}: not a JSON object: {source}; correct it, or remove the file to begin with defaults",
        path.display(), source.line(), source.column())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Its values have mistakes.
    #[error("{}", list(.0))]
    Mistakes(Vec<String>),
}

fn list(mistakes: &[String]) -> String {
    mistakes.join("\n")
}

/// Why a change is not made. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// Each of them.
    #[error("{}", .0.iter().map(Remark::to_string).collect::<Vec<_>>().join("; "))]
    Mistakes(Vec<Remark>),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// A change that was made.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) before: Arc<Config>,
    pub(crate) now: Arc<Config>,
    pub(crate) warnings: Vec<String>,
}

/// The configuration of a running node and the file that it is kept in.
pub struct ConfigFile {
    path: PathBuf,
    overrides: Overrides,
    /// What the file says. Locked while it is written.
    stored: Mutex<Map<String, Value>>,
    in_force: RwLock<Arc<Config>>,
    warnings: Vec<String>,
}

impl fmt::Debug for ConfigFile {
    /// Its contents have secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ConfigFile {
    /// Reads the file; one that is missing has the defaults. Nothing is written yet.
    ///
    /// # Errors
    /// [`ConfigError`]: a file that cannot be read or is not JSON, or every mistake in it at once.
    pub fn read(path: &Path, overrides: Overrides) -> Result<ConfigFile, ConfigError> {
        let stored = read_table(path)?;
        let mut given = stored.clone();
        overrides.lay_over(&mut given);
        let document = Document::read(&given).map_err(|mistakes| {
            ConfigError::Mistakes(mistakes.iter().map(|remark| place(remark, path, &overrides)).collect())
        })?;
        let warnings = document.warnings.iter().map(|remark| place(remark, path, &overrides)).collect();
        Ok(ConfigFile {
            path: path.to_owned(),
            overrides,
            stored: Mutex::new(stored),
            in_force: RwLock::new(Arc::new(document.config)),
            warnings,
        })
    }

    /// Makes up a node id where there is none, hides a password that is written as it is, and writes all of that down.
    /// A file that cannot be written costs the id its permanence, and no more.
    ///
    /// # Errors
    /// The file cannot be written; everything else is done.
    pub(crate) fn settle(&self) -> Result<(), ChangeError> {
        let mut changes = Map::new();
        if self.config().node_id.is_empty() {
            let id = format!("node-{:08x}", rand::random::<u32>());
            changes.insert("nodeId".to_owned(), Value::from(id));
        }
        let mut stored = self.lock();
        let plain = stored.get("adminPassword").and_then(Value::as_str).filter(|text| !text.is_empty());
        let open = plain.is_some_and(|text| password::hash(text) != text);
        if changes.is_empty() && !open && self.path.exists() {
            return Ok(());
        }
        let (document, table) = self.merged(&stored, changes).map_err(ChangeError::Mistakes)?;
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(document.config);
        *stored = table;
        self.write(&stored)
    }

    /// What counts now.
    pub fn config(&self) -> Arc<Config> {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was odd about the file when it was read.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that relative paths in the file count from.
    pub(crate) fn folder(&self) -> PathBuf {
        let folder = self.path.parent().map(Path::to_owned).unwrap_or_default();
        // Only an unreadable current directory makes this fail; the relative folder then means the same.
        std::env::current_dir().map_or(folder.clone(), |current| current.join(&folder))
    }

    /// Every key with its value in force as JSON, in the order of the file, secrets hidden.
    pub(crate) fn shown(&self) -> String {
        let mut given = self.lock().clone();
        self.overrides.lay_over(&mut given);
        let Ok(Document { mut complete, order, .. }) = Document::read(&given) else { return String::new() };
        document::mask(&mut complete, &SECRETS);
        show::pretty(&complete, &order)
    }

    /// The keys that the file does not decide.
    pub(crate) fn overridden(&self) -> Vec<&str> {
        self.overrides.keys().collect()
    }

    /// What would count after these changes.
    ///
    /// # Errors
    /// [`ChangeError`] with every mistake.
    pub(crate) fn preview(&self, changes: &Map<String, Value>) -> Result<Config, ChangeError> {
        let mut changes = changes.clone();
        document::drop_masks(&mut changes, &SECRETS);
        let merged = self.merged(&self.lock(), changes).map_err(ChangeError::Mistakes)?;
        Ok(merged.0.config)
    }

    /// Lays changes over what the file says, makes them durable, and has them count from now on. For a blocking thread.
    ///
    /// # Errors
    /// [`ChangeError`], with everything as it was.
    pub(crate) fn change(&self, mut changes: Map<String, Value>) -> Result<Applied, ChangeError> {
        document::drop_masks(&mut changes, &SECRETS);
        let mut stored = self.lock();
        let (document, table) = self.merged(&stored, changes).map_err(ChangeError::Mistakes)?;
        self.write(&table)?;
        *stored = table;
        let now = Arc::new(document.config);
        let mut in_force = self.in_force.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *in_force, now.clone());
        let warnings = document.warnings.iter().map(Remark::to_string);
        let warnings = warnings.chain(self.overrides.keys().filter_map(|key| {
            let given = document::get(&stored, key).unwrap_or(&Value::Null);
            let in_force = document::get(&document.complete, key).unwrap_or(&Value::Null);
            (given != in_force).then(|| {
                format!("{key}: {} counts more than the file", self.overrides.origin(key).unwrap_or_default())
            })
        }));
        Ok(Applied { before, now, warnings: warnings.collect() })
    }

    /// What would count after the changes, and what the file would say.
    fn merged(
        &self,
        stored: &Map<String, Value>,
        mut changes: Map<String, Value>,
    ) -> Result<(Document, Map<String, Value>), Vec<Remark>> {
        self.leave_out_overridden(stored, &mut changes);
        let mut table = stored.clone();
        document::merge(&mut table, changes);
        if let Some(Value::String(text)) = table.get_mut("adminPassword")
            && !text.is_empty()
            && text != MASK
        {
            *text = password::hash(text);
        }
        let mut given = table.clone();
        self.overrides.lay_over(&mut given);
        let document = Document::read(&given)?;
        Ok((document, Document::read(&table)?.complete))
    }

    /// Whoever sends back what was shown has not asked to have an override written into the file.
    fn leave_out_overridden(&self, stored: &Map<String, Value>, changes: &mut Map<String, Value>) {
        let mut given = stored.clone();
        self.overrides.lay_over(&mut given);
        for key in self.overrides.keys() {
            if document::get(changes, key).is_some_and(|value| Some(value) == document::get(&given, key)) {
                let before = document::get(stored, key).cloned().unwrap_or(Value::Null);
                document::set(changes, key, before);
            }
        }
    }

    fn write(&self, table: &Map<String, Value>) -> Result<(), ChangeError> {
        let order = Document::read(table).map(|document| document.order).unwrap_or_default();
        let text = show::pretty(table, &order);
        let failed = |source| ChangeError::Write { path: self.path.clone(), source };
        durable::replace(&self.path, text.as_bytes()).map_err(failed)
    }

    fn lock(&self) -> MutexGuard<'_, Map<String, Value>> {
        // It is changed as a whole.
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The defaults as a file says them.
#[cfg(test)]
pub(super) fn defaults() -> String {
    Document::read(&Map::new())
        .map(|document| show::pretty(&document.complete, &document.order))
        .unwrap_or_default()
}

fn read_table(path: &Path) -> Result<Map<String, Value>, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Map::new()),
        Err(error) => return Err(failed(error)),
        Ok(file) => file.take(MAX_LEN + 1).read_to_string(&mut text).map_err(failed)?,
    };
    if text.len() as u64 > MAX_LEN {
        let message = format!("longer than {MAX_LEN} bytes");
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, message)));
    }
    serde_json::from_str(&text).map_err(|source| ConfigError::Json { path: path.to_owned(), source })
}

/// A remark with where its value was written.
fn place(remark: &Remark, path: &Path, overrides: &Overrides) -> String {
    match overrides.origin(&remark.key) {
        Some(origin) => format!("{origin}: {}", remark.message),
        None => format!("{}: {remark}", path.display()),
    }
}
