//! Contents of any length that are made where they are needed, so that gigabytes never sit in memory.

use std::io::{self, Read};

const BLOCK: usize = 64 * 1024;

/// A small generator (SplitMix64): a run is repeated from its seed alone.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// From `TNV_E2E_SEED`, else from the clock.
    pub(crate) fn seed() -> u64 {
        let given = std::env::var("TNV_E2E_SEED").ok().and_then(|text| text.parse().ok());
        given.unwrap_or_else(|| {
            std::time::UNIX_EPOCH.elapsed().map_or(1, |elapsed| elapsed.as_nanos() as u64 & 0xffff_ffff)
        })
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }
}

/// A random block, repeated up to a length, each copy stamped with its number.
pub(crate) struct Pattern {
    block: Vec<u8>,
    len: u64,
}

impl Pattern {
    pub(crate) fn new(seed: u64, len: u64) -> Pattern {
        Pattern { block: Random::new(seed).bytes(BLOCK), len }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.fill(0, &mut bytes);
        bytes
    }

    /// The contents from `offset` on, as a stream.
    pub(crate) fn reader(&self, offset: u64) -> impl Read + '_ {
        PatternReader { pattern: self, offset }
    }

    /// Reads `from` to its end, which must hold exactly the contents from `offset` on, `len` bytes of them.
    #[track_caller]
    pub(crate) fn check(&self, offset: u64, len: u64, from: &mut impl Read) {
        let (mut got, mut wanted) = (vec![0; 4 * BLOCK], vec![0; 4 * BLOCK]);
        let mut done = 0;
        loop {
            match from.read(&mut got).unwrap_or_else(|error| panic!("after {done} of {len} bytes: {error}")) {
                0 => break,
                count => {
                    self.fill(offset + done, &mut wanted[..count]);
                    assert!(
                        got[..count] == wanted[..count],
                        "wrong bytes between {done} and {}",
                        done + count as u64
                    );
                    done += count as u64;
                }
            }
        }
        assert_eq!(done, len, "how many bytes came");
    }

    /// Whether `bytes` are the contents at `offset`.
    pub(crate) fn has(&self, offset: u64, bytes: &[u8]) -> bool {
        let mut wanted = vec![0; bytes.len()];
        self.fill(offset, &mut wanted);
        wanted == bytes
    }

    fn fill(&self, mut offset: u64, mut out: &mut [u8]) {
        while !out.is_empty() {
            let (number, start) = (offset / BLOCK as u64, (offset % BLOCK as u64) as usize);
            let count = out.len().min(BLOCK - start);
            out[..count].copy_from_slice(&self.block[start..start + count]);
            for (at, byte) in number.to_le_bytes().iter().enumerate().skip(start) {
                if let Some(place) = out[..count].get_mut(at - start) {
                    *place ^= byte;
                }
            }
            offset += count as u64;
            out = &mut out[count..];
        }
    }
}

struct PatternReader<'a> {
    pattern: &'a Pattern,
    offset: u64,
}

impl Read for PatternReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = out.len().min((self.pattern.len - self.offset) as usize);
        self.pattern.fill(self.offset, &mut out[..count]);
        self.offset += count as u64;
        Ok(count)
    }
}

#[test]
fn any_part_of_a_pattern_is_the_same_bytes() {
    let pattern = Pattern::new(1, 200_000);
    let whole = pattern.bytes();
    for (offset, len) in [(0, 200_000), (1, 9), (7, 1), (65_530, 20), (65_536, 8), (131_073, 68_927)] {
        let mut part = vec![0; len];
        pattern.fill(offset as u64, &mut part);
        assert_eq!(part, whole[offset..offset + len]);
        pattern.check(offset as u64, len as u64, &mut &part[..]);
        assert!(pattern.has(offset as u64, &part) && !pattern.has(offset as u64 + 8, &part));
    }
    assert_ne!(whole[..65_536], whole[65_536..131_072]);
}
