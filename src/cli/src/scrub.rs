//! `scrub`: storages read all their files again.

use std::time::Duration;

use futures_util::future::join_all;
use indicatif::HumanBytes;
use serde_json::json;
use tnv_client::{ClientError, StorageClient};
use tnv_proto::state::{ScrubPass, ScrubState};
use tokio::time::sleep;

use crate::console::Console;
use crate::error::Error;
use crate::session::Context;

/// Between two questions how far they are.
const POLL: Duration = Duration::from_millis(500);

/// Have storages read all their files again
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client TRACKERS scrub [OPTIONS] [STORAGE]...",
    after_help = "\
Storages do it by themselves every scrub_days. What is damaged or missing is fetched anew where another storage of the group
has it; it shows up here, in the log and in the metrics.

Examples:
  client 127.0.0.1:21000 scrub --wait                # all that are there, and what they found
  client 127.0.0.1:21000 scrub 10.0.0.1:23000        # begin there, and do not wait
  client 127.0.0.1:21000 scrub --status --json"
)]
pub(crate) struct Scrub {
    /// Storages as host:port; all that are active if none is named
    storages: Vec<String>,
    /// Only tell how far they are
    #[arg(long, conflicts_with = "wait")]
    status: bool,
    /// Come back when they are through
    #[arg(long)]
    wait: bool,
}

pub(crate) async fn run(scrub: Scrub, context: &Context, console: &mut Console) -> Result<(), Error> {
    let storages = if scrub.storages.is_empty() { active(context).await? } else { scrub.storages.clone() };
    if storages.is_empty() {
        return Err(Error::local("no storage is active".to_owned()));
    }
    let told = join_all(storages.iter().map(|storage| ask(storage, &scrub, context))).await;
    let mut failed = None;
    for (storage, told) in storages.iter().zip(told) {
        match told {
            Ok(state) => {
                let mut json =
                    serde_json::to_value(&state).map_err(|error| Error::damaged(error.to_string()))?;
                json["storage"] = json!(storage);
                console.result(&line(storage, &state), &json)?;
            }
            Err(error) => {
                if let Some(earlier) = failed.replace(Error::from(error)) {
                    console.report(&earlier);
                }
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn active(context: &Context) -> Result<Vec<String>, Error> {
    let storages = context.client.state().await?.groups.into_iter().flat_map(|group| group.storages);
    let active = storages.filter(|storage| storage.status == "ACTIVE");
    Ok(active.map(|storage| storage.address).collect())
}

async fn ask(storage: &str, scrub: &Scrub, context: &Context) -> Result<ScrubState, ClientError> {
    let storage = StorageClient::new(storage, context.options.clone());
    let mut state = storage.scrub(!scrub.status).await?;
    while scrub.wait && state.running {
        sleep(POLL).await;
        state = storage.scrub(false).await?;
    }
    Ok(state)
}

/// How far a storage is, for people.
fn line(storage: &str, state: &ScrubState) -> String {
    let ScrubPass { files, bytes, damaged, missing, unread, orphans, ended, .. } = &state.pass;
    let what = match (state.running, *ended) {
        (true, _) => "reading",
        (false, 0) => return format!("{storage}: nothing was read yet"),
        (false, _) => "through",
    };
    format!(
        "{storage}: {what}, {files} files, {}; {damaged} damaged, {missing} missing, {unread} not readable, {orphans} without a row",
        HumanBytes(*bytes)
    )
}
