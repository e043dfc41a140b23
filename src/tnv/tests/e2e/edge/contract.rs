//! The hub is what its OpenAPI document says: Schemathesis makes requests of the document, good ones and bad ones, and
//! looks at every answer.

use super::Site;
use crate::harness::lab::Lab;
use crate::harness::tools::schemathesis;
use crate::harness::web::{Web, get};

const PASSWORD: &str = "of-the-operators";
const KEY: &str = "of-the-nodes";

/// Runs Schemathesis against the hub with the settings beside this file and these as well. `known` names a node and a file
/// that are there, in the environment.
#[track_caller]
fn holds(lab: &Lab, hub: &str, settings: &str, known: &[(&str, &str)], args: &[&str]) {
    let Some(mut schemathesis) = schemathesis() else { return };
    let config = lab.file("schemathesis.toml", format!("{}\n{settings}", include_str!("schemathesis.toml")));
    schemathesis.args(["--config-file", &config, "run", &format!("http://{hub}/openapi.json"), "--no-color"]);
    // It leaves files where it is started.
    schemathesis.args(args).envs(known.iter().copied()).current_dir(lab.path(""));
    let mut process = lab.process("schemathesis", &mut schemathesis);
    let mut said = Vec::new();
    while let Some(line) = process.line("") {
        said.push(line);
    }
    assert!(process.wait().success(), "{}\n{}", said.join("\n"), process.log());
    assert_eq!(get(hub, "/health", &[]).status, 200);
}

/// The id of the file of a meeting.
fn file_of(site: &Site, meeting: &str) -> String {
    let found = get(&site.hub, &format!("/api/v1/meetings/{meeting}"), &[]).json();
    found["files"][0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn every_answer_is_one_that_the_document_has() {
    let lab = Lab::new();
    let site = Site::start(&lab, &[], 1);
    site.meeting("m1", &[7; 300_000]);
    let file = file_of(&site, "m1");
    let known = [("NODE", "node-1"), ("MEETING", "m1"), ("FILE", &*file)];
    // Whoever is on this machine needs no password and no key.
    holds(&lab, &site.hub, "", &known, &[]);
}

/// A hub with a password and a key.
fn guarded_site(lab: &Lab) -> Site {
    let password = format!("hub.admin_password={PASSWORD}");
    let key = format!("hub.api_key={KEY}");
    Site::start(lab, &["--set", &password, "--set", &key], 0)
}

#[test]
fn nothing_that_needs_a_key_or_a_password_is_had_without() {
    let lab = Lab::new();
    let site = guarded_site(&lab);
    let answers = guarded(&site.hub, &[]);
    assert!(answers.len() > 15 && answers.iter().all(|(_, status)| *status == 401), "{answers:?}");
    let answers = guarded(&site.hub, &[("Authorization", "Bearer of-the-nodes?")]);
    assert!(answers.iter().all(|(_, status)| matches!(status, 401 | 403)), "{answers:?}");
    // user:wrong; after some of them it is 429.
    let answers = guarded(&site.hub, &[("Authorization", "Basic dXNlcjp3cm9uZw==")]);
    assert!(answers.iter().all(|(_, status)| matches!(status, 401 | 429)), "{answers:?}");
}

#[test]
fn every_answer_is_one_that_the_document_has_with_a_key_and_a_password_and_without() {
    let lab = Lab::new();
    let site = guarded_site(&lab);
    let kind = ("Content-Type", "application/json");
    let body = format!("{{\"password\": \"{PASSWORD}\"}}");
    let entered = Web::connect(&site.hub).post("/api/v1/admin/session", &[kind], body.as_bytes());
    let cookie = entered.header("set-cookie").unwrap();
    // The cookie counts even after wrong passwords, of which there will be many.
    let session = cookie.split(['=', ';']).nth(1).unwrap();
    let settings = format!(
        "[auth.openapi]\nsession.api_key = {session:?}\napiKey.bearer = {KEY:?}\napiKeyInQuery.api_key = {KEY:?}"
    );
    let known = [("NODE", "none"), ("MEETING", "none"), ("FILE", "none")];
    let fewer = ["--max-examples", "4", "--phases", "coverage,fuzzing"];
    holds(&lab, &site.hub, &settings, &known, &fewer);
    holds(&lab, &site.hub, "", &known, &fewer);
}

/// All operations of the document that ask for something, with a request that shows this.
fn guarded(hub: &str, shown: &[(&str, &str)]) -> Vec<(String, u16)> {
    let document = get(hub, "/openapi.json", &[]).json();
    let mut answers = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if !operation["security"].as_array().unwrap().is_empty() {
                let path = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
                let (method, path) = (method.to_uppercase(), path.collect::<Vec<_>>().join("/"));
                let answer = Web::connect(hub).request(&method, &path, shown);
                answers.push((format!("{method} {path}"), answer.status));
            }
        }
    }
    answers
}
