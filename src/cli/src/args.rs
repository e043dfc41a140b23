//! The command line as types.

use std::ffi::OsString;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};
use tnv_client::{Options, parse_addresses};
use tnv_proto::{AppId, FileId, FileKey, UserId};

use crate::argv;
use crate::error::Error;
use crate::{cat, delete, download, fetch, filesize, groups, ls, member, scrub, shell, stat, upload};

/// The environment variable with the trackers, for those who give none on the command line.
pub(crate) const TRACKERS_VARIABLE: &str = "TNV_TRACKERS";

const HELP: &str = "\
Trackers are host:port, several separated by ; or , (quote the ;). They stand in front of the command, \
behind --trackers, or in the environment variable TNV_TRACKERS, and are tried in turn until one answers.

Examples:
  client 127.0.0.1:21000 groups
  client 127.0.0.1:21000 upload tnvideo tnv001 003.mp4
  client 127.0.0.1:21000 ls tnvideo tnv001
  client 10.0.0.1:21000,10.0.0.2:21000 download tnvideo tnv001 FILE
  client fetch http://10.0.0.1:8080/files/FILE http://10.0.0.2:8080/files/FILE
  client upload --help

Exit codes:
  0    done
  1    local error: a file cannot be read or written, exists, or has no space
  2    usage: the command line makes no sense
  3    not found: there is no such file
  4    refused by the server
  5    unreachable: no server could be reached, or none answered in time
  6    damaged: wrong checksum or length, or an answer that makes no sense;
       uncertain: nobody knows whether an upload was stored
  7    no room on the disk (fetch)
  8    changed: the file is another one than it was or should be (fetch)
  9    timeout: not done within --timeout (fetch)
  10   no servers: there is nobody to ask (fetch)
  130  stopped by Ctrl-C (128 + n: by signal n)
  141  the reader of standard output has gone";

/// Store, fetch, list and delete files of a tnv cluster; fetch one file from many servers; look after storages.
#[derive(Debug, clap::Parser)]
#[command(
    name = "client",
    version,
    override_usage = "client [OPTIONS] TRACKERS COMMAND ...",
    after_help = HELP,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
    /// The trackers in front of the command.
    #[arg(skip)]
    leading: Option<OsString>,
}

/// What there is to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Groups(groups::Groups),
    Upload(Box<upload::Upload>),
    Download(download::Download),
    Fetch(Box<fetch::Fetch>),
    Cat(cat::Cat),
    Ls(ls::Ls),
    Stat(stat::Stat),
    Filesize(filesize::Filesize),
    Delete(delete::Delete),
    Scrub(scrub::Scrub),
    Drain(member::Drain),
    Undrain(member::Undrain),
    Remove(member::Remove),
    Completions(shell::Completions),
    Man(shell::ManPage),
}

/// Options that every command takes, in front of it or behind.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Global {
    /// Trackers as host:port, several separated by ; or ,
    #[arg(long, global = true, value_name = "LIST")]
    trackers: Option<OsString>,
    /// Print one JSON object per result, and errors as JSON objects on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but results and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Seconds until a connection must stand [default: 3]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    connect_timeout: Option<Duration>,
    /// Seconds a server may stay silent [default: 60 within a transfer, 30 before a reply, 120 after an upload]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
}

/// The three ids of a file.
#[derive(Debug, clap::Args)]
pub(crate) struct FileArgs {
    /// The application, such as tnvideo
    app: AppId,
    /// The user who owns the file, such as tnv001
    user: UserId,
    /// The file id that upload printed
    file: FileId,
}

impl FileArgs {
    pub(crate) fn key(&self) -> FileKey {
        FileKey { app: self.app.clone(), user: self.user.clone(), file: self.file.clone() }
    }
}

/// Reads a command line whose first word is the program's name.
///
/// # Errors
/// Help and version as well as mistakes, as clap tells them apart.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Cli, clap::Error> {
    let command = Cli::command();
    let argv = argv::split(words, &command);
    let mut cli = Cli::from_arg_matches(&command.try_get_matches_from(argv.words)?)?;
    cli.leading = argv.trackers;
    Ok(cli)
}

/// Whether `--json` is among the options, for a command line that may not even make sense.
pub(crate) fn wants_json(words: &[OsString]) -> bool {
    words.iter().skip(1).take_while(|word| *word != "--").any(|word| word == "--json")
}

/// What clap has to say, without its advice on usage.
pub(crate) fn usage_error(refusal: &clap::Error) -> Error {
    let text = refusal.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = first.trim_start_matches("error: ").split_whitespace().collect();
    Error::usage(words.join(" "))
}

