//! Configuration: where each key of a server came from, and every mistake in it at once.
//!
//! A role asks [`Settings`] for its keys one by one, with the default and the allowed range of each. A mistake never
//! stops the reading: the question answers with its default, and [`Settings::finish`] returns all mistakes together,
//! the keys nobody asked for among them. Sources, the later winning over the earlier:
//!
//! 1. the default in the question;
//! 2. a TOML file, whose tables flatten to dotted keys;
//! 3. environment variables: `database.url` of the tracker is `TNV_TRACKER_DATABASE_URL`;
//! 4. overrides: `--listen`, `--set key=value`, then [`Settings::set`].
//!
//! Values outside the file are TOML too; what is not TOML is taken as plain text, so that `group002` needs no quotes.

mod mistake;
mod question;
#[cfg(test)]
mod tests;
mod unit;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

pub use mistake::Problems;
pub use question::WrittenPath;

use mistake::{Problem, conceal, nearest};
use value::{Origin, Setting, Value};

/// Where the values of one role come from.
#[derive(Default)]
pub struct Sources {
    /// The configuration file, if any.
    pub file: Option<PathBuf>,
    /// Whether the file was named explicitly; only then is its absence a mistake.
    pub required: bool,
    /// Environment variables; those of other programs and roles may be among them.
    pub environment: Vec<(String, String)>,
    /// Key, value and the origin that messages show, such as `--listen`; the last one of a key wins.
    pub overrides: Vec<(String, String, String)>,
}

/// The values given for one role, each with its origin, and the mistakes found so far.
pub struct Settings {
    role: &'static str,
    file: Option<PathBuf>,
    from_file: BTreeMap<String, Setting>,
    /// By the name of the variable: which key it stands for is only known once the key is asked for.
    from_environment: BTreeMap<String, Setting>,
    overrides: BTreeMap<String, Setting>,
    variables: BTreeMap<String, String>,
    known: BTreeSet<String>,
    problems: Vec<Problem>,
}

impl Settings {
    /// Gathers the values of `role`. What is wrong with the file itself is kept for [`finish`](Self::finish).
    pub fn load(role: &'static str, sources: Sources) -> Settings {
        let mut settings = Settings::built_in(role);
        if let Some(path) = sources.file {
            settings.read_file(path, sources.required);
        }
        let prefix = variable_name(role, "");
        let config = variable_name(role, "config");
        for (name, text) in &sources.environment {
            if name.starts_with(&prefix) && *name != config {
                let setting = Setting::from_text(text, Origin::Environment(name.clone()));
                settings.from_environment.insert(name.clone(), setting);
            }
        }
        settings.variables = sources.environment.into_iter().collect();
        for (key, text, origin) in sources.overrides {
            settings.set(&key, &text, &origin);
        }
        settings
    }

    /// The defaults of `role` alone: no file, no environment.
    pub fn built_in(role: &'static str) -> Settings {
        Settings {
            role,
            file: None,
            from_file: BTreeMap::new(),
            from_environment: BTreeMap::new(),
            overrides: BTreeMap::new(),
            variables: BTreeMap::new(),
            known: BTreeSet::new(),
            problems: Vec::new(),
        }
    }

    /// Overrides `key` with `value`, written as for `--set`. `origin` is what a message begins with; it should make
    /// the key recognisable, such as `--set group`.
    pub fn set(&mut self, key: &str, value: &str, origin: &str) {
        let setting = Setting::from_text(value, Origin::Override(origin.to_owned()));
        self.overrides.insert(key.to_owned(), setting);
    }

    /// Overrides `key` with a list whose items are taken as they stand, whatever characters they have.
    pub fn set_list(&mut self, key: &str, items: &[&str], origin: &str) {
        let setting = Setting::of_texts(items, Origin::Override(origin.to_owned()));
        self.overrides.insert(key.to_owned(), setting);
    }

    /// Overrides `key` with the environment variable `name`, whose name need not have the prefix of the role. An
    /// unset or empty variable changes nothing.
    pub fn set_from_variable(&mut self, key: &str, name: &str) {
        if let Some(text) = self.variables.get(name).filter(|text| !text.is_empty()) {
            let setting = Setting::from_text(text, Origin::Environment(name.to_owned()));
            self.overrides.insert(key.to_owned(), setting);
        }
    }

