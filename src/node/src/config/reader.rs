//! Asks a document for its keys, one by one, with the default and the allowed range of each. A mistake never stops the
//! reading: the answer is the default then, and all mistakes are told together.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;

use serde_json::{Map, Number, Value};

/// One mistake in a document, or something odd about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remark {
    /// The dotted key.
    pub(crate) key: String,
    /// What is wrong and what to write instead.
    pub(crate) message: String,
}

impl Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.key, self.message)
    }
}

pub(super) struct Reader<'a> {
    given: &'a Map<String, Value>,
    /// Every key that was asked for, with its value in force.
    pub(super) complete: Map<String, Value>,
    /// The keys in the order of asking, which is that of the file.
    pub(super) order: Vec<String>,
    pub(super) mistakes: Vec<Remark>,
    pub(super) warnings: Vec<Remark>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(given: &'a Map<String, Value>) -> Reader<'a> {
        Reader { given, complete: Map::new(), order: Vec::new(), mistakes: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn flag(&mut self, key: &str, default: bool) -> bool {
        let value = match self.find(key) {
            None => default,
            Some(Value::Bool(flag)) => *flag,
            Some(other) => self.wrong(key, other, "true or false", default),
        };
        self.keep(key, value)
    }

    /// A whole number.
    pub(super) fn number(&mut self, key: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let value = match self.find(key) {
            None => default,
            Some(given) => match given.as_u64().or_else(|| whole(given)) {
                Some(number) if range.contains(&number) => number,
                Some(_) => self.outside(key, given, &range, default),
                None if given.is_number() => self.outside(key, given, &range, default),
                None => self.wrong(key, given, "a whole number", default),
            },
        };
        self.keep(key, value)
    }

    /// A port number that may be left out.
    pub(super) fn optional_port(&mut self, key: &str) -> Option<u16> {
        let port = match self.find(key) {
            None => None,
            Some(given) => match given.as_u64().and_then(|port| u16::try_from(port).ok()) {
                Some(port) if port > 0 => Some(port),
                _ => self.wrong(key, given, "a port from 1 to 65535, or null", None),
            },
        };
        self.keep(key, port)
    }

    /// A number that need not be whole.
    pub(super) fn fraction(&mut self, key: &str, default: f64, range: RangeInclusive<f64>) -> f64 {
        let value = match self.find(key) {
            None => default,
            Some(given) => match given.as_f64() {
                Some(number) if range.contains(&number) => number,
                Some(_) => self.outside(key, given, &range, default),
                None => self.wrong(key, given, "a number", default),
            },
        };
        self.keep(key, value)
    }

    /// A text that `check` finds nothing wrong with.
    pub(super) fn text(
        &mut self,
        key: &str,
        default: &str,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> String {
        let value = self.checked(key, "a text", check).unwrap_or_else(|| default.to_owned());
        self.keep(key, value)
    }

    /// The same where there may be none: null, or an empty text.
    pub(super) fn optional_text(
        &mut self,
        key: &str,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> Option<String> {
        let empty = self.find(key).is_some_and(|given| given.as_str() == Some(""));
        let value = if empty { None } else { self.checked(key, "a text, or null", check) };
        self.keep(key, value)
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &str) -> Vec<String> {
        let texts = |given: &Value| {
            let items = given.as_array()?.iter().map(|item| item.as_str().map(str::to_owned));
            items.collect::<Option<Vec<String>>>()
        };
        let value = match self.find(key) {
            None => Vec::new(),
            Some(given) => match texts(given) {
                Some(texts) => texts,
                None => self.wrong(key, given, "a list of texts", Vec::new()),
            },
        };
        self.keep(key, value)
    }

    pub(super) fn mistake(&mut self, key: &str, message: impl Display) {
        self.mistakes.push(Remark { key: key.to_owned(), message: message.to_string() });
    }

    pub(super) fn warn(&mut self, key: &str, message: impl Display) {
        self.warnings.push(Remark { key: key.to_owned(), message: message.to_string() });
    }

    /// Takes over what nobody asked for, with a warning for each.
    pub(super) fn keep_unknown(&mut self) {
        let mut unknown = Vec::new();
        gather_unknown("", self.given, &self.complete, &mut unknown);
        for (key, value) in unknown {
            let near = nearest(&key, &self.order).map(|near| format!("; did you mean {near}?"));
            self.warn(&key, format!("no such key; it is kept and does nothing{}", near.unwrap_or_default()));
            super::document::set(&mut self.complete, &key, value);
        }
    }

    fn checked(
        &mut self,
        key: &str,
        what: &str,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> Option<String> {
        match self.find(key)? {
            Value::String(text) => match check(text) {
                Ok(()) => Some(text.clone()),
                Err(message) => {
                    self.mistake(key, message);
                    None
                }
            },
            other => self.wrong(key, other, what, None),
        }
    }

    /// What is given for a key; null is the same as nothing.
    fn find(&mut self, key: &str) -> Option<&'a Value> {
        let (mut table, mut rest) = (self.given, key);
        while let Some((section, inner)) = rest.split_once('.') {
            match table.get(section) {
                Some(Value::Object(next)) => (table, rest) = (next, inner),
                None | Some(Value::Null) => return None,
                Some(other) => {
                    let remark = Remark { key: section.to_owned(), message: expected(other, "an object") };
                    if !self.mistakes.contains(&remark) {
                        self.mistakes.push(remark);
                    }
                    return None;
                }
            }
        }
        table.get(rest).filter(|value| !value.is_null())
    }

    fn wrong<T>(&mut self, key: &str, given: &Value, what: &str, default: T) -> T {
        let message = if super::is_secret(key) { format!("expected {what}") } else { expected(given, what) };
        self.mistake(key, message);
        default
    }

    fn outside<T, R: Display>(
        &mut self,
        key: &str,
        given: &Value,
        range: &RangeInclusive<R>,
        default: T,
    ) -> T {
        let (first, last) = (range.start(), range.end());
        self.mistake(key, format!("{given} is out of range; allowed is {first} to {last}"));
        default
    }

    fn keep<T: Clone + Into<Value>>(&mut self, key: &str, value: T) -> T {
        super::document::set(&mut self.complete, key, value.clone().into());
        self.order.push(key.to_owned());
        value
    }
}

fn expected(given: &Value, what: &str) -> String {
    let given = match given {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        scalar => scalar.to_string(),
    };
    format!("{given} is not valid; expected {what}")
}

/// A whole number that was written with a fraction of zero, as some forms do.
fn whole(given: &Value) -> Option<u64> {
    let number = given.as_number().and_then(Number::as_f64)?;
    (number.fract() == 0.0 && (0.0..=9e15).contains(&number)).then_some(number as u64)
}

/// Keys of `given` that are not in `known`; of a table that is not known at all, the table.
fn gather_unknown(
    prefix: &str,
    given: &Map<String, Value>,
    known: &Map<String, Value>,
    unknown: &mut Vec<(String, Value)>,
) {
    for (name, value) in given {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match (value, known.get(name)) {
            (Value::Object(given), Some(Value::Object(known))) => gather_unknown(&key, given, known, unknown),
            (_, Some(_)) => {}
            (value, None) => unknown.push((key, value.clone())),
        }
    }
}

/// The known key that was most likely meant: the same name in another case, place or spelling.
fn nearest<'k>(key: &str, known: &'k [String]) -> Option<&'k str> {
    let plain = |key: &str| {
        let name = key.rsplit('.').next().unwrap_or(key);
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    known.iter().find(|candidate| plain(candidate) == plain(key)).map(String::as_str)
}
