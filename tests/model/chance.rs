//! Who goes on in a history at random.

use super::log::Write;
use super::protocol::{Protocol, State};
use super::step::{Action, Step};
use stateright::Chooser;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Half of the time whoever acted last goes on, so that others fall far behind; otherwise all that is possible is
/// equally likely.
#[derive(Clone, Default)]
pub struct Chance {
    histories: Arc<AtomicU64>,
}

pub struct Choices {
    random: fastrand::Rng,
    last: Option<Actor>,
}

#[derive(Clone, Copy, PartialEq)]
enum Actor {
    Writer(usize),
    Worker(usize),
    Rebuild,
    Server,
}

fn actor(action: &Action) -> Actor {
    match *action {
        Action::Writer(number, _) => Actor::Writer(number),
        Action::Worker(number, _) => Actor::Worker(number),
        Action::Switch => Actor::Rebuild,
        Action::Flush | Action::CrashServer => Actor::Server,
    }
}

impl Chance {
    pub fn histories(&self) -> u64 {
        self.histories.load(Ordering::Relaxed)
    }
}

impl Chooser<Protocol> for Chance {
    type State = Choices;

    fn new_state(&self, seed: u64) -> Choices {
        self.histories.fetch_add(1, Ordering::Relaxed);
        Choices { random: fastrand::Rng::with_seed(seed), last: None }
    }

    fn choose_initial_state(&self, choices: &mut Choices, states: &[State]) -> usize {
        choices.random.usize(..states.len())
    }

    fn choose_action(&self, choices: &mut Choices, _: &State, actions: &[Action]) -> usize {
        let same: Vec<usize> = (0..actions.len()).filter(|&n| Some(actor(&actions[n])) == choices.last).collect();
        let index = if same.is_empty() || choices.random.bool() {
            choices.random.usize(..actions.len())
        } else {
            same[choices.random.usize(..same.len())]
        };
        // Were they as likely as everything else, few transactions would commit, and every crash come early.
        let unlikely = matches!(
            actions[index],
            Action::Writer(_, Write::Abort) | Action::Worker(_, Step::Crash) | Action::CrashServer
        );
        let index = if unlikely && choices.random.u8(..4) > 0 { choices.random.usize(..actions.len()) } else { index };
        choices.last = Some(actor(&actions[index]));
        index
    }
}
