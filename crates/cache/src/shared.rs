//! What the shards of a cache and its readers have in common.

use super::budget::Budget;
use super::hot::Lately;
use super::load::Load;
use super::view::View;
use evenfold_groups::MAX_SHARDS;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

/// One per cache.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) view: View,
    pub(super) budget: Budget,
    pub(super) load: Load,
    /// The last version. It goes up for every change of every key, so that a key that is deleted and put again never
    /// has a version twice.
    pub(super) versions: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) expired: AtomicU64,
    /// How often more shards were made because one was hot.
    pub(super) relieved: AtomicU64,
    pub(super) lately: Mutex<Lately>,
}

impl Shared {
    pub(super) fn new(budget: u64, shards: u32) -> Self {
        Self {
            view: View::new(),
            budget: Budget::new(budget, shards),
            load: Load::new(MAX_SHARDS),
            versions: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            relieved: AtomicU64::new(0),
            lately: Mutex::default(),
        }
    }
}
