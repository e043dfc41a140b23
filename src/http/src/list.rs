//! The user's files, page by page.

use hyper::http::request::Parts as Head;
use hyper::{Response, StatusCode};
use serde::Serialize;
use tnv_client::Client;
use tnv_proto::{
    Attributes, ErrorCode, FileId, FileKey, FileList, List, ListOrder, MAX_CURSOR_LEN, MAX_NAME_LEN,
};
use tnv_web::answer::json;
use tnv_web::query::Query;
use tnv_web::{Body, Refusal};

use crate::view::{FileView, Owner};

/// Files on a page, where the request does not say it.
const DEFAULT_LIMIT: u16 = 100;
/// Files that one search looks at, at most; its cursor goes on from there.
const MAX_SEARCHED: usize = 5000;
/// Files that a search asks for at a time.
const SEARCH_PAGE: u16 = 500;

#[derive(Serialize)]
struct Page {
    files: Vec<FileView>,
    next: String,
}

/// Answers a GET of the list.
pub(crate) async fn answer(
    client: &Client,
    owner: &Owner,
    request: &Head,
) -> Result<Response<Body>, Refusal> {
    let (list, search) = parse(Query::new(request.uri.query()), owner).map_err(Refusal::bad)?;
    let found =
        if search.is_empty() { page(client, &list).await? } else { find(client, list, &search).await? };
    let view = |(file, attributes): &(FileId, Attributes)| {
        let key = FileKey { app: owner.app.clone(), user: owner.user.clone(), file: file.clone() };
        FileView::new(&key, attributes, owner)
    };
    json(&Page { files: found.files.iter().map(view).collect(), next: found.next })
}

fn parse(query: Query<'_>, owner: &Owner) -> Result<(List, String), String> {
    let text = |name, max: usize| match query.get(name)?.unwrap_or_default() {
        text if text.len() > max => Err(format!("{name} has more than {max} bytes")),
        text => Ok(text),
    };
    let order = match query.get("order")?.unwrap_or_default().as_str() {
        "" | "newest" => ListOrder::Newest,
        "name" => ListOrder::Name,
        _ => return Err("order is neither newest nor name".to_owned()),
    };
    let limit = match query.get("limit")?.unwrap_or_default().as_str() {
        "" => DEFAULT_LIMIT,
        limit => limit
            .parse()
            .ok()
            .filter(|limit| (1..=List::MAX_LIMIT).contains(limit))
            .ok_or_else(|| format!("limit is no number from 1 to {}", List::MAX_LIMIT))?,
    };
    let list = List {
        app: owner.app.clone(),
        user: owner.user.clone(),
        order,
        limit,
        prefix: text("prefix", MAX_NAME_LEN)?,
        cursor: text("cursor", MAX_CURSOR_LEN)?,
    };
    Ok((list, text("search", MAX_NAME_LEN)?.to_lowercase()))
}

async fn page(client: &Client, list: &List) -> Result<FileList, Refusal> {
    client.list(list).await.map_err(|error| match error.code() {
        Some(ErrorCode::BAD_REQUEST) => Refusal::bad("the cursor is none that a list has given"),
        _ => Refusal::upstream(&error, &"the list of files"),
    })
}

/// The files whose name holds `search`, which is in lower case.
async fn find(client: &Client, mut list: List, search: &str) -> Result<FileList, Refusal> {
    let wanted = usize::from(std::mem::replace(&mut list.limit, SEARCH_PAGE));
    let mut found = FileList::default();
    let mut searched = 0;
    loop {
        let page = page(client, &list).await?;
        let matches: Vec<usize> =
            (0..page.files.len()).filter(|n| page.files[*n].1.name.to_lowercase().contains(search)).collect();
        let room = wanted - found.files.len();
        if matches.len() > room {
            // Too many: this page is asked for again, so short that its cursor goes on behind the last one that fits.
            let shorter = u16::try_from(matches[room - 1] + 1).unwrap_or(u16::MAX);
            if shorter >= list.limit {
                return Err(Refusal::new(
                    StatusCode::BAD_GATEWAY,
                    "a storage sent more files than were asked for",
                ));
            }
            list.limit = shorter;
            continue;
        }
        searched += page.files.len();
        let mut files = page.files;
        let mut n = 0;
        files.retain(|_| {
            n += 1;
            matches.binary_search(&(n - 1)).is_ok()
        });
        found.files.append(&mut files);
        found.next.clone_from(&page.next);
        if page.next.is_empty() || found.files.len() == wanted || searched >= MAX_SEARCHED {
            return Ok(found);
        }
        list.cursor = page.next;
        list.limit = SEARCH_PAGE;
    }
}

#[cfg(test)]
mod tests {
    use tnv_proto::{AppId, UserId};

    use super::*;

    fn parsed(query: &str) -> Result<(List, String), String> {
        let owner = Owner { app: AppId::new("tnvideo").unwrap(), user: UserId::new("tnv001").unwrap() };
        parse(Query::new(Some(query)), &owner)
    }

    #[test]
    fn a_request_is_understood() {
        let (list, search) = parsed("").unwrap();
        assert_eq!((list.order, list.limit), (ListOrder::Newest, 100));
        assert_eq!((list.prefix.as_str(), list.cursor.as_str(), search.as_str()), ("", "", ""));
        let (list, search) =
            parsed("order=name&limit=1000&prefix=a%2Fb&cursor=x+y&search=%C3%89t%C3%A9").unwrap();
        assert_eq!((list.order, list.limit), (ListOrder::Name, 1000));
        assert_eq!((list.prefix.as_str(), list.cursor.as_str(), search.as_str()), ("a/b", "x y", "été"));
    }

    #[test]
    fn mistakes_are_told() {
        let long = format!("prefix={}", "x".repeat(MAX_NAME_LEN + 1));
        for (query, told) in [
            ("order=size", "order is neither newest nor name"),
            ("limit=0", "limit is no number from 1 to 1000"),
            ("limit=1001", "limit is no number from 1 to 1000"),
            ("limit=-1", "limit is no number from 1 to 1000"),
            ("limit=99999999999999999999", "limit is no number from 1 to 1000"),
            ("search=%ff", "search is not UTF-8"),
            (&long, "prefix has more than 1024 bytes"),
        ] {
            assert_eq!(parsed(query).err().as_deref(), Some(told), "{query}");
        }
    }
}
