//! Checksums of a file's blocks: what a part of it is held against, as its BLAKE3 is of the whole. Pure.

use bytes::{Buf, BufMut};
use tnv_proto::Checksum;

/// How many bytes a block has; the last one may be shorter.
pub(crate) const BLOCK: u64 = 256 * 1024;

/// What a file of sums begins with.
const MAGIC: u32 = u32::from_be_bytes(*b"TNVS");
const VERSION: u32 = 1;
/// Before the sums: magic, version, block length, file size, BLAKE3 of the file.
const HEAD: usize = 4 + 4 + 8 + 8 + 32;
/// Behind them: the CRC32 of all before it.
const TAIL: usize = 4;

/// The CRC32s of a file's blocks, in their order. Empty for a file of one block, whose CRC32 its row tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums(Vec<u32>);

impl Sums {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_slice(&self) -> &[u32] {
        &self.0
    }

    /// As they lie on the disk.
    pub(crate) fn encode(&self, size: u64, blake3: &Checksum) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + self.0.len() * 4 + TAIL);
        out.put_u32(MAGIC);
        out.put_u32(VERSION);
        out.put_u64(BLOCK);
        out.put_u64(size);
        out.put_slice(&blake3.0);
        self.0.iter().for_each(|sum| out.put_u32(*sum));
        out.put_u32(crc32fast::hash(&out));
        out
    }

    /// Reads what [`Sums::encode`] writes. `None`: these are not the sums of the file with this size and BLAKE3, or not all
    /// of them; nothing was synced.
    pub(crate) fn decode(mut bytes: &[u8], size: u64, blake3: &Checksum) -> Option<Sums> {
        let count = usize::try_from(size.div_ceil(BLOCK)).ok()?;
        if Some(bytes.len()) != count.checked_mul(4)?.checked_add(HEAD + TAIL) {
            return None;
        }
        let (all, mut tail) = bytes.split_at(bytes.len() - TAIL);
        if crc32fast::hash(all) != tail.get_u32() {
            return None;
        }
        let head = (bytes.get_u32(), bytes.get_u32(), bytes.get_u64(), bytes.get_u64());
        if head != (MAGIC, VERSION, BLOCK, size) || bytes[..32] != blake3.0 {
            return None;
        }
        bytes.advance(32);
        Some(Sums((0..count).map(|_| bytes.get_u32()).collect()))
    }
}

/// Takes them from bytes that come one after the other, along with the CRC32 of the whole.
#[derive(Debug, Default)]
pub(crate) struct Summing {
    /// Of the blocks that are complete.
    sums: Vec<u32>,
    /// Of all their bytes.
    whole: crc32fast::Hasher,
    block: crc32fast::Hasher,
    /// Bytes of the block that is not.
    filled: u64,
}

impl Summing {
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(BLOCK - self.filled).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.block.update(now);
            self.filled += now.len() as u64;
            if self.filled == BLOCK {
                self.end_block();
            }
            bytes = rest;
        }
    }

    fn end_block(&mut self) {
        let block = std::mem::take(&mut self.block);
        self.whole.combine(&block);
        self.sums.push(block.finalize());
        self.filled = 0;
    }

    /// The CRC32 of the whole, and the sums.
    pub(crate) fn finish(mut self) -> (u32, Sums) {
        if self.filled > 0 {
            self.end_block();
        }
        let sums = if self.sums.len() > 1 { self.sums } else { Vec::new() };
        (self.whole.finalize(), Sums(sums))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn summed(bytes: &[u8], piece: usize) -> (u32, Sums) {
        let mut summing = Summing::default();
        bytes.chunks(piece).for_each(|piece| summing.update(piece));
        summing.finish()
    }

    #[test]
    fn each_block_has_its_sum_however_the_bytes_come() {
        let block = BLOCK as usize;
        for len in [0, 1, block - 1, block, block + 1, 3 * block, 3 * block + 7] {
            let bytes: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let wanted: Vec<u32> = bytes.chunks(block).map(crc32fast::hash).collect();
            let wanted = if len > block { wanted } else { Vec::new() };
            for piece in [1000, block, block + 1, usize::MAX] {
                let (whole, sums) = summed(&bytes, piece);
                assert_eq!(
                    (whole, sums.as_slice()),
                    (crc32fast::hash(&bytes), &wanted[..]),
                    "{len} by {piece}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_not_whole_or_of_another_file_is_nothing(count in 2_usize..20, at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let (size, blake3) = ((count as u64 - 1) * BLOCK + 1, Checksum([3; 32]));
            let sums = Sums((0..count as u32).collect());
            let bytes = sums.encode(size, &blake3);
            prop_assert_eq!(Sums::decode(&bytes, size, &blake3), Some(sums));
            prop_assert_eq!(Sums::decode(&bytes, size, &Checksum([4; 32])), None);
            prop_assert_eq!(Sums::decode(&bytes, size + 1, &blake3), None);
            prop_assert_eq!(Sums::decode(&bytes[..at.index(bytes.len())], size, &blake3), None);
            let mut torn = bytes.clone();
            torn[at.index(bytes.len())] ^= 1 << bit;
            prop_assert_eq!(Sums::decode(&torn, size, &blake3), None);
        }
    }

    #[test]
    fn the_file_has_these_bytes() {
        let sums = Sums(vec![0x0102_0304, 0x0506_0708]);
        let bytes = sums.encode(BLOCK + 1, &Checksum([9; 32]));
        assert_eq!(bytes[..24], *b"TNVS\0\0\0\x01\0\0\0\0\0\x04\0\0\0\0\0\0\0\x04\0\x01");
        assert_eq!(bytes[24..56], [9; 32]);
        assert_eq!(bytes[56..64], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(bytes.len(), 68);
    }
}