    /// What the environment variable `name`, which other programs have used for `key`, says; `None` if it is unset or
    /// empty, or if anything but the file gives `key` under its own name.
    pub fn older_variable(&self, key: &str, name: &str) -> Option<String> {
        let own = variable_name(self.role, key);
        let is_given = self.overrides.contains_key(key) || self.from_environment.contains_key(&own);
        self.variables.get(name).filter(|text| !text.is_empty() && !is_given).cloned()
    }

    /// Reports a mistake in the meaning of `key`, such as two keys that contradict each other. The message follows
    /// the origin of the key.
    pub fn problem(&mut self, key: &str, message: impl Display) {
        let (origin, secret) = match self.find(key) {
            Some(setting) => (setting.origin.clone(), setting.text().map(str::to_owned)),
            None => (Origin::BuiltIn, None),
        };
        let message = conceal(&message.to_string(), key, secret.as_deref());
        self.problems.push(Problem { origin, key: key.to_owned(), message });
    }

    /// What relative paths inside the value of `key` resolve against: the folder of the file if the value stands
    /// there, otherwise the current directory.
    pub fn folder_of(&self, key: &str) -> PathBuf {
        let written_in = self.find(key).and_then(|setting| setting.origin.folder());
        let folder = written_in.unwrap_or_default();
        // Only an unreadable current directory makes this fail; the relative folder then means the same.
        std::env::current_dir().map_or(folder.clone(), |current| current.join(&folder))
    }

    /// The role whose values these are.
    pub fn role(&self) -> &'static str {
        self.role
    }

    /// The configuration file that was read; `None` means built-in defaults.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Keys that were asked for so far and do not stand in the file, whatever other sources say. A file meant to show
    /// every key has none left out.
    pub fn left_out_of_file(&self) -> Vec<&str> {
        self.known.iter().filter(|key| !self.from_file.contains_key(*key)).map(String::as_str).collect()
    }

    /// Ends the reading, once every key has been asked for.
    ///
    /// # Errors
    /// All mistakes at once, unknown keys included, in the order of their sources.
    pub fn finish(mut self) -> Result<(), Problems> {
        self.report_unknown();
        self.problems.sort();
        self.problems.dedup();
        if self.problems.is_empty() { Ok(()) } else { Err(Problems(self.problems)) }
    }

    /// Reports a mistake that belongs to no key.
    pub(crate) fn misuse(&mut self, origin: &str, message: &str) {
        let origin = Origin::Override(origin.to_owned());
        self.problems.push(Problem { origin, key: String::new(), message: message.to_owned() });
    }

    fn read_file(&mut self, path: PathBuf, required: bool) {
        let text = match value::read_bounded(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => return,
            Err(error) => {
                let (origin, message) = (Origin::File { path, line: 0 }, format!("cannot read: {error}"));
                return self.problems.push(Problem { origin, key: String::new(), message });
            }
        };
        self.from_file = value::read_toml(&path, &text, &mut self.problems);
        self.file = Some(path);
    }

    /// The value of `key` that wins.
    fn find(&self, key: &str) -> Option<&Setting> {
        let in_environment = || self.from_environment.get(&variable_name(self.role, key));
        self.overrides.get(key).or_else(in_environment).or_else(|| self.from_file.get(key))
    }

    fn report_unknown(&mut self) {
        let variables = self.known.iter().map(|key| variable_name(self.role, key)).collect();
        let keys = self.from_file.iter().chain(&self.overrides).map(|given| (given, &self.known));
        let given = keys.chain(self.from_environment.iter().map(|given| (given, &variables)));
        // What the parser takes for a key in a broken line may be none.
        let sound = given.filter(|((_, setting), _)| setting.value != Value::Broken);
        for ((name, setting), known) in sound.filter(|((name, _), known)| !known.contains(*name)) {
            let message = match nearest(name, known) {
                Some(near) => format!("no such key; did you mean {near}?"),
                None => "no such key".to_owned(),
            };
            self.problems.push(Problem { origin: setting.origin.clone(), key: name.clone(), message });
        }
    }
}

/// The environment variable that stands for `key` of `role`.
pub(crate) fn variable_name(role: &str, key: &str) -> String {
    format!("TNV_{role}_{key}").replace(['.', '-'], "_").to_ascii_uppercase()
}
