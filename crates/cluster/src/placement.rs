//! Which node owns which shard: rendezvous hashing (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit
//! Rates", 1998). Each node has a weight for each shard, and the heaviest owns it. So a node that joins takes shards
//! from all and moves none between the others, and one that leaves gives its own alone; whoever knows the same members
//! comes to the same answer, without asking anybody.

use super::NodeId;
use evenfold_groups::KeyHash;
use std::num::NonZeroU32;

/// For each shard the place of its owner among the members, of which there is at least one.
pub(super) fn owners(members: &[NodeId], shards: NonZeroU32) -> Vec<usize> {
    let hashes: Vec<u64> = members.iter().map(|node| KeyHash::from(node.as_str()).value()).collect();
    let heaviest = |shard: u32| {
        let weights = hashes.iter().map(|&node| weight(node, shard)).zip(members).enumerate();
        // Of two with one weight the later name: all must come to the same answer.
        weights.max_by(|(_, one), (_, other)| one.cmp(other)).map_or(0, |(place, _)| place)
    };
    (0..shards.get()).map(heaviest).collect()
}

fn weight(node: u64, shard: u32) -> u64 {
    mix(node ^ mix(u64::from(shard)))
}

/// The finalizer of `SplitMix64` (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014, with
/// Stafford's constants, Mix13). FNV-1a alone leaves similar names with similar hashes, and few of them with all
/// shards.
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const SHARDS: u32 = 1_024;

    fn owner_names(members: &[NodeId]) -> Vec<NodeId> {
        let shards = NonZeroU32::new(SHARDS).unwrap();
        owners(members, shards).into_iter().map(|place| members[place].clone()).collect()
    }

    fn nodes(names: &BTreeSet<String>) -> Vec<NodeId> {
        names.iter().map(|name| NodeId::new(name).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn a_node_that_joins_or_leaves_moves_only_what_becomes_or_was_its_own(
            names in proptest::collection::btree_set("[a-z]{1,3}-?[0-9]{1,3}", 2..12), which: prop::sample::Index,
        ) {
            let all = nodes(&names);
            let one = which.get(&all).clone();
            let others: Vec<NodeId> = all.iter().filter(|node| **node != one).cloned().collect();
            let (with, without) = (owner_names(&all), owner_names(&others));
            for (with, without) in with.iter().zip(&without) {
                prop_assert!(with == without || *with == one);
            }
            let taken = with.iter().filter(|owner| **owner == one).count();
            let share = SHARDS as usize / all.len();
            // Six standard deviations of a fair draw, at 1,024 shards and 2 nodes or more.
            #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "small")]
            let slack = (6.0 * (share as f64).sqrt()) as usize;
            prop_assert!(taken.abs_diff(share) <= slack, "{} of {}, share {}", taken, SHARDS, share);
        }
    }

    #[test]
    fn shards_are_spread_evenly_over_nodes_with_similar_names() {
        let names: BTreeSet<String> = (0..7).map(|n| format!("node-{n}")).collect();
        let all = nodes(&names);
        let owners = owner_names(&all);
        let counts: Vec<usize> = all.iter().map(|node| owners.iter().filter(|owner| *owner == node).count()).collect();
        // A fair share is 146, with a standard deviation of 11.
        assert!(counts.iter().all(|count| (100..195).contains(count)), "{counts:?}");
    }

    /// Nodes of two versions of the program must agree: this changes only together with the frames' version.
    #[test]
    fn the_owners_stay_what_they_have_always_been() {
        let names: BTreeSet<String> = ["a", "b", "c"].map(str::to_owned).into();
        let first: Vec<String> = owner_names(&nodes(&names)).iter().take(12).map(ToString::to_string).collect();
        assert_eq!(first.concat(), "bcccbaaccbbc");
    }
}
