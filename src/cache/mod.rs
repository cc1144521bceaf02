//! A cache in shards: reads neither queue nor lock, and each shard's actor serialises its changes.
