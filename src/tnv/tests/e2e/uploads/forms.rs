//! POST of a form with the file in it, as browsers, curl and people write them.

use super::{assert_serves, created, listed, up};
use crate::harness::lab::Lab;
use crate::harness::pattern::Pattern;

const FORM: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=X");

/// One part of a form whose boundary is `X`.
fn part(header: &str, contents: &[u8]) -> Vec<u8> {
    [b"--X\r\n", header.as_bytes(), b"\r\n\r\n", contents, b"\r\n"].concat()
}

fn file_part(name: &str, contents: &[u8]) -> Vec<u8> {
    part(&format!("Content-Disposition: form-data; name=\"file\"; filename=\"{name}\""), contents)
}

fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    [&parts.concat()[..], b"--X--\r\n"].concat()
}

#[test]
fn the_part_called_file_is_stored() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    let field = |name: &str, contents: &[u8]| {
        part(&format!("Content-Disposition: form-data; name=\"{name}\""), contents)
    };
    // Contents that look like the form's own text.
    for contents in [&b"plain"[..], b"\r\n--Y--\r\n--", b"", b"\r\n\r\n", &Pattern::new(1, 900_000).bytes()] {
        for before in
            [vec![], vec![field("title", b"holiday")], vec![field("a", b""), field("b", &[0xff; 3000])]]
        {
            let body = form(&[before, vec![file_part("视 1.mp4", contents)]].concat());
            let view = created(&web.post("/files", &[FORM], &body));
            assert_eq!(
                (view["name"].as_str(), view["size"].as_u64()),
                (Some("视 1.mp4"), Some(contents.len() as u64))
            );
            assert_serves(&mut web, &view, contents);
        }
    }
}

#[test]
fn the_type_of_the_part_is_the_files() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    let header = "Content-Type: audio/flac\r\nContent-Disposition: form-data; name=file; filename=a.flac";
    let view = created(&web.post("/files", &[FORM], &form(&[part(header, b"fLaC")])));
    assert_eq!((view["content_type"].as_str(), view["name"].as_str()), (Some("audio/flac"), Some("a.flac")));
}

#[test]
fn forms_that_make_no_sense_are_refused_and_leave_nothing() {
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    let other = part("Content-Disposition: form-data; name=\"other\"", b"x");
    let wide = part("Content-Disposition: form-data; name=\"wide\"", &[b'w'; 2_000_000]);
    let whole = form(&[file_part("f", b"contents")]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no file", form(&[])),
        ("no part called file", form(std::slice::from_ref(&other))),
        ("a file that was not chosen", form(&[file_part("", b"")])),
        ("two files", form(&[file_part("a", b"one"), file_part("b", b"two")])),
        ("something after the file", form(&[file_part("a", b"one"), other])),
        ("too much before the file", form(&[wide, file_part("a", b"one")])),
        ("another boundary", whole.iter().map(|byte| if *byte == b'X' { b'Z' } else { *byte }).collect()),
        ("a form without its end", whole[..whole.len() - 4].to_vec()),
        ("no form at all", b"contents".to_vec()),
        ("nothing", Vec::new()),
    ];
    for (what, body) in cases {
        let mut web = crate::harness::web::Web::connect(&up.http);
        web.post("/files", &[FORM], &body).assert_refused(400, what);
    }
    for kind in
        ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"\u{1}\""]
    {
        let mut web = crate::harness::web::Web::connect(&up.http);
        let answer = web.post("/files", &[("Content-Type", kind)], &whole);
        assert_eq!(answer.status, 400, "{kind:?}: {}", answer.text());
    }
    assert_eq!(listed(&mut web), [""; 0]);
    crate::harness::lab::assert_no_temps(&lab.path("data"));
}