impl Cli {
    /// The trackers' addresses; `environment` is the value of [`TRACKERS_VARIABLE`].
    ///
    /// # Errors
    /// A usage error if they are given twice, not at all, or malformed.
    pub(crate) fn trackers(&self, environment: Option<OsString>) -> Result<Vec<String>, Error> {
        let given = match (&self.leading, &self.global.trackers) {
            (Some(_), Some(_)) => {
                return Err(Error::usage(
                    "trackers are given twice: in front of the command and by --trackers",
                ));
            }
            (Some(list), None) | (None, Some(list)) => Some(list.clone()),
            (None, None) => environment.filter(|list| !list.is_empty()),
        };
        if let Command::Fetch(fetch) = &self.command
            && !fetch.is_of_cluster()
        {
            return Ok(Vec::new());
        }
        let Some(list) = given else {
            return Err(Error::usage(format!(
                "no tracker given: put it in front of the command, as in `client 127.0.0.1:21000 groups`, \
                 use --trackers, or set {TRACKERS_VARIABLE}"
            )));
        };
        parse_addresses(&list.to_string_lossy()).map_err(|error| Error::usage(format!("trackers: {error}")))
    }
}

impl Global {
    /// Time limits for the client library.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::default();
        if let Some(limit) = self.connect_timeout {
            options.connect_timeout = limit;
        }
        if let Some(limit) = self.timeout {
            options.reply_timeout = limit;
            options.upload_reply_timeout = limit;
            options.progress_timeout = limit;
        }
        options
    }
}

