//! The trackers in front of the command, as in `client 127.0.0.1:21000 groups`. clap has no notion of an optional
//! value before a subcommand that keeps its help and its "did you mean" intact, so that word is taken out first.

use std::ffi::OsString;

/// An argument vector whose leading trackers, if any, stand apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Argv {
    /// The word in front of the command.
    pub(crate) trackers: Option<OsString>,
    /// Everything else, the program's name first: what clap reads.
    pub(crate) words: Vec<OsString>,
}

/// Takes the trackers out of `words`, whose first is the program's name. `command` tells which options take a value
/// and what the subcommands are called.
pub(crate) fn split(mut words: Vec<OsString>, command: &clap::Command) -> Argv {
    let trackers = match first_bare_word(&words, command) {
        Some(index) if is_trackers(&words, index, command) => Some(words.remove(index)),
        _ => None,
    };
    Argv { trackers, words }
}

/// The position of the first word that is neither an option nor an option's value; none behind a `--`.
fn first_bare_word(words: &[OsString], command: &clap::Command) -> Option<usize> {
    let mut index = 1;
    loop {
        let word = words.get(index)?.to_string_lossy();
        match word.strip_prefix("--") {
            Some("") => return None,
            Some(name) if takes_value(name, command) => index += 2,
            Some(_) => index += 1,
            None if word.starts_with('-') && word.len() > 1 => index += 1,
            None => return Some(index),
        }
    }
}

fn takes_value(name: &str, command: &clap::Command) -> bool {
    command
        .get_arguments()
        .any(|option| option.get_long() == Some(name) && option.get_action().takes_values())
}

/// An address has a port, a list has separators; a bare host name counts when a command follows it. Anything else is
/// left to clap, which then suggests the command that was meant.
fn is_trackers(words: &[OsString], index: usize, command: &clap::Command) -> bool {
    let is_command = |index: usize| {
        words.get(index).and_then(|word| word.to_str()).is_some_and(|word| {
            word == "help" || command.get_subcommands().any(|subcommand| subcommand.get_name() == word)
        })
    };
    let word = words[index].to_string_lossy();
    !is_command(index) && (word.contains([':', ';', ',']) || is_command(index + 1))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use proptest::prelude::*;

    use super::*;
    use crate::args::Cli;

    fn split_line(line: &str) -> (Option<String>, String) {
        let words = line.split_whitespace().map(OsString::from).collect();
        let argv = split(words, &Cli::command());
        let words: Vec<_> = argv.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        (argv.trackers.map(|word| word.into_string().unwrap()), words.join(" "))
    }

    #[track_caller]
    fn assert_split(line: &str, trackers: Option<&str>, rest: &str) {
        assert_eq!(split_line(line), (trackers.map(str::to_owned), rest.to_owned()), "{line}");
    }

    #[test]
    fn an_address_in_front_of_the_command_is_taken_out() {
        assert_split("client 127.0.0.1:21000 groups", Some("127.0.0.1:21000"), "client groups");
        assert_split("client a:1;b:2 delete x y z", Some("a:1;b:2"), "client delete x y z");
        assert_split("client [::1]:21000 groups", Some("[::1]:21000"), "client groups");
        assert_split("client a,b filesize x y z", Some("a,b"), "client filesize x y z");
    }

    #[test]
    fn a_bare_host_name_counts_when_a_command_follows() {
        assert_split("client tracker1 groups", Some("tracker1"), "client groups");
        assert_split("client tracker1 grups", None, "client tracker1 grups");
    }

    #[test]
    fn options_may_stand_in_front() {
        assert_split("client --json a:1 groups", Some("a:1"), "client --json groups");
        assert_split("client -q a:1 groups", Some("a:1"), "client -q groups");
        assert_split("client -q --json a:1 groups", Some("a:1"), "client -q --json groups");
        assert_split("client --timeout 5 a:1 groups", Some("a:1"), "client --timeout 5 groups");
        assert_split("client --timeout=5 a:1 groups", Some("a:1"), "client --timeout=5 groups");
        assert_split("client --trackers a:1 groups", None, "client --trackers a:1 groups");
    }

    #[test]
    fn commands_and_mistakes_are_left_to_clap() {
        assert_split("client", None, "client");
        assert_split("client groups", None, "client groups");
        assert_split("client help upload", None, "client help upload");
        assert_split("client grups", None, "client grups");
        assert_split("client --help", None, "client --help");
        assert_split("client -- a:1 groups", None, "client -- a:1 groups");
        assert_split("client upload app user a:1", None, "client upload app user a:1");
    }

    proptest! {
        #[test]
        fn any_words_are_split_without_loss(
            words in prop::collection::vec("groups|upload|help|--?[a-z]{0,8}|--trackers|a:1|[ -~]{0,6}|\\PC{0,3}", 0..8)
        ) {
            let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
            let argv = split(words.clone(), &Cli::command());
            match &argv.trackers {
                None => prop_assert_eq!(argv.words, words),
                Some(trackers) => {
                    prop_assert_eq!(argv.words.len() + 1, words.len());
                    prop_assert!(words[1..].contains(trackers));
                }
            }
        }
    }
}
