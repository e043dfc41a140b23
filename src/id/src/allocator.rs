//! Which numbers of the current block are still free. Pure: blocks are handed in, numbers are taken out.

use std::collections::VecDeque;

use tnv_proto::IdRange;

/// Numbers that the database has given to this server alone: `next .. end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// The first free number.
    pub next: i64,
    /// The number behind the last one.
    pub end: i64,
}

/// The blocks of one key, in the order they came.
#[derive(Debug, Default)]
pub struct Allocator {
    blocks: VecDeque<Block>,
}

impl Allocator {
    /// Takes up to `count` numbers in one piece; `None` when a new block is needed.
    pub fn take(&mut self, count: u32) -> Option<IdRange> {
        let block = self.blocks.front_mut()?;
        let free = block.end.saturating_sub(block.next);
        let count = u32::try_from(free).unwrap_or(u32::MAX).min(count.max(1));
        let range = IdRange { first: block.next, count };
        block.next = block.next.saturating_add(i64::from(count));
        if block.next >= block.end {
            self.blocks.pop_front();
        }
        Some(range)
    }

    /// Adds a block that the database has given. Empty ones are dropped.
    pub fn add(&mut self, block: Block) {
        if block.next < block.end {
            self.blocks.push_back(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_through_a_block_and_asks_for_the_next() {
        let mut allocator = Allocator::default();
        assert_eq!(allocator.take(1), None);
        allocator.add(Block { next: 10, end: 13 });
        assert_eq!(allocator.take(2), Some(IdRange { first: 10, count: 2 }));
        assert_eq!(allocator.take(2), Some(IdRange { first: 12, count: 1 }));
        assert_eq!(allocator.take(1), None);
    }

    proptest! {
        #[test]
        fn no_number_is_given_twice(sizes in prop::collection::vec(0_i64..50, 1..20), counts in prop::collection::vec(0_u32..70, 1..200)) {
            let mut allocator = Allocator::default();
            let mut end = 0;
            for size in sizes {
                allocator.add(Block { next: end, end: end + size });
                end += size;
            }
            let mut expected = 0;
            for count in counts {
                let Some(range) = allocator.take(count) else { break };
                prop_assert!(range.count >= 1 && range.count <= count.max(1));
                prop_assert_eq!(range.first, expected);
                expected += i64::from(range.count);
            }
            prop_assert!(expected <= end);
        }
    }
}
