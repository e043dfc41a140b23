//! Logs: what is logged, in which form, and where to.
//!
//! Events go through a bounded queue to a thread of their own, so that neither a slow disk nor a stuck terminal ever
//! holds up a request; what does not fit is dropped, counted and reported. Logs go to standard error or to a file,
//! never to standard output. Until [`init`] is called, `tracing::error!` and the like do nothing.

mod named;
mod panic;
mod queue;
mod rotate;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;

use tracing_subscriber::filter::{EnvFilter, LevelFilter, ParseError};
use tracing_subscriber::fmt::{self, format::Writer, time::FormatTime};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::Settings;

use named::Named;
use queue::Queue;
use rotate::RotatingFile;

pub use queue::Guard;
pub use rotate::{RotateEvery, Rotation};

/// How one process logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A level, or directives such as `info,tnv_storage=debug`.
    pub level: String,
    /// The form of a line.
    pub format: LogFormat,
    /// The file to log to; `None` means standard error.
    pub file: Option<PathBuf>,
    /// When the file is set aside and how many of its kind stay.
    pub rotation: Rotation,
}

impl LogConfig {
    /// Reads the keys `log.*`. The environment variable `RUST_LOG`, if set, wins over every `log.level`.
    pub fn read(settings: &mut Settings) -> LogConfig {
        let default = LogConfig::default();
        settings.set_from_variable("log.level", "RUST_LOG");
        let mut level = settings.text("log.level", &default.level);
        if let Err(error) = parse_filter(&level) {
            settings.problem("log.level", error);
            level = default.level;
        }
        let rotation = default.rotation;
        LogConfig {
            level,
            format: settings.parse("log.format", default.format),
            file: settings.optional_path("log.file").map(|path| path.resolved),
            rotation: Rotation {
                size: settings.size("log.rotate_size", rotation.size, 0..=u64::MAX),
                every: settings.parse("log.rotate_every", rotation.every),
                keep: settings.number("log.keep", rotation.keep, 0..=1000),
            },
        }
    }
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            level: "info".to_owned(),
            format: LogFormat::Text,
            file: None,
            rotation: Rotation { size: 100 * 1024 * 1024, every: RotateEvery::Daily, keep: 10 },
        }
    }
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: time, level, target, message, fields.
    Text,
    /// For machines: one JSON object.
    Json,
    /// As Python's logging writes it by default, under a name: `2023-05-15 10:15:30 - name - INFO - message`, in local
    /// time.
    Named(&'static str),
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<LogFormat, &'static str> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("write text or json"),
        }
    }
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level or one of the directives is none.
    #[error(transparent)]
    Level(#[from] LevelError),
    /// The log file cannot be opened or created.
    #[error("cannot open the log file {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The thread that writes the log cannot be started.
    #[error("cannot start the log writer: {0}")]
    Thread(io::Error),
    /// Something in this process already receives its events.
    #[error("logging is already set up in this process")]
    AlreadySet,
}

/// Why a log level is none.
#[derive(Debug, thiserror::Error)]
pub enum LevelError {
    /// A single word that is not a level. It would name a target, and silence everything else.
    #[error("{0:?} is not a log level; write error, warn, info, debug, trace, off, or target=level")]
    Word(String),
    /// A directive that does not parse.
    #[error("not a list of log directives: {0}")]
    Directive(#[from] ParseError),
}

/// Starts logging for the whole process, panics included. The log ends when the guard is dropped: keep it until the
/// end of `main`, and do not leave by `std::process::exit` before.
///
/// # Errors
/// A level that is none, a log file that cannot be opened, or a second call in the same process.
pub fn init(config: &LogConfig) -> Result<Guard, TelemetryError> {
    let filter = parse_filter(&config.level)?;
    let colours = config.file.is_none() && io::stderr().is_terminal() && !no_color();
    let (queue, guard) = match &config.file {
        Some(path) => {
            let file = RotatingFile::open(path.clone(), config.rotation)
                .map_err(|source| TelemetryError::Open { path: path.clone(), source })?;
            Queue::start(file)
        }
        None => Queue::start(io::stderr()),
    }
    .map_err(TelemetryError::Thread)?;
    let lines = fmt::layer().with_timer(UtcMillis).with_writer(queue);
    let lines = match config.format {
        LogFormat::Text => lines.with_ansi(colours).boxed(),
        LogFormat::Json => lines.with_ansi(false).json().flatten_event(true).boxed(),
        LogFormat::Named(name) => lines.with_ansi(false).event_format(Named(name)).boxed(),
    };
    let (filter, handle) = reload::Layer::new(filter);
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    subscriber.try_init().map_err(|_| TelemetryError::AlreadySet)?;
    let _ = FILTER.set(handle);
    panic::log_panics(config.file.is_some());
    Ok(guard)
}

/// The filter of this process, once it logs.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Logs at another level from now on, as [`LogConfig::level`]. Where nothing is logged yet nothing changes.
///
/// # Errors
/// A level that is none.
pub fn set_level(level: &str) -> Result<(), LevelError> {
    let filter = parse_filter(level)?;
    if let Some(handle) = FILTER.get() {
        // It fails only where the subscriber is gone, and then nobody logs.
        let _ = handle.reload(filter);
    }
    Ok(())
}

fn parse_filter(level: &str) -> Result<EnvFilter, LevelError> {
    let is_level = |word: &str| !word.is_empty() && LevelFilter::from_str(word).is_ok();
    let mut words = level.split(',').map(str::trim).filter(|word| !word.contains(['=', '[']));
    if let Some(word) = words.find(|word| !is_level(word)) {
        return Err(LevelError::Word(word.to_owned()));
    }
    // What the driver calls an error is often none, such as a pooled connection that died; our own lines say what matters.
    Ok(EnvFilter::builder().parse(format!("mysql_async=off,{level}"))?)
}

/// The convention of no-color.org.
fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// UTC with milliseconds: `2026-01-31T23:59:59.999Z`.
struct UtcMillis;

impl FormatTime for UtcMillis {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{:.3}", jiff::Timestamp::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (LogConfig, String) {
        let mut settings = Settings::built_in("tracker");
        pairs.iter().for_each(|(key, value)| settings.set(key, value, &format!("--set {key}")));
        let config = LogConfig::read(&mut settings);
        (config, settings.finish().map_or_else(|problems| problems.to_string(), |()| String::new()))
    }