/// Reads a number of seconds, with or without a fraction: 0.001 to a day.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    const LIMITS: std::ops::RangeInclusive<f64> = 0.001..=86_400.0;
    match text.parse::<f64>() {
        Ok(number) if LIMITS.contains(&number) => Ok(Duration::from_secs_f64(number)),
        _ => Err("it must be a number of seconds from 0.001 to 86400".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;
    use proptest::prelude::*;

    use super::*;

    fn parse_line(line: &str) -> Result<Cli, clap::Error> {
        parse(line.split(' ').map(OsString::from).collect())
    }

    fn trackers(line: &str, environment: Option<&str>) -> Result<Vec<String>, Error> {
        parse_line(line).unwrap().trackers(environment.map(OsString::from))
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_documented_lines_parse() {
        for line in [
            "client 127.0.0.1:21000 groups",
            "client 127.0.0.1:21000 upload tnvideo tnv001 /tmp/003.mp4 0 0",
            "client 127.0.0.1:21000 upload tnvideo tnv001 a b c --json",
            "client 127.0.0.1:21000 upload --id mine tnvideo tnv001 a",
            "client 127.0.0.1:21000 filesize tnvideo tnv001 f",
            "client 127.0.0.1:21000 download tnvideo tnv001 f 10 20 -o -",
            "client 127.0.0.1:21000 download tnvideo tnv001 f -o x --force",
            "client 127.0.0.1:21000 delete tnvideo tnv001 f",
            "client 127.0.0.1:21000 download tnvideo tnv001 f g h -o folder --jobs 3",
            "client 127.0.0.1:21000 cat tnvideo tnv001 f 10 20",
            "client 127.0.0.1:21000 ls",
            "client 127.0.0.1:21000 ls tnvideo tnv001 --prefix a/ --order name --limit 10 --long",
            "client 127.0.0.1:21000 stat tnvideo tnv001 f",
            "client 127.0.0.1:21000 upload tnvideo tnv001 -r films --jobs 4 --part-size 8M --no-resume",
            "client 127.0.0.1:21000 upload tnvideo tnv001 a --name film --type video/mp4",
            "client groups --trackers 127.0.0.1:21000 --timeout 2.5 --connect-timeout 1 -q",
            "client 127.0.0.1:21000 drain 10.0.0.3:23000 --wait",
            "client 127.0.0.1:21000 drain 8b209875 --force --json",
            "client 127.0.0.1:21000 undrain 10.0.0.3:23000",
            "client 127.0.0.1:21000 remove 8b209875 --force",
            "client 127.0.0.1:21000 fetch tnvideo tnv001 f --parallel 3 --timeout 60 --connect-timeout 1",
        ] {
            let cli = parse_line(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(cli.trackers(None).unwrap(), ["127.0.0.1:21000"], "{line}");
        }
    }

    #[test]
    fn mistakes_are_usage_errors() {
        for (line, kind) in [
            ("client", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            ("client a:1", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            ("client a:1 grups", ErrorKind::InvalidSubcommand),
            ("client a:1 groups more", ErrorKind::UnknownArgument),
            ("client a:1 cat app user file 10", ErrorKind::MissingRequiredArgument),
            ("client a:1 download app user file 10 -5", ErrorKind::UnknownArgument),
            ("client a:1 cat app user file 10 9223372036854775808", ErrorKind::ValueValidation),
            ("client a:1 ls app", ErrorKind::MissingRequiredArgument),
            ("client a:1 ls app user --limit 0", ErrorKind::ValueValidation),
            ("client a:1 ls app user --order size", ErrorKind::InvalidValue),
            ("client a:1 upload app user a --jobs 0", ErrorKind::ValueValidation),
            ("client a:1 upload app user a --part-size 1", ErrorKind::ValueValidation),
            ("client a:1 filesize no-app user file", ErrorKind::ValueValidation),
            ("client a:1 filesize app user", ErrorKind::MissingRequiredArgument),
            ("client a:1 upload app user", ErrorKind::MissingRequiredArgument),
            ("client fetch", ErrorKind::MissingRequiredArgument),
            ("client fetch http://a/f --parallel 0", ErrorKind::ValueValidation),
            ("client fetch http://a/f --checksum crc:00", ErrorKind::ValueValidation),
            ("client fetch f --base http://10.0.0.1 --count 255", ErrorKind::ValueValidation),
            ("client fetch f --count 3", ErrorKind::MissingRequiredArgument),
            ("client a:1 groups --timeout 0", ErrorKind::ValueValidation),
            ("client a:1 groups --timeout inf", ErrorKind::ValueValidation),
            ("client a:1 groups --connect-timeout NaN", ErrorKind::ValueValidation),
        ] {
            let error = parse_line(line).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (kind, 2), "{line}");
        }
    }

    #[test]
    fn bad_ids_are_refused_in_the_words_of_the_protocol() {
        let refusal = parse_line("client a:1 filesize no-app user file").unwrap_err();
        let error = usage_error(&refusal);
        assert!(error.text.contains("the app id must be letters A-Z, a-z and digits only"), "{error}");
        assert!(!error.text.contains("--help"), "{error}");
    }

    #[test]
    fn trackers_come_from_the_line_or_else_from_the_environment() {
        assert_eq!(trackers("client a:1;b:2 groups", Some("c:3")).unwrap(), ["a:1", "b:2"]);
        assert_eq!(trackers("client groups --trackers a:1,b:2", Some("c:3")).unwrap(), ["a:1", "b:2"]);
        assert_eq!(trackers("client --trackers a:1 groups", None).unwrap(), ["a:1"]);
        assert_eq!(trackers("client groups", Some("c:3")).unwrap(), ["c:3"]);
        assert!(trackers("client groups", Some("")).unwrap_err().text.contains("no tracker given"));
        assert!(trackers("client groups", None).unwrap_err().text.contains("no tracker given"));
        assert!(trackers("client a:1 groups --trackers b:2", None).unwrap_err().text.contains("twice"));
        assert!(trackers("client a:x groups", None).unwrap_err().text.contains("trackers:"));
    }

    #[test]
    fn timeouts_reach_the_library() {
        let options =
            parse_line("client a:1 groups --timeout 2.5 --connect-timeout 1").unwrap().global.options();
        assert_eq!(options.connect_timeout, Duration::from_secs(1));
        assert_eq!(options.reply_timeout, Duration::from_millis(2500));
        assert_eq!(options.upload_reply_timeout, Duration::from_millis(2500));
        assert_eq!(options.progress_timeout, Duration::from_millis(2500));
    }

    #[test]
    fn fetch_needs_trackers_for_files_of_a_cluster_alone() {
        for line in
            ["fetch http://a/f http://b/f http://c/f", "fetch x.meta4", "fetch --base http://10.0.0.1 a b c"]
        {
            assert_eq!(trackers(&format!("client {line}"), None).unwrap(), Vec::<String>::new(), "{line}");
        }
        assert!(trackers("client fetch tnvideo tnv001 f", None).is_err());
        assert_eq!(trackers("client fetch tnvideo tnv001 f", Some("c:3")).unwrap(), ["c:3"]);
    }

    #[test]
    fn the_help_tells_the_limits_that_hold() {
        let defaults = Options::default();
        let help =
            Cli::command().render_long_help().to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(&format!("[default: {}]", defaults.connect_timeout.as_secs())));
        assert!(help.contains(&format!(
            "[default: {} within a transfer, {} before a reply, {} after an upload]",
            defaults.progress_timeout.as_secs(),
            defaults.reply_timeout.as_secs(),
            defaults.upload_reply_timeout.as_secs()
        )));
    }

    #[test]
    fn json_is_noticed_even_where_the_rest_makes_no_sense() {
        let wants = |line: &str| wants_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(wants("client --json nonsense"));
        assert!(wants("client a:1 upload app --json"));
        assert!(!wants("client a:1 upload app user -- --json"));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(words in prop::collection::vec(
            "groups|upload|filesize|download|fetch|http://a/b|delete|scrub|ls|cat|stat|man|completions|bash|-r|help|-o|-|--|--id|--json|--trackers|--timeout|a:1|app|0|-1|\\PC{0,6}",
            0..9,
        )) {
            let words: Vec<OsString> = std::iter::once("client".into()).chain(words.into_iter().map(OsString::from)).collect();
            match parse(words) {
                Ok(cli) => drop(cli.trackers(None)),
                Err(refusal) => drop(usage_error(&refusal)),
            }
        }
    }
}
