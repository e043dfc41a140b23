//! What a mistake looks like, and what it must not give away.

use std::collections::BTreeSet;
use std::fmt;

use super::value::Origin;

/// Every mistake in the configuration of one role: never empty, one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub(super) Vec<Problem>);

impl Problems {
    /// How many mistakes there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

/// One mistake. The order is that of the sources, and within a file that of the lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Problem {
    pub(super) origin: Origin,
    /// Empty if the mistake belongs to no key, such as a line that is not TOML.
    pub(super) key: String,
    pub(super) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { origin, key, message } = self;
        if key.is_empty() || origin.names_its_key() {
            write!(f, "{origin}: {message}")
        } else {
            write!(f, "{origin}: {key}: {message}")
        }
    }
}

const HIDDEN: &str = "***";

/// `message` in one line and without the secrets of `value`, the value of `key` that it is about.
///
/// A parser may quote any part of what it was given, so the secret is removed wherever it stands, and so is every
/// `user:password@` that came from elsewhere.
pub(super) fn conceal(message: &str, key: &str, value: Option<&str>) -> String {
    let mut message = message.to_owned();
    let whole = value.filter(|_| is_secret(key));
    if let Some(secret) = whole.or_else(|| value.and_then(password)) {
        message = hide(&message, secret);
        // Messages show values with their quotes and control characters escaped.
        message = hide(&message, &secret.escape_debug().to_string());
    }
    let words = message.split_inclusive(char::is_whitespace);
    let words = words.map(|word| password(word).map_or_else(|| word.to_owned(), |secret| hide(word, secret)));
    words.collect::<String>().replace(['\r', '\n'], " ")
}

fn hide(text: &str, secret: &str) -> String {
    if secret.is_empty() { text.to_owned() } else { text.replace(secret, HIDDEN) }
}

/// Whether the whole value of `key` is a secret.
fn is_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key);
    ["password", "secret", "token", "api_key"].iter().any(|word| name.contains(word))
}

/// The password in `user:password@host`, with or without a scheme. An `@` or `/` in the password belongs to it: it is
/// better to hide too much.
fn password(text: &str) -> Option<&str> {
    let without_scheme = text.split_once("://").filter(|(scheme, _)| !scheme.contains([':', '@']));
    // What looks like a scheme may be a user whose password begins with two slashes.
    without_scheme.and_then(|(_, authority)| password_of(authority)).or_else(|| password_of(text))
}

fn password_of(authority: &str) -> Option<&str> {
    let (credentials, _) = authority.rsplit_once('@')?;
    credentials.split_once(':').map(|(_, password)| password)
}

/// The known name closest to `name`, if it is close enough to have been meant.
pub(super) fn nearest<'a>(name: &str, known: &'a BTreeSet<String>) -> Option<&'a str> {
    let distance = |candidate: &str| {
        let same_leaf =
            |long: &str, short: &str| long.strip_suffix(short).is_some_and(|table| table.ends_with('.'));
        // The right name in the wrong table is a slip as well.
        if same_leaf(candidate, name) || same_leaf(name, candidate) {
            return 1;
        }
        strsim::osa_distance(candidate, name)
    };
    let close_enough = (name.chars().count() / 3).clamp(1, 3);
    let by_distance = known.iter().map(|candidate| (distance(candidate), candidate.as_str()));
    by_distance.filter(|(distance, _)| *distance <= close_enough).min().map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn passwords_are_hidden_wherever_they_stand() {
        for (message, value, shown) in [
            ("no host in mysql://root:hunter2@db/x", None, "no host in mysql://root:***@db/x"),
            ("redis://:pa@ss/w@h is down", None, "redis://:***@h is down"),
            ("root:hunter2@db", None, "root:***@db"),
            ("bad port \"hunter2\"", Some("mysql://root:hunter2@db"), "bad port \"***\""),
            ("two words", Some("mysql://root:two words@db"), "***"),
            ("http://host:80/path is refused", None, "http://host:80/path is refused"),
            ("mail to a@b", None, "mail to a@b"),
            ("two\nlines", None, "two lines"),
            ("root:pa://ss@db", None, "root:***@db"),
            (r#""a:p \"q@db" is bad"#, Some("a:p \"q@db"), r#""a:***@db" is bad"#),
        ] {
            assert_eq!(conceal(message, "database.url", value), shown);
        }
        assert_eq!(conceal("\"hunter2\" is short", "admin.password", Some("hunter2")), "\"***\" is short");
    }

    #[test]
    fn a_suggestion_is_close_or_the_same_name_in_another_table() {
        let known =
            ["database.url", "group", "listen", "log.level", "reserved_space"].map(String::from).into();
        for (name, suggestion) in [
            ("gruop", Some("group")),
            ("reserved-space", Some("reserved_space")),
            ("url", Some("database.url")),
            ("server.listen", Some("listen")),
            ("log.levle", Some("log.level")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(name, &known), suggestion, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_password_survives(password in ".{6,20}", scheme in "(mysql://)?", host in "[a-z]{1,9}") {
            let url = format!("{scheme}root:{password}@{host}/tnv");
            let message = conceal(&format!("{url:?} is not valid: found {password}"), "database.url", Some(&url));
            prop_assert!(!message.contains(&password), "{}", message);
            prop_assert!(!message.contains(&password.escape_debug().to_string()), "{}", message);
        }
    }
}
