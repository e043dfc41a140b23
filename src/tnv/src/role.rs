//! One server in a process of its own.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tnv_common::args::ServerArgs;
use tnv_common::config::Settings;
use tnv_common::reactors::Reactors;
use tnv_common::server::BindError;
use tnv_common::telemetry::{self, LogConfig};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Threads for blocking work such as disk I/O, at most.
const MAX_BLOCKING_THREADS: usize = 128;

/// Signals so close to each other are one.
const SAME_WISH: Duration = Duration::from_millis(300);

/// The servers that have a process of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    Tracker,
    Id,
    Storage,
    Http,
    Hub,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Tracker => "tracker",
            Role::Id => "id",
            Role::Storage => "storage",
            Role::Http => "http",
            Role::Hub => "hub",
        }
    }
}

/// A role's config, read but not started.
pub(crate) enum Config {
    Tracker(tnv_tracker::Config),
    Id(tnv_id::Config),
    Storage(tnv_storage::Config),
    Http(tnv_http::Config),
    Hub(Box<tnv_hub::Config>),
}

impl Config {
    pub(crate) fn read(role: Role, settings: &mut Settings) -> Config {
        match role {
            Role::Tracker => Config::Tracker(tnv_tracker::Config::read(settings)),
            Role::Id => Config::Id(tnv_id::Config::read(settings)),
            Role::Storage => Config::Storage(tnv_storage::Config::read(settings)),
            Role::Http => Config::Http(tnv_http::Config::read(settings)),
            Role::Hub => Config::Hub(Box::new(tnv_hub::Config::read(settings))),
        }
    }

    /// Looks at database and cache without changing them: what was found there, or what a start would stumble over.
    async fn look(&self) -> Vec<Result<String, String>> {
        let (database, schema, cache) = match self {
            Config::Tracker(config) => (&config.database, &tnv_tracker::SCHEMA, Some(&config.cache)),
            Config::Id(config) => (&config.database, &tnv_id::SCHEMA, None),
            Config::Storage(config) => (&config.database, &tnv_storage::SCHEMA, Some(&config.cache)),
            Config::Http(config) => return vec![named("sessions", config.sessions.check().await)],
            Config::Hub(config) => (&config.database, &tnv_hub::SCHEMA, None),
        };
        let mut found = vec![database.check(schema).await.map_err(|error| error.to_string())];
        if let Some(cache) = cache {
            found.push(named("cache", cache.check().await));
        }
        found
    }

    /// Brings the tables up to date: what was done.
    async fn migrate(&self) -> anyhow::Result<String> {
        Ok(match self {
            Config::Tracker(config) => config.database.migrate(&tnv_tracker::SCHEMA).await?,
            Config::Id(config) => config.database.migrate(&tnv_id::SCHEMA).await?,
            Config::Storage(config) => config.database.migrate(&tnv_storage::SCHEMA).await?,
            Config::Http(_) => bail!("--migrate: a gateway has no tables"),
            Config::Hub(config) => config.database.migrate(&tnv_hub::SCHEMA).await?,
        })
    }

    /// Opens what the server needs and starts to listen.
    pub(crate) async fn bind(self) -> anyhow::Result<Server> {
        Ok(match self {
            Config::Tracker(config) => Server::Tracker(tnv_tracker::Tracker::bind(config).await?),
            Config::Id(config) => Server::Id(tnv_id::IdServer::bind(config).await?),
            Config::Storage(config) => Server::Storage(Box::new(tnv_storage::Storage::bind(config).await?)),
            Config::Http(config) => Server::Http(tnv_http::Server::bind(config).await?),
            Config::Hub(config) => Server::Hub(Box::new(tnv_hub::Hub::bind(*config).await?)),
        })
    }
}

/// The address that a server could not have, if that is why it does not start.
pub(crate) fn bind_error(error: &anyhow::Error) -> Option<&BindError> {
    if let Some(tnv_tracker::StartError::Bind(bind)) = error.downcast_ref() {
        return Some(bind);
    }
    if let Some(tnv_id::StartError::Bind(bind)) = error.downcast_ref() {
        return Some(bind);
    }
    if let Some(tnv_storage::StartError::Bind(bind)) = error.downcast_ref() {
        return Some(bind);
    }
    if let Some(tnv_hub::StartError::Bind(bind)) = error.downcast_ref() {
        return Some(bind);
    }
    match error.downcast_ref() {
        Some(tnv_http::HttpError::Bind(bind)) => Some(bind),
        _ => None,
    }
}

