//! What the bytes of a file tell of it, taken in passing.

use tnv_proto::Checksum;

use crate::content_type::{SNIFF_LEN, sniff};
use crate::sums::{Summing, Sums};

/// What is known of a file that has come in whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The CRC32 (IEEE) of its bytes.
    pub crc32: u32,
    /// The BLAKE3 of its bytes.
    pub blake3: Checksum,
    /// What its first bytes say it is.
    pub content_type: &'static str,
    /// Of its blocks.
    pub sums: Sums,
}

impl Received {
    /// What these bytes tell, which are the whole.
    pub(crate) fn of(bytes: &[u8]) -> Received {
        Received {
            crc32: crc32fast::hash(bytes),
            blake3: Checksum(*blake3::hash(bytes).as_bytes()),
            content_type: sniff(bytes),
            // What fits into memory is one block.
            sums: Sums::default(),
        }
    }
}

/// The same for bytes that come one after the other.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    sums: Summing,
    blake3: blake3::Hasher,
    /// The first bytes, which tell the content type.
    head: Vec<u8>,
}

impl Digest {
    /// Takes the next bytes in.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let missing = SNIFF_LEN - self.head.len();
        self.head.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        self.sums.update(bytes);
        self.blake3.update(bytes);
    }

    /// What all of them tell.
    pub(crate) fn finish(self) -> Received {
        let (crc32, sums) = self.sums.finish();
        Received {
            crc32,
            blake3: Checksum(*self.blake3.finalize().as_bytes()),
            content_type: sniff(&self.head),
            sums,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_tell_what_the_whole_tells() {
        for bytes in [&b""[..], b"%PDF-1.7 and so on", &[7; 5000]] {
            let mut digest = Digest::default();
            bytes.chunks(3).for_each(|piece| digest.update(piece));
            digest.update(b"");
            assert_eq!(digest.finish(), Received::of(bytes));
        }
    }
}
