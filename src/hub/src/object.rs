//! Answers with bytes of packages and files.

use hyper::http::request::Parts as Head;
use hyper::{Response, StatusCode};
use tnv_web::body::{Body, Follower, Piece};
use tnv_web::range::ByteRange;
use tnv_web::representation::{Plan, Representation};

use crate::downloads::Subject;
use crate::refusal::{self, Refusal};
use crate::service::Service;

/// Sends an object, or what is asked of it. `cut` makes the piece of a range.
pub(crate) async fn send(
    service: &Service,
    shown: &Representation,
    request: &Head,
    cut: impl Fn(ByteRange) -> Piece,
    subject: Subject,
) -> Result<Response<Body>, Refusal> {
    let extent = match shown.plan(request, service.max_ranges)? {
        Plan::Headed(response) => return Ok(response),
        Plan::Bytes(extent) => extent,
    };
    let name = subject.name();
    let room = service.downloads.room(extent.len()).await.ok_or_else(|| {
        let detail = "as many downloads are under way as there is memory for (send_memory); try again soon";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    let mut followed = service.downloads.begin(Subject { size: extent.len(), ..subject }, room);
    match Body::open(extent.pieces(cut)).await {
        Ok(body) => Ok(shown.with_bytes(&extent, request, body.followed(followed))),
        Err(error) => {
            followed.failed(&error);
            Err(refusal::upstream(&error, &name))
        }
    }
}
