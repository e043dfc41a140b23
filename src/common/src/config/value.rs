//! One value and where it was written; the reading of TOML, in a file and on the command line.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::mistake::Problem;

/// No configuration comes near this; whatever does was not meant as one.
const MAX_FILE_LEN: u64 = 1024 * 1024;

/// A value as TOML has it, without what no key takes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i128),
    Float(f64),
    Flag(bool),
    List(Vec<Value>),
    /// A date or a table: never what a key takes, kept for the message.
    Other(&'static str),
    /// Its line holds a syntax error, which is reported; what the parser made of it says nothing.
    Broken,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Float(number) => write!(f, "{number:?}"),
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::List(_) => f.write_str("a list"),
            Value::Other(kind) => f.write_str(kind),
            Value::Broken => f.write_str("a syntax error"),
        }
    }
}

/// Where a value was written. The order is the order in which mistakes are shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// A line of the file, counted from 1; 0 is the file as a whole.
    File {
        path: PathBuf,
        line: usize,
    },
    Environment(String),
    Override(String),
    BuiltIn,
}

impl Origin {
    /// Whether the text of the origin says which key it is about.
    pub(super) fn names_its_key(&self) -> bool {
        matches!(self, Origin::Environment(_) | Origin::Override(_))
    }

    /// The folder of the file.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        match self {
            Origin::File { path, .. } => path.parent().map(Path::to_path_buf),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line: 0 } => write!(f, "{}", path.display()),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Override(label) => f.write_str(label),
            Origin::BuiltIn => f.write_str("built-in default"),
        }
    }
}

/// A value with its origin.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting {
    pub(super) value: Value,
    /// The words outside a file, where quotes are optional: there the text `123` may well be a name.
    bare: Option<String>,
    pub(super) origin: Origin,
}

impl Setting {
    /// Reads a value given outside a file: TOML, or else plain text.
    pub(super) fn from_text(text: &str, origin: Origin) -> Setting {
        let value = match DeValue::parse(text) {
            Ok(value) => convert(value.get_ref()),
            Err(_) => Value::Text(text.to_owned()),
        };
        Setting { value, bare: Some(text.to_owned()), origin }
    }

    /// A list of texts that are taken as they stand.
    pub(super) fn of_texts(items: &[&str], origin: Origin) -> Setting {
        let value = Value::List(items.iter().map(|item| Value::Text((*item).to_owned())).collect());
        Setting { value, bare: None, origin }
    }

    /// The value as text, if it is text or was written where quotes are optional.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => self.bare.as_deref(),
        }
    }
}

/// Reads a configuration file of a sensible length.
pub(super) fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE_LEN + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_LEN {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {MAX_FILE_LEN} bytes")));
    }
    Ok(text)
}

/// Flattens a TOML document to dotted keys. Syntax errors go to `problems` and do not hide the lines around them.
pub(super) fn read_toml(path: &Path, text: &str, problems: &mut Vec<Problem>) -> BTreeMap<String, Setting> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reading = Reading { path, text, errors: BTreeMap::new(), settings: BTreeMap::new(), problems };
    for error in errors {
        let line = reading.line(error.span().map_or(text.len(), |span| span.start));
        // What the parser finds later in the same line mostly follows from the first.
        reading.errors.entry(line).or_insert_with(|| error.message().to_owned());
    }
    let mut outside_values = reading.errors.clone();
    reading.flatten("", document.get_ref(), &mut outside_values);
    for (line, message) in outside_values {
        reading.report(line, String::new(), message);
    }
    reading.settings
}

struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    /// The first syntax error of each line.
    errors: BTreeMap<usize, String>,
    settings: BTreeMap<String, Setting>,
    problems: &'a mut Vec<Problem>,
}

impl Reading<'_> {
    /// Takes over the values of a table. Errors inside a value are reported with its key, and leave `outside_values`.
    fn flatten(&mut self, prefix: &str, table: &DeTable<'_>, outside_values: &mut BTreeMap<usize, String>) {
        for (name, value) in table {
            let dot = if prefix.is_empty() { "" } else { "." };
            let key = format!("{prefix}{dot}{}", name.get_ref());
            if let DeValue::Table(table) = value.get_ref() {
                self.flatten(&key, table, outside_values);
                continue;
            }
            let lines = self.line(name.span().start)..=self.line(value.span().end);
            let mut converted = convert(value.get_ref());
            if self.errors.range(lines.clone()).next().is_some() {
                converted = Value::Broken;
                // Every line after a bracket that is never closed is an error; the first one is enough.
                if let Some((line, message)) = outside_values.range(lines.clone()).next() {
                    self.report(*line, key.clone(), message.clone());
                }
                outside_values.retain(|line, _| !lines.contains(line));
            }
            self.insert(key, *lines.start(), converted);
        }
    }

    fn insert(&mut self, key: String, line: usize, value: Value) {
        let setting =
            Setting { value, bare: None, origin: Origin::File { path: self.path.to_owned(), line } };
        match self.settings.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(setting);
            }
            // `"a.b"` in quotes and `b` in table `a` are two keys to TOML and one to us.
            Entry::Occupied(entry) => {
                let key = entry.key().clone();
                self.report(line, key, "duplicate key".to_owned());
            }
        }
    }

    fn report(&mut self, line: usize, key: String, message: String) {
        self.problems.push(Problem {
            origin: Origin::File { path: self.path.to_owned(), line },
            key,
            message,
        });
    }

    /// The line of a byte offset, counted from 1.
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }
}

fn convert(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other("a number beyond all ranges"),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => Value::Other("a number beyond all ranges"),
        },
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => Value::List(items.iter().map(|item| convert(item.get_ref())).collect()),
        DeValue::Table(_) => Value::Other("a table"),
    }
}
