//! The order in which one shard's entries are evicted: S3-FIFO (Yang, Zhang, Qiu, Yue and Vinayak, "FIFO queues are all
//! you need for cache eviction", SOSP 2023), counted in bytes.
//!
//! What is new waits in a small queue, a tenth of the bytes. What is not used twice there leaves, and only its hash is
//! remembered; the rest moves to the main queue, as does what is put again while its hash is remembered. There, what
//! was used since it came to the end goes round again. So a scan passes through the small queue and leaves the main one
//! alone, and readers have nothing to move: a use is a mark in the entry.

use super::ghosts::Ghosts;
use super::key::CacheKey;

/// Which queue an entry is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    Small,
    Main,
}

/// No slot.
const NONE: u32 = u32::MAX;

/// An entry's place: between the one that came later and the one that came earlier.
#[derive(Debug)]
struct Node {
    key: CacheKey,
    bytes: u32,
    later: u32,
    earlier: u32,
    queue: Option<Queue>,
}

/// A queue that is linked through the nodes, so that an entry in its middle leaves without a trace.
#[derive(Debug)]
struct Ends {
    latest: u32,
    earliest: u32,
    bytes: u64,
    len: usize,
}

impl Default for Ends {
    fn default() -> Self {
        Self { latest: NONE, earliest: NONE, bytes: 0, len: 0 }
    }
}

/// The entries of a shard in their queues, by slots that stay the same as long as an entry is there.
#[derive(Debug)]
pub(super) struct Order {
    nodes: Vec<Node>,
    /// The slots that are free, linked by `later`.
    free: u32,
    small: Ends,
    main: Ends,
    ghosts: Ghosts,
}

impl Order {
    pub(super) fn new() -> Self {
        let (small, main) = (Ends::default(), Ends::default());
        Self { nodes: Vec::new(), free: NONE, small, main, ghosts: Ghosts::default() }
    }

    /// Takes up an entry that has just been put.
    pub(super) fn admit(&mut self, key: CacheKey, bytes: u32) -> u32 {
        let queue = if self.ghosts.forget(&key) { Queue::Main } else { Queue::Small };
        self.push(key, bytes, queue)
    }

    /// Takes up an entry, as the latest of a queue.
    pub(super) fn push(&mut self, key: CacheKey, bytes: u32, queue: Queue) -> u32 {
        let node = Node { key, bytes, later: NONE, earlier: NONE, queue: Some(queue) };
        let slot = if self.free == NONE {
            self.nodes.push(node);
            // So many entries do not fit into any memory: each takes up more than a hundred bytes.
            u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
        } else {
            let slot = self.free;
            self.free = self.nodes[slot as usize].later;
            self.nodes[slot as usize] = node;
            slot
        };
        self.link(slot, queue);
        slot
    }

    /// Takes an entry out: its key, its bytes, and the queue it was in. None if there is none at the slot.
    pub(super) fn remove(&mut self, slot: u32) -> Option<(CacheKey, u32, Queue)> {
        let queue = self.nodes.get(slot as usize)?.queue?;
        self.unlink(slot, queue);
        let node = &mut self.nodes[slot as usize];
        (node.queue, node.later) = (None, self.free);
        self.free = slot;
        // A free slot keeps no allocation.
        let key = std::mem::replace(&mut node.key, CacheKey::Short { len: 0, bytes: Default::default() });
        Some((key, node.bytes, queue))
    }

    /// Notes that an entry has another size now.
    pub(super) fn resize(&mut self, slot: u32, bytes: u32) {
        let node = &mut self.nodes[slot as usize];
        let before = std::mem::replace(&mut node.bytes, bytes);
        if let Some(queue) = node.queue {
            let ends = self.ends(queue);
            ends.bytes = ends.bytes - u64::from(before) + u64::from(bytes);
        }
    }

    pub(super) fn key(&self, slot: u32) -> Option<&CacheKey> {
        self.nodes.get(slot as usize).filter(|node| node.queue.is_some()).map(|node| &node.key)
    }

    pub(super) fn len(&self) -> usize {
        self.small.len + self.main.len
    }

    /// The slots of the entries, the earliest of each queue first.
    pub(super) fn slots(&self) -> Vec<u32> {
        let mut slots = Vec::with_capacity(self.len());
        for mut at in [self.small.earliest, self.main.earliest] {
            while at != NONE {
                slots.push(at);
                at = self.nodes[at as usize].later;
            }
        }
        slots
    }

    /// The entry that is to leave, which is still there. `uses` gives how often an entry was used, and lets it be
    /// changed. Every look at an entry lowers its uses or finds the one to leave, so that this ends.
    pub(super) fn victim(&mut self, mut uses: impl FnMut(&CacheKey, fn(u8) -> u8) -> u8) -> Option<u32> {
        loop {
            let small_is_large = self.small.bytes * 10 >= self.small.bytes + self.main.bytes;
            if self.main.len == 0 || small_is_large && self.small.len > 0 {
                let slot = self.small.earliest;
                let node = self.nodes.get(slot as usize)?;
                if uses(&node.key, |_| 0) < 2 {
                    self.ghosts.remember(&node.key, self.main.len);
                    return Some(slot);
                }
                self.unlink(slot, Queue::Small);
                self.link(slot, Queue::Main);
            } else {
                let slot = self.main.earliest;
                let node = self.nodes.get(slot as usize)?;
                if uses(&node.key, |uses| uses.saturating_sub(1)) == 0 {
                    return Some(slot);
                }
                self.unlink(slot, Queue::Main);
                self.link(slot, Queue::Main);
            }
        }
    }

    fn ends(&mut self, queue: Queue) -> &mut Ends {
        match queue {
            Queue::Small => &mut self.small,
            Queue::Main => &mut self.main,
        }
    }

    fn link(&mut self, slot: u32, queue: Queue) {
        let bytes = u64::from(self.nodes[slot as usize].bytes);
        let ends = self.ends(queue);
        let before = std::mem::replace(&mut ends.latest, slot);
        if ends.earliest == NONE {
            ends.earliest = slot;
        }
        ends.bytes += bytes;
        ends.len += 1;
        let node = &mut self.nodes[slot as usize];
        (node.queue, node.later, node.earlier) = (Some(queue), NONE, before);
        if before != NONE {
            self.nodes[before as usize].later = slot;
        }
    }

    fn unlink(&mut self, slot: u32, queue: Queue) {
        let Node { bytes, later, earlier, .. } = self.nodes[slot as usize];
        if later != NONE {
            self.nodes[later as usize].earlier = earlier;
        }
        if earlier != NONE {
            self.nodes[earlier as usize].later = later;
        }
        let ends = self.ends(queue);
        if later == NONE {
            ends.latest = earlier;
        }
        if earlier == NONE {
            ends.earliest = later;
        }
        ends.bytes -= u64::from(bytes);
        ends.len -= 1;
    }
}