/// A server that listens.
pub(crate) enum Server {
    Tracker(tnv_tracker::Tracker),
    Id(tnv_id::IdServer),
    Storage(Box<tnv_storage::Storage>),
    Http(tnv_http::Server),
    Hub(Box<tnv_hub::Hub>),
}

impl Server {
    pub(crate) fn local_addr(&self) -> SocketAddr {
        match self {
            Server::Tracker(server) => server.local_addr(),
            Server::Id(server) => server.local_addr(),
            Server::Storage(server) => server.local_addr(),
            Server::Http(server) => server.local_addr(),
            Server::Hub(server) => server.local_addr(),
        }
    }

    pub(crate) async fn run(self, shutdown: CancellationToken) {
        match self {
            Server::Tracker(server) => server.run(shutdown).await,
            Server::Id(server) => server.run(shutdown).await,
            Server::Storage(server) => server.run(shutdown).await,
            Server::Http(server) => server.run(shutdown).await,
            Server::Hub(server) => server.run(shutdown).await,
        }
    }
}

/// Runs one server until it is told to stop.
pub(crate) fn run(role: Role, args: &ServerArgs) -> anyhow::Result<()> {
    let mut settings = args.settings(role.name());
    let file = settings.file().map(Path::to_owned);
    let log = LogConfig::read(&mut settings);
    let config = Config::read(role, &mut settings);
    settings.finish()?;
    let source = file.map_or("built-in defaults".to_owned(), |file| file.display().to_string());
    if args.check {
        return check(&config, &format!("the {} configuration ({source})", role.name()));
    }
    let _log = telemetry::init(&log).context("cannot start logging")?;
    if args.migrate {
        return say(&runtime()?.block_on(config.migrate())?);
    }
    let _reactors = reactors()?;
    runtime()?.block_on(async {
        let stop = stop_signal()?;
        tracing::info!(config = source, role = role.name(), "starting");
        let server = config.bind().await?;
        say(&format!("ready {}", server.local_addr()))?;
        server.run(stop).await;
        Ok(())
    })
}

fn named(what: &str, found: Result<String, String>) -> Result<String, String> {
    found.map(|found| format!("{what} {found}")).map_err(|mistake| format!("{what} {mistake}"))
}

/// Says what was found, then every mistake at once.
fn check(config: &Config, what: &str) -> anyhow::Result<()> {
    let (found, mistakes): (Vec<_>, Vec<_>) =
        runtime()?.block_on(config.look()).into_iter().partition(Result::is_ok);
    for line in found.into_iter().flatten() {
        say(&line)?;
    }
    let mistakes: Vec<String> = mistakes.into_iter().filter_map(Result::err).collect();
    if mistakes.is_empty() { say(&format!("ok: {what} has no mistakes")) } else { bail!(mistakes.join("\n")) }
}

/// Where connections run, until it is dropped.
pub(crate) fn reactors() -> anyhow::Result<Reactors> {
    Reactors::start(MAX_BLOCKING_THREADS).context("cannot start the reactors")
}

/// Where all else runs, and the threads for its blocking work.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tnv_common::host::raise_open_file_limit();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .build()
        .context("cannot start the runtime")
}

/// Is cancelled by the first SIGTERM or SIGINT; a second one ends the process at once.
pub(crate) fn stop_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        let mut stopping: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            match stopping {
                None => stopping = Some(Instant::now()),
                // Some send the signal to the process and to its group: that is one wish, not two.
                Some(since) if since.elapsed() < SAME_WISH => continue,
                Some(_) => std::process::exit(130),
            }
            tracing::info!(
                "stopping: running transfers may finish (drain_timeout); a second signal stops at once"
            );
            token.cancel();
        }
    });
    Ok(stop)
}

/// Prints a line on standard output, at once. A reader that has gone is no reason to stop serving.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to stdout")
        }
        _ => Ok(()),
    }
}
