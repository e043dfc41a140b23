//! The kinds of values a role may ask for.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::Settings;
use super::mistake::conceal;
use super::unit::{parse_duration, parse_size, show_duration, show_size};
use super::value::{Setting, Value};

/// A path, both as the configuration has it and as this process may open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPath {
    /// The text of the configuration.
    pub written: String,
    /// Relative paths in the file are relative to its folder, all others to the current directory.
    pub resolved: PathBuf,
}

/// Each question makes its key known and answers with its default if the value is missing or a mistake.
impl Settings {
    /// Text. In a file it needs quotes, elsewhere not even a number does.
    pub fn text(&mut self, key: &str, default: &str) -> String {
        self.ask(key, default.to_owned(), |setting| text(setting).map(str::to_owned))
    }

    /// One of a few words, each with what it stands for.
    pub fn choice<T: Copy>(&mut self, key: &str, default: T, words: &[(&str, T)]) -> T {
        self.ask(key, default, |setting| {
            let text = text(setting)?;
            let chosen = words.iter().find(|(word, _)| *word == text);
            chosen.map(|(_, meaning)| *meaning).ok_or_else(|| format!("write {}", alternatives(words)))
        })
    }

    /// Anything that parses from text; in a file an integer needs no quotes.
    pub fn parse<T: FromStr<Err: Display>>(&mut self, key: &str, default: T) -> T {
        self.ask(key, default, |setting| parse_one(&written(setting)?))
    }

