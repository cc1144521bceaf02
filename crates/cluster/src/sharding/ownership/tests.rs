//! What becomes of claims and holdings.

use super::*;

#[test]
fn a_node_gives_another_one_a_free_hand_only_while_it_neither_owns_nor_claims_nor_takes_a_shard() {
    let shards = Ownership::new(1, false);
    assert_eq!(shards.claimed(0), Claimed::Free);
    assert!(shards.claim(0) && !shards.claim(0));
    assert_eq!(shards.claimed(0), Claimed::NotYet);
    shards.abandon(0);
    assert_eq!(shards.claimed(0), Claimed::Free);
    assert!(!shards.take(0), "it was not claimed");
    assert!(shards.claim(0) && shards.take(0));
    assert_eq!((shards.claimed(0), shards.owns(0)), (Claimed::NotYet, false));
    shards.lose(0);
    assert_eq!(shards.claimed(0), Claimed::NotYet, "what has begun is taken to its end");
    shards.own(0);
    assert_eq!((shards.claimed(0), shards.owns(0)), (Claimed::NotYet, true));
    shards.lose(0);
    assert!(matches!(shards.claimed(0), Claimed::Holds(_)));
}

#[test]
fn a_node_that_leaves_takes_nothing_over_any_more() {
    let shards = Ownership::new(3, false);
    assert!(shards.claim(0) && shards.claim(1) && shards.take(1));
    shards.stop_claiming();
    assert!(!shards.take(0), "all have answered, and it is left to others");
    assert!(!shards.claim(2), "its view has not changed yet");
    let claimed: Vec<_> = (0..3).map(|shard| shards.claimed(shard)).collect();
    assert_eq!(claimed, [Claimed::Free, Claimed::NotYet, Claimed::Free]);
    assert_eq!(shards.holdings(), 1, "what it has begun to take over is taken, and handed over");
}

#[test]
fn each_holding_has_a_number_of_its_own_and_is_handed_over_once() {
    let shards = Ownership::new(1, true);
    let mut numbers = Vec::new();
    for _ in 0..3 {
        shards.lose(0);
        let Claimed::Holds(number) = shards.claimed(0) else { panic!("it has something") };
        assert!(!numbers.contains(&number));
        numbers.push(number);
        assert!(shards.claim(0) && shards.take(0));
        assert_eq!(shards.released::<()>(0, number), Some(Released::Refused), "it takes the shard over itself");
        shards.own(0);
    }
    shards.lose(0);
    let last = numbers[2] + 1;
    assert!(numbers.iter().all(|number| !shards.handed_off(0, *number)));
    assert!(shards.handed_off(0, last) && !shards.handed_off(0, last));
    assert_eq!((shards.claimed(0), shards.released::<()>(0, last)), (Claimed::Free, Some(Released::Done)));
}
