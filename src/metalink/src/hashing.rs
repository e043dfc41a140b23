//! The hashes of a file, taken while its bytes pass by.

use sha2::{Digest, Sha256};

use crate::{Algorithm, Hash, Pieces};

/// The smallest piece in bytes, and how many pieces a file has at most.
const PIECE: u64 = 1 << 20;
const MAX_PIECES: u64 = 4096;

/// Takes the SHA-256 of a file and of its pieces. These have 1 MiB or, in large files, as much as makes 4,096 of them at most.
#[derive(Debug)]
pub struct Hashing {
    whole: Sha256,
    piece: Sha256,
    pieces: Pieces,
    /// How much of the piece that is being taken has passed by.
    in_piece: u64,
    size: u64,
}

impl Hashing {
    /// Of a file of so many bytes.
    pub fn new(size: u64) -> Hashing {
        Hashing::in_pieces(piece_length(size))
    }

    fn in_pieces(length: u64) -> Hashing {
        Hashing {
            whole: Sha256::new(),
            piece: Sha256::new(),
            pieces: Pieces::new(Algorithm::Sha256, length),
            in_piece: 0,
            size: 0,
        }
    }

    /// The memory that the hashes of the pieces of such a file take, in bytes.
    pub fn weight(size: u64) -> u64 {
        size.div_ceil(piece_length(size)) * Algorithm::Sha256.size() as u64
    }

    /// The next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.whole.update(bytes);
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = usize::try_from(self.pieces.length() - self.in_piece).unwrap_or(usize::MAX);
            let (part, rest) = bytes.split_at(bytes.len().min(room));
            self.piece.update(part);
            self.in_piece += part.len() as u64;
            if self.in_piece == self.pieces.length() {
                self.end_piece();
            }
            bytes = rest;
        }
    }

    /// How many bytes have passed by.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hash of the whole, and those of its pieces.
    pub fn finish(mut self) -> (Hash, Pieces) {
        if self.in_piece > 0 {
            self.end_piece();
        }
        (Hash::sha256(self.whole.finalize().into()), self.pieces)
    }

    fn end_piece(&mut self) {
        self.pieces.push(&Hash::sha256(self.piece.finalize_reset().into()));
        self.in_piece = 0;
    }
}

fn piece_length(size: u64) -> u64 {
    size.div_ceil(MAX_PIECES).next_power_of_two().max(PIECE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_do_not_depend_on_chunks() {
        let bytes: Vec<u8> = (0..PIECE * 2 + 5).map(|at| (at % 251) as u8).collect();
        for chunk in [7, 65_536, 1 << 20, 3 << 20] {
            let mut hashing = Hashing::new(bytes.len() as u64);
            bytes.chunks(chunk).for_each(|chunk| hashing.update(chunk));
            assert_eq!(hashing.size(), bytes.len() as u64);
            let (whole, pieces) = hashing.finish();
            assert_eq!(whole.bytes(), Sha256::digest(&bytes).as_slice());
            assert_eq!((pieces.length(), pieces.count()), (PIECE, 3));
            assert_eq!(pieces.get(2).unwrap().bytes(), Sha256::digest(&bytes[2 << 20..]).as_slice());
            assert!(pieces.fits(bytes.len() as u64));
        }
        assert_eq!(Hashing::new(0).finish().1.count(), 0);
    }

    #[test]
    fn pieces_of_any_length_do_not_depend_on_chunks() {
        let bytes: Vec<u8> = (0..100_u32).map(|at| at as u8).collect();
        for (size, count) in [(7, 5), (100, 5), (1, 5), (30, 5)] {
            let mut hashing = Hashing::in_pieces(22);
            bytes.chunks(size).for_each(|chunk| hashing.update(chunk));
            assert_eq!(hashing.size(), 100);
            let (whole, pieces) = hashing.finish();
            assert_eq!(pieces.count(), count);
            assert_eq!(whole.bytes(), Sha256::digest(&bytes).as_slice());
            assert_eq!(pieces.get(4).unwrap().bytes(), Sha256::digest(&bytes[88..]).as_slice());
        }
    }

    #[test]
    fn memory_is_bounded_whatever_the_size() {
        assert_eq!(piece_length(0), PIECE);
        assert_eq!(piece_length(1 << 40), 256 * PIECE);
        assert_eq!((Hashing::weight(0), Hashing::weight(1)), (0, 32));
        assert!(Hashing::weight(u64::MAX / 4) <= 4096 * 32);
    }
}
