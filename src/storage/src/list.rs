//! LIST: a user's files, page by page. The cursor is the place in the order where the page before ended, so a page
//! costs the same wherever it lies, and files that come or go in between shift nothing.

use bytes::BytesMut;
use tnv_common::connection::{Interrupt, Reply};
use tnv_proto::{Failure, FileId, FileList, List, ListOrder};

use crate::catalog::{FileRow, Page, Position};
use crate::service::StorageService;

impl StorageService {
    pub(crate) async fn list(&self, request: List) -> Result<Reply, Interrupt> {
        let limit = usize::from(request.limit);
        let after = match request.cursor.as_str() {
            "" => None,
            cursor => Some(read_cursor(request.order, cursor)?),
        };
        let order = request.order;
        let page = Page { order, after, prefix: request.prefix, limit: limit + 1 };
        let mut rows =
            self.files.catalog().list(&request.app, &request.user, page).await.map_err(Failure::from)?;
        // The one too many only says that there is a next page.
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next =
            rows.last().filter(|_| more).map(|(id, row)| write_cursor(order, id, row)).unwrap_or_default();
        let files = rows
            .into_iter()
            // An older server may have stored an id that no request can name.
            .filter_map(|(id, row)| Some((FileId::new(&id).ok()?, row.attributes())))
            .collect();
        let mut body = BytesMut::new();
        FileList { files, next }.encode(&mut body);
        Ok(Reply::Body(body))
    }
}

fn write_cursor(order: ListOrder, id: &str, row: &FileRow) -> String {
    match order {
        ListOrder::Newest => format!("{}:{id}", row.created_ms),
        ListOrder::Name => format!("{}:{}{id}", row.name.len(), row.name),
    }
}

fn read_cursor(order: ListOrder, cursor: &str) -> Result<Position, Failure> {
    let read = || {
        let (number, rest) = cursor.split_once(':')?;
        Some(match order {
            ListOrder::Newest => Position::Age { created_ms: number.parse().ok()?, id: rest.to_owned() },
            ListOrder::Name => {
                let (name, id) = rest.split_at_checked(number.parse().ok()?)?;
                Position::Name { name: name.to_owned(), id: id.to_owned() }
            }
        })
    };
    read().ok_or_else(|| Failure::bad_request("the cursor is not one that a page of this order ended with"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::Location;

    fn row(created_ms: i64, name: &str) -> FileRow {
        FileRow {
            size: 0,
            created_ms,
            crc32: 0,
            blake3: String::new(),
            content_type: String::new(),
            name: name.to_owned(),
            location: Location::Elsewhere,
        }
    }

    proptest! {
        #[test]
        fn cursors_come_back_as_they_were(created_ms in any::<i64>(), name in ".{0,40}", id in ".{1,40}") {
            let row = row(created_ms, &name);
            let by_age = read_cursor(ListOrder::Newest, &write_cursor(ListOrder::Newest, &id, &row));
            prop_assert_eq!(by_age.unwrap(), Position::Age { created_ms, id: id.clone() });
            let by_name = read_cursor(ListOrder::Name, &write_cursor(ListOrder::Name, &id, &row));
            prop_assert_eq!(by_name.unwrap(), Position::Name { name, id });
        }

        #[test]
        fn any_cursor_is_read_or_refused(cursor in ".{0,60}") {
            let _ = read_cursor(ListOrder::Newest, &cursor);
            let _ = read_cursor(ListOrder::Name, &cursor);
        }
    }
}
