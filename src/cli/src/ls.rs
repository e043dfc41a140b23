//! `ls`: a user's files.

use indicatif::HumanBytes;
use tnv_proto::{AppId, Attributes, FileId, List, ListOrder, UserId};

use crate::console::{Console, one_line};
use crate::error::Error;
use crate::session::Context;
use crate::stat::{describe, local_time};

/// Whose files are listed where nobody is named: those of the gateway's short addresses, as it is configured unless
/// somebody changed it.
const DEFAULT_APP: &str = "tnvideo";
const DEFAULT_USER: &str = "tnv001";

/// List a user's files
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client TRACKERS ls [OPTIONS] [APP USER]",
    after_help = "\
Each line has a file's size, date, id and name; with --long its size in bytes, date, id, content type, BLAKE3 \
and name. A file without a name counts as one with an empty name. A user without files has an empty list.

Examples:
  client 127.0.0.1:21000 ls tnvideo tnv001
  client 127.0.0.1:21000 ls tnvideo tnv001 --prefix films/ --order name --long
  client 127.0.0.1:21000 ls tnvideo tnv001 --limit 10 --json | jq -r .id"
)]
pub(crate) struct Ls {
    /// The application [default: tnvideo]
    #[arg(requires = "user")]
    app: Option<AppId>,
    /// The user who owns the files [default: tnv001]
    user: Option<UserId>,
    /// Only files whose name begins with this
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,
    /// The youngest first, or by name
    #[arg(long, value_enum, default_value_t = Order::Newest)]
    order: Order,
    /// How many files at most; all of them without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Everything that is known
    #[arg(long, short)]
    long: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Order {
    /// The youngest first
    Newest,
    /// By name, byte by byte
    Name,
}

pub(crate) async fn run(ls: Ls, context: &Context, console: &mut Console) -> Result<(), Error> {
    if ls.prefix.len() > tnv_proto::MAX_NAME_LEN {
        return Err(Error::usage(format!("no name has more than {} bytes", tnv_proto::MAX_NAME_LEN)));
    }
    let mut rest = ls.limit.unwrap_or(u64::MAX);
    let mut list = List {
        app: ls.app.clone().map_or_else(|| AppId::new(DEFAULT_APP), Ok)?,
        user: ls.user.clone().map_or_else(|| UserId::new(DEFAULT_USER), Ok)?,
        order: match ls.order {
            Order::Newest => ListOrder::Newest,
            Order::Name => ListOrder::Name,
        },
        limit: 0,
        prefix: ls.prefix.clone(),
        cursor: String::new(),
    };
    while rest > 0 {
        list.limit = u16::try_from(rest).unwrap_or(List::MAX_LIMIT).min(List::MAX_LIMIT);
        let page = context.client.list(&list).await?;
        for (id, attributes) in page.files.iter().take(usize::from(list.limit)) {
            let line = if ls.long { long(id, attributes) } else { short(id, attributes) };
            console.result(&line, &describe(id, attributes))?;
        }
        rest = rest.saturating_sub(page.files.len() as u64);
        match page.next {
            next if next.is_empty() => break,
            // It would go on for ever.
            next if next == list.cursor => return Err(Error::damaged("the list does not go on")),
            next => list.cursor = next,
        }
    }
    Ok(())
}

fn short(id: &FileId, attributes: &Attributes) -> String {
    let size = HumanBytes(attributes.size).to_string();
    let date = local_time(attributes.created_ms, "%Y-%m-%d %H:%M");
    let (id, name) = (one_line(id.as_str()), one_line(&attributes.name));
    format!("{size:>12}  {date:<16}  {id:<36}  {name}").trim_end().to_owned()
}

fn long(id: &FileId, attributes: &Attributes) -> String {
    let date = local_time(attributes.created_ms, "%Y-%m-%d %H:%M:%S");
    let kind = or_dash(&attributes.content_type);
    let blake3 = if attributes.blake3.is_known() { attributes.blake3.to_string() } else { "-".to_owned() };
    let (id, name) = (one_line(id.as_str()), one_line(&attributes.name));
    format!("{:>15}  {date:<19}  {id:<36}  {kind:<24}  {blake3:<64}  {name}", attributes.size)
        .trim_end()
        .to_owned()
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { one_line(text) }
}
