//! Files that come and go over HTTP: in one request, as forms, in parts that go on after a break, listed, removed; and
//! every way to do it wrong.

mod forms;
mod kill;
mod list;
mod names;
mod raw;
mod refused;
pub(crate) mod tus;

use serde_json::Value;

use crate::harness::lab::{Lab, Up};
use crate::harness::web::{Response, Web};

/// What an upload in one request was answered: the file's view, after a look at the answer's header.
#[track_caller]
fn created(response: &Response) -> Value {
    assert_eq!(response.status, 201, "{}", response.text());
    let view = response.json();
    assert_eq!(response.header("location"), view["url"].as_str(), "Location is the file's URL");
    view
}

/// The file at a view's URL has these bytes.
#[track_caller]
fn assert_serves(web: &mut Web, view: &Value, contents: &[u8]) {
    let response = web.get(view["url"].as_str().unwrap(), &[]);
    assert_eq!(response.status, 200, "{view}");
    assert!(response.body == contents, "{view}");
    assert_eq!(response.header("content-type"), view["content_type"].as_str(), "{view}");
}

/// All files of the gateway's own user, by name.
#[track_caller]
fn listed(web: &mut Web) -> Vec<String> {
    let page = web.get("/api/files?order=name&limit=1000", &[]).json();
    assert_eq!(page["next"], "", "one page");
    page["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect()
}

fn up(lab: &Lab) -> (Up, Web) {
    let up = lab.up();
    let web = Web::connect(&up.http);
    (up, web)
}