    /// As [`parse`](Self::parse), for a key that may be absent; empty text is the same as absent.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<T> {
        self.ask(key, None, |setting| match written(setting)? {
            text if text.is_empty() => Ok(None),
            text => parse_one(&text).map(Some),
        })
    }

    /// A list. Text instead of an array is split at `;` and `,`; empty text is the empty list.
    pub fn list<T: FromStr<Err: Display>>(&mut self, key: &str, default: Vec<T>) -> Vec<T> {
        let Some(items) = self.items(key) else { return default };
        let (mut parsed, mut mistakes) = (Vec::with_capacity(items.len()), Vec::new());
        for item in &items {
            match parse_one(item) {
                Ok(item) => parsed.push(item),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.is_empty() {
            return parsed;
        }
        mistakes.into_iter().for_each(|mistake| self.problem(key, mistake));
        default
    }

    /// A whole number within `allowed`.
    pub fn number<T>(&mut self, key: &str, default: T, allowed: RangeInclusive<T>) -> T
    where
        T: TryFrom<i128> + PartialOrd + Display,
    {
        self.ask(key, default, |setting| match setting.value {
            Value::Integer(number) => T::try_from(number)
                .ok()
                .filter(|number| allowed.contains(number))
                .ok_or_else(|| outside(&setting.value, allowed.start(), allowed.end())),
            _ => Err(format!("{} is not a whole number", setting.value)),
        })
    }

    /// True or false.
    pub fn flag(&mut self, key: &str, default: bool) -> bool {
        self.ask(key, default, |setting| match setting.value {
            Value::Flag(flag) => Ok(flag),
            _ => Err(format!("{} is not a flag; write true or false", setting.value)),
        })
    }

    /// A duration within `allowed`: a number of seconds, or text such as `500ms`, `10s`, `2m`, `1h`, `7d`.
    pub fn duration(&mut self, key: &str, default: Duration, allowed: RangeInclusive<Duration>) -> Duration {
        self.ask(key, default, |setting| {
            let duration = match &setting.value {
                Value::Integer(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
                Value::Float(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
                Value::Text(text) => parse_duration(text),
                _ => None,
            };
            let Some(duration) = duration else {
                return Err(format!(
                    "{} is not a duration; write seconds or 500ms, 10s, 2m, 1h, 7d",
                    setting.value
                ));
            };
            let (low, high) = (show_duration(*allowed.start()), show_duration(*allowed.end()));
            if allowed.contains(&duration) { Ok(duration) } else { Err(outside(&setting.value, low, high)) }
        })
    }

    /// A size in bytes within `allowed`: a number of bytes, or text such as `64KiB`, `10MB`, `1GiB`.
    pub fn size(&mut self, key: &str, default: u64, allowed: RangeInclusive<u64>) -> u64 {
        self.ask(key, default, |setting| {
            let size = match &setting.value {
                Value::Integer(number) => u64::try_from(*number).ok(),
                Value::Text(text) => parse_size(text),
                _ => None,
            };
            let Some(size) = size else {
                return Err(format!("{} is not a size; write bytes or 64KiB, 10MiB, 1GiB", setting.value));
            };
            let (low, high) = (show_size(*allowed.start()), show_size(*allowed.end()));
            if allowed.contains(&size) { Ok(size) } else { Err(outside(&setting.value, low, high)) }
        })
    }

    /// A path; it must not be empty.
    pub fn path(&mut self, key: &str, default: &str) -> WrittenPath {
        let written = self.text(key, default);
        if written.is_empty() {
            self.problem(key, "a path must not be empty");
        }
        resolve(&self.folder_of(key), written)
    }

    /// A path that may be absent; empty text is the same as absent.
    pub fn optional_path(&mut self, key: &str) -> Option<WrittenPath> {
        let written = self.text(key, "");
        (!written.is_empty()).then(|| resolve(&self.folder_of(key), written))
    }

    /// A list of paths, written as for [`list`](Self::list); a path with `;` or `,` in it needs an array.
    pub fn paths(&mut self, key: &str, default: &[&str]) -> Vec<WrittenPath> {
        let written =
            self.items(key).unwrap_or_else(|| default.iter().map(|path| (*path).to_owned()).collect());
        if written.iter().any(String::is_empty) {
            self.problem(key, "a path must not be empty");
        }
        let folder = self.folder_of(key);
        written.into_iter().map(|written| resolve(&folder, written)).collect()
    }

    /// The items of a list as text; `None` if the value is missing or a mistake.
    fn items(&mut self, key: &str) -> Option<Vec<String>> {
        self.ask(key, None, |setting| {
            let items = match &setting.value {
                Value::List(items) => items.iter().map(item).collect::<Option<Vec<String>>>(),
                Value::Text(text) => Some(split(text)),
                single => item(single).map(|item| vec![item]),
            };
            items.map(Some).ok_or_else(|| format!("{} is not a list of text", setting.value))
        })
    }

    fn ask<T>(&mut self, key: &str, default: T, read: impl FnOnce(&Setting) -> Result<T, String>) -> T {
        self.known.insert(key.to_owned());
        let Some(setting) = self.find(key) else { return default };
        if setting.value == Value::Broken {
            return default;
        }
        match read(setting) {
            Ok(answer) => answer,
            Err(mistake) => {
                self.problem(key, mistake);
                default
            }
        }
    }
}

fn text(setting: &Setting) -> Result<&str, String> {
    setting.text().ok_or_else(|| format!("{} is not text; put it in quotes", setting.value))
}

/// `a, b or c`.
fn alternatives<T>(words: &[(&str, T)]) -> String {
    let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    match words.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => words.concat(),
    }
}

/// What a value that is to be parsed looks like in writing.
fn written(setting: &Setting) -> Result<String, String> {
    let text = setting.text().map(str::to_owned);
    text.or_else(|| item(&setting.value))
        .ok_or_else(|| format!("{} is not text; put it in quotes", setting.value))
}

fn parse_one<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    // Here, for an item of a list is not the whole value of its key.
    text.parse().map_err(|error| conceal(&format!("{text:?} is not valid: {error}"), "", Some(text)))
}

fn item(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

fn split(text: &str) -> Vec<String> {
    text.split([';', ',']).map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

fn outside(value: &Value, low: impl Display, high: impl Display) -> String {
    format!("{value} is out of range; allowed is {low} to {high}")
}

fn resolve(folder: &Path, written: String) -> WrittenPath {
    let resolved = folder.join(&written);
    WrittenPath { written, resolved }
}