    #[test]
    fn every_key_is_read() {
        assert_eq!(read(&[]), (LogConfig::default(), String::new()));
        let (config, problems) = read(&[
            ("log.level", "warn,tnv_storage=debug"),
            ("log.format", "json"),
            ("log.file", "/var/log/x.log"),
            ("log.rotate_size", "1MiB"),
            ("log.rotate_every", "hourly"),
            ("log.keep", "3"),
        ]);
        assert_eq!(problems, "");
        let expected = LogConfig {
            level: "warn,tnv_storage=debug".into(),
            format: LogFormat::Json,
            file: Some("/var/log/x.log".into()),
            rotation: Rotation { size: 1 << 20, every: RotateEvery::Hourly, keep: 3 },
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn mistakes_say_what_to_write_instead() {
        let (config, problems) = read(&[
            ("log.level", "inof"),
            ("log.format", "xml"),
            ("log.file", ""),
            ("log.rotate_every", "weekly"),
            ("log.keep", "1001"),
        ]);
        assert_eq!(config, LogConfig::default());
        assert_eq!(
            problems.lines().collect::<Vec<_>>(),
            [
                "--set log.format: \"xml\" is not valid: write text or json",
                "--set log.keep: 1001 is out of range; allowed is 0 to 1000",
                "--set log.level: \"inof\" is not a log level; write error, warn, info, debug, trace, off, or \
                 target=level",
                "--set log.rotate_every: \"weekly\" is not valid: write never, hourly or daily",
            ]
        );
    }

    #[test]
    fn a_filter_is_levels_and_directives_never_a_lone_target() {
        for good in ["info", "WARN", "off", "info,hyper=warn", "tnv_http[get{size}]=trace"] {
            assert!(parse_filter(good).is_ok(), "{good}");
        }
        for bad in ["", "tnv_storage", "info,", "info,tnv_storage", "tnv_storage=loud", "info;warn"] {
            assert!(parse_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rust_log_wins_and_its_mistakes_carry_its_name() {
        let settings = |value: &str| {
            let environment =
                vec![("RUST_LOG".into(), value.into()), ("TNV_ID_LOG_LEVEL".into(), "debug".into())];
            let overrides = vec![("log.level".into(), "error".into(), "--set log.level".into())];
            Settings::load("id", crate::config::Sources { environment, overrides, ..Default::default() })
        };
        assert_eq!(LogConfig::read(&mut settings("trace")).level, "trace");
        assert_eq!(LogConfig::read(&mut settings("")).level, "error");
        let mut bad = settings("a=loud");
        LogConfig::read(&mut bad);
        let problems = bad.finish().unwrap_err().to_string();
        assert!(problems.starts_with("environment RUST_LOG: not a list of log directives: "), "{problems}");
    }

    #[test]
    fn time_is_utc_with_milliseconds() {
        let mut text = String::new();
        UtcMillis.format_time(&mut Writer::new(&mut text)).unwrap();
        assert_eq!(
            (text.len(), text.get(10..11), text.get(19..20), text.get(23..)),
            (24, Some("T"), Some("."), Some("Z"))
        );
    }
}
