//! What goes wrong, and when: decided by the seed alone.

use fastrand::Rng;
use std::time::Duration;

/// Something that happens to the workers or to the server. A pick chooses among the workers that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A worker is killed, and another one started in its place.
    Kill { pick: usize },
    /// A worker is asked to end, and another one started in its place.
    Terminate { pick: usize },
    /// A worker is stopped, replaced, and wakes up again.
    Freeze { pick: usize, time: Duration },
    /// Another worker with the same key is started.
    Duplicate { pick: usize },
    /// The server is killed and started again; the pick chooses among the servers where there are several.
    Crash { pick: usize },
    /// Workers with another total are started in this order alongside those that there are.
    Change { keys: Vec<u32>, pauses: Vec<Duration> },
    /// The counters are verified while all goes on.
    Verify,
}

/// An endless schedule.
pub struct Schedule {
    random: Rng,
    /// How many of a hundred faults are crashes.
    crashes: u32,
}

impl Schedule {
    pub fn new(seed: u64) -> Self {
        Self { random: Rng::with_seed(seed), crashes: 6 }
    }

    /// The same with more crashes, and fewer changes of the number of workers, for several servers.
    pub fn of_servers(seed: u64) -> Self {
        Self { crashes: 18, ..Self::new(seed) }
    }

    /// The pause before the next fault, and the fault.
    pub fn next(&mut self) -> (Duration, Fault) {
        let random = &mut self.random;
        let pause = Duration::from_millis(random.u64(20..800));
        let pick = random.usize(..);
        let fault = match random.u32(0..100) {
            0..30 => Fault::Kill { pick },
            30..38 => Fault::Terminate { pick },
            38..58 => Fault::Freeze { pick, time: Duration::from_millis(random.u64(100..2_500)) },
            58..68 => Fault::Duplicate { pick },
            percent if (68..68 + self.crashes).contains(&percent) => Fault::Crash { pick },
            68..92 => {
                let mut keys: Vec<u32> = (0..random.u32(1..=6)).collect();
                random.shuffle(&mut keys);
                let pauses = keys.iter().map(|_| Duration::from_millis(random.u64(0..150))).collect();
                Fault::Change { keys, pauses }
            }
            _ => Fault::Verify,
        };
        (pause, fault)
    }
}

#[test]
fn a_seed_gives_the_same_schedule_again() {
    let take = |seed| {
        let mut schedule = Schedule::new(seed);
        (0..500).map(|_| schedule.next()).collect::<Vec<_>>()
    };
    assert_eq!(take(7), take(7));
    assert_ne!(take(7), take(8));
}
