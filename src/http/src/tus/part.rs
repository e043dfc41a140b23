//! The bytes that a request brings.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderName};
use hyper::http::request::Parts as Head;
use tnv_client::{ClientError, Parts, Source};
use tnv_web::inflow::Inflow;
use tnv_web::{Payload, Refusal};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::checksum::PartChecksum;
use super::text;
use crate::service::Gateway;
use crate::upload::length;

const TYPE: &str = "application/offset+octet-stream";
const CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
/// The longest part with a checksum, in bytes: it waits in memory until the checksum is known to be right.
const MAX_CHECKED: u32 = 8 * 1024 * 1024;
/// How much of all such parts may be in memory, in bytes.
const MAX_CHECKING: usize = 32 * 1024 * 1024;

/// What a request brings.
pub(super) struct Part {
    len: u64,
    checksum: Option<PartChecksum>,
}

/// Why a part was not appended.
pub(super) enum Broken {
    Refused(Refusal),
    Failed(ClientError),
}

impl Part {
    /// What the header says of the body, which is to stand at `offset` of `size` bytes.
    pub(super) fn of(request: &Head, payload: &Payload, offset: u64, size: u64) -> Result<Part, Refusal> {
        if request.headers.get(CONTENT_TYPE).is_none_or(|kind| kind != TYPE) {
            let sentence = format!("the Content-Type of a part must be {TYPE}");
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence));
        }
        let len = length(&request.headers, payload)?;
        if offset.checked_add(len).is_none_or(|end| end > size) {
            return Err(Refusal::too_large(format!(
                "{len} bytes from {offset} are more than the upload's {size}"
            )));
        }
        let checksum = match text(&request.headers, CHECKSUM)? {
            "" => None,
            header => Some(PartChecksum::parse(header).map_err(Refusal::bad)?),
        };
        if checksum.is_some() && len > u64::from(MAX_CHECKED) {
            return Err(Refusal::too_large(format!("a part with a checksum may have {MAX_CHECKED} bytes")));
        }
        Ok(Part { len, checksum })
    }

    pub(super) async fn append(
        &self,
        parts: &mut Parts,
        gateway: &Gateway,
        payload: Payload,
    ) -> Result<(), Broken> {
        if self.len == 0 {
            return Ok(());
        }
        let inflow = payload.inflow(gateway.progress_timeout);
        // The room is kept until the storage has the bytes.
        let (source, _room) = match &self.checksum {
            None => (Source::Stream { reader: Box::new(inflow), size: self.len }, None),
            Some(checksum) => {
                let room = gateway.checking.enter(self.len, gateway).await.map_err(Broken::Refused)?;
                let bytes = self.checked(inflow, checksum).await.map_err(Broken::Refused)?;
                (Source::Memory(bytes), Some(room))
            }
        };
        parts.append(source).await.map(drop).map_err(Broken::Failed)
    }

    /// The whole part, which has this checksum.
    async fn checked(&self, mut inflow: Inflow, checksum: &PartChecksum) -> Result<Bytes, Refusal> {
        let mut digest = checksum.digest();
        // It is MAX_CHECKED at most.
        let bytes = inflow.whole_seen(self.len as usize, |chunk| digest.update(chunk)).await?;
        if digest.matches() { Ok(bytes) } else { Err(mismatch()) }
    }
}

/// The memory for parts with a checksum.
pub(crate) struct CheckingRoom(Semaphore);

impl CheckingRoom {
    pub(crate) fn new() -> CheckingRoom {
        CheckingRoom(Semaphore::new(MAX_CHECKING))
    }

    /// Room for a part; nothing of it is read before.
    ///
    /// # Errors
    /// 503 if there is none for too long.
    async fn enter(&self, len: u64, gateway: &Gateway) -> Result<SemaphorePermit<'_>, Refusal> {
        let len = u32::try_from(len).unwrap_or(MAX_CHECKED);
        match timeout(gateway.progress_timeout, self.0.acquire_many(len)).await {
            Ok(Ok(room)) => Ok(room),
            // It is never closed.
            Ok(Err(_)) | Err(_) => {
                let sentence = "too many parts with checksums at once; try again soon, or without a checksum";
                Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, sentence))
            }
        }
    }
}

/// 460, which tus has made up.
fn mismatch() -> Refusal {
    let status = StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST);
    Refusal::new(status, "the part does not have the checksum that it should have; it was dropped")
}
