//! The protocol as a `stateright` model: what can happen next, and what must hold whatever does.

use super::cases::{Case, Cases};
use super::log::{Event, Log, Script, Source, Write};
use super::mutant::Mutant;
use super::step::{Action, Step};
use super::store::Store;
use super::worker::{Phase, Rules, Worker};
use evenfold::class::Class;
use evenfold::log::Fence;
use stateright::{Model, Property};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What there is to interleave.
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
#[derive(Debug, Clone, Default)]
pub struct Protocol {
    pub source: Source,
    /// The writers of each history; one of these is chosen.
    pub writers: Vec<Vec<Script>>,
    pub may_abort: bool,
    /// The partitions whose workers run from the beginning, as `(key, total)`.
    pub running: Vec<(u32, u32)>,
    /// The partitions whose workers start at some time.
    pub starting: Vec<(u32, u32)>,
    /// The most events of one batch.
    pub batch: usize,
    /// Whether workers apply spans: up to so many positions, which nobody has read, with whatever events they have.
    pub spans: bool,
    /// Whether workers of one total open their windows together.
    pub gathers: bool,
    /// How many times a worker may crash, or not learn what became of its transaction.
    pub mishaps: u8,
    /// How many times a replaced total takes over again, whoever is alive.
    pub returns: u8,
    /// How many times a worker is paused for so long that it counts as gone, and goes on with what it has in memory.
    pub pauses: u8,
    /// How many times a rebuild changes the definition. Workers that start are then those with the last one.
    pub switches: u8,
    /// How many times the server crashes. What a writer has committed it has on disk, with all that was committed
    /// before; what workers have committed after that it may have lost, as they do not wait for the disk.
    pub server_crashes: u8,
    /// Whether empty windows are written at any time, or never.
    pub writes_empty: bool,
    /// Whether something can happen between a fence's snapshot and its count of the xids.
    pub apart: bool,
    pub mutant: Option<Mutant>,
    /// Whether events may be lost, where a worker watches their positions.
    pub only_watched: bool,
    pub cases: Arc<Cases>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct State {
    log: Arc<Log>,
    store: Arc<Store>,
    workers: Vec<Arc<Worker>>,
    mishaps: u8,
    returns: u8,
    pauses: u8,
    switches: u8,
    server_crashes: u8,
    /// What a server that crashes has when it is back, if it may crash.
    on_disk: Option<(Arc<Log>, Arc<Store>)>,
}

impl State {
    /// The workers of a total that wait for others to open their windows together, and their fences.
    fn gathering(&self, total: u32) -> impl Iterator<Item = (usize, &Fence)> {
        self.workers.iter().enumerate().filter_map(move |(number, worker)| match &worker.phase {
            Phase::Gathering(_, fence) if worker.class.modulus() == total => Some((number, fence)),
            _ => None,
        })
    }

    /// All that was committed until now is on disk.
    fn flush(&mut self) {
        if let Some(on_disk) = &mut self.on_disk {
            *on_disk = (Arc::clone(&self.log), Arc::clone(&self.store));
        }
    }

    /// Whether a worker of the present total is alive, as far as its heartbeat shows.
    fn anybody_is_alive(&self) -> bool {
        self.workers.iter().any(|worker| worker.class.modulus() == self.store.total() && worker.beating)
    }
}

fn class((key, total): (u32, u32)) -> Class {
    Class::partition(key, total).unwrap()
}

impl Protocol {
    fn rules(&self) -> Rules<'_> {
        let Self { source, batch, spans, gathers, apart, mutant, ref cases, .. } = *self;
        Rules { source, batch, spans, gathers, apart, mutant, cases }
    }

    fn init(&self, scripts: &[Script]) -> State {
        let log = Log::new(self.source, scripts);
        let mut store = Store::new(self.running[0].1, log.before_all(), self.mutant);
        let running = self.running.iter().map(|&partition| (partition, Phase::Unknown { outrun: false }));
        let starting = self.starting.iter().map(|&partition| (partition, Phase::Off));
        self.running.iter().for_each(|&partition| store.register(class(partition), false, &Cases::default()));
        store.rearranged = 0;
        let all = running.chain(starting).enumerate();
        let started = |n, partition, phase| {
            let mut worker = Worker::new(n, class(partition), phase);
            worker.definition = if worker.phase == Phase::Off { self.switches } else { 0 };
            Arc::new(worker)
        };
        let workers = all.map(|(n, (partition, phase))| started(n, partition, phase)).collect();
        let (log, store) = (Arc::new(log), Arc::new(store));
        let on_disk = (self.server_crashes > 0).then(|| (Arc::clone(&log), Arc::clone(&store)));
        State {
            server_crashes: self.server_crashes,
            on_disk,
            log,
            store,
            workers,
            mishaps: self.mishaps,
            returns: self.returns,
            pauses: self.pauses,
            switches: self.switches,
        }
    }

    fn steps(&self, state: &State, worker: &Worker, each: &mut dyn FnMut(Step)) {
        let total = worker.class.modulus();
        match worker.phase {
            Phase::Off => each(Step::Start),
            // Refused, for ever if the definition is an older one.
            Phase::Joining if state.store.definition != worker.definition => {}
            Phase::Joining if state.store.may_register(total) || !state.anybody_is_alive() => {
                each(Step::Register);
                if state.mishaps > 0 {
                    each(Step::RegisterMissingMerge);
                }
            }
            Phase::Joining if state.returns > 0 => each(Step::Return),
            Phase::Joining => {}
            Phase::Unknown { .. } | Phase::StandingBy { .. } => each(Step::Load),
            Phase::Holding(_) | Phase::Fencing(..) => {
                worker.reads(&state.log, &self.rules(), each);
                if self.writes_empty && worker.may_write() {
                    each(Step::WriteEmpty);
                }
            }
            Phase::Gathering(..) => {
                each(Step::OpenAlone);
                if state.gathering(total).count() > 1 {
                    each(Step::Gather);
                }
            }
            Phase::Batch(_) => {
                each(Step::Apply);
                if state.mishaps > 0 {
                    each(Step::ApplyUnknowing);
                }
            }
            Phase::Merging(..) => each(Step::Merge),
        }
        if state.mishaps > 0 && worker.has_something_in_memory() {
            each(Step::Crash);
        }
        if state.pauses > 0 && worker.beating && worker.has_something_in_memory() {
            each(Step::Pause);
        }
    }

    fn step(&self, state: &mut State, number: usize, step: Step) {
        let rules = self.rules();
        if matches!(step, Step::Register | Step::RegisterMissingMerge) {
            self.note_taken(state, number);
        }
        if step == Step::Gather {
            self.open_together(state, state.workers[number].class.modulus());
            return;
        }
        let worker = Arc::make_mut(&mut state.workers[number]);
        let log = &state.log;
        worker.beating |= !matches!(worker.phase, Phase::Off | Phase::Joining);
        match step {
            Step::Start => worker.phase = Phase::Joining,
            Step::Register | Step::RegisterMissingMerge | Step::Return => {
                state.returns -= u8::from(step == Step::Return);
                let misses_merge = step == Step::RegisterMissingMerge;
                if misses_merge {
                    state.mishaps -= 1;
                    rules.cases.note(Case::MissedMerge);
                }
                Arc::make_mut(&mut state.store).register(worker.class, misses_merge, rules.cases);
                worker.phase = Phase::Unknown { outrun: false };
                worker.beating |= !rules.has(Mutant::SilentRegistration);
            }
            Step::Load => worker.load(&state.store, log, &rules),
            Step::Fence => worker.fence(log, &rules),
            Step::Look => worker.look(log, &rules),
            Step::Gather => {}
            Step::OpenAlone => worker.open_gathered(None, log, &rules),
            Step::Holders => worker.see_holders(log, &rules),
            Step::Apply => worker.apply(Arc::make_mut(&mut state.store), log, &rules),
            Step::ApplyUnknowing => {
                state.mishaps -= 1;
                worker.apply(Arc::make_mut(&mut state.store), log, &rules);
                rules.cases.note(Case::Lost);
                worker.phase = Phase::Unknown { outrun: false };
            }
            Step::Merge => worker.merge(Arc::make_mut(&mut state.store), log, &rules),
            Step::WriteEmpty => worker.write(Arc::make_mut(&mut state.store), &rules),
            Step::Crash => {
                state.mishaps -= 1;
                worker.crash(Arc::make_mut(&mut state.store), rules.cases);
            }
            Step::Pause => {
                state.pauses -= 1;
                worker.beating = false;
            }
        }
    }

    /// The server has lost what it has not on disk, and all sessions with it.
    fn crash_server(&self, state: &mut State) {
        let Some((log, store)) = state.on_disk.clone() else { panic!("it does not crash") };
        if store.applied != state.store.applied {
            self.cases.note(Case::WentBack);
        }
        if store.total() != state.store.total() {
            self.cases.note(Case::TotalWentBack);
        }
        let counted = Arc::clone(&state.store);
        (state.log, state.store) = (log, store);
        Arc::make_mut(&mut state.log).lose_sessions(&self.cases);
        Arc::make_mut(&mut state.store).count_on_from(&counted);
        state.server_crashes -= 1;
        state.on_disk = (state.server_crashes > 0).then(|| (Arc::clone(&state.log), Arc::clone(&state.store)));
        if self.mutant == Some(Mutant::RemembersAfterCrash) {
            return;
        }
        for worker in state.workers.iter_mut().filter(|worker| worker.has_something_in_memory()) {
            Arc::make_mut(worker).forget();
        }
    }

    /// `Shared::gather`: up to what the fence of any of them shows. They read together what each would read alone.
    fn open_together(&self, state: &mut State, total: u32) {
        self.cases.note(Case::Gathered);
        let fences = state.gathering(total).map(|(_, fence)| fence.clone());
        let together = if self.mutant == Some(Mutant::GatheredAtHighest) {
            fences.max_by_key(|fence| fence.floor)
        } else {
            fences.reduce(|one, fence| one.union(&fence))
        };
        let members: Vec<usize> = state.gathering(total).map(|(number, _)| number).collect();
        let begins = members.iter().filter_map(|&number| state.workers[number].begins_at());
        let earliest = begins.reduce(|one, other| if one.union(&other) == one { other } else { one });
        for number in members {
            if self.mutant == Some(Mutant::KeysOfAnotherWindow) {
                Arc::make_mut(&mut state.workers[number]).remembered.clone_from(&earliest);
            }
            Arc::make_mut(&mut state.workers[number]).open_gathered(together.as_ref(), &state.log, &self.rules());
        }
    }

    /// A worker registers: is it one of a replaced total, which may because nobody is alive?
    fn note_taken(&self, state: &mut State, number: usize) {
        if state.store.may_register(state.workers[number].class.modulus()) {
            return;
        }
        self.cases.note(Case::TakenFromNobody);
        let present = state.store.total();
        if state.workers.iter().any(|worker| worker.class.modulus() == present && worker.is_paused()) {
            self.cases.note(Case::TakenFromPaused);
        }
        Arc::make_mut(&mut state.store).taken_from_nobody += 1;
    }

    /// Each change of the total splits and merges rows a few times, and then it is over.
    fn most_rearrangements(&self) -> u8 {
        let workers = u8::try_from(self.running.len() + self.starting.len()).unwrap();
        (1 + workers + self.returns + self.mishaps + self.pauses + self.server_crashes) * 4
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        self.writers.iter().map(|scripts| self.init(scripts)).collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for number in 0..state.log.writers() {
            let mut each = |write| actions.push(Action::Writer(number, write));
            state.log.possible(number, (self.source, self.may_abort), self.mutant, &mut each);
        }
        if state.switches > 0 {
            actions.push(Action::Switch);
        }
        if let Some((log, store)) = &state.on_disk {
            actions.push(Action::CrashServer);
            if (log, store) != (&state.log, &state.store) {
                actions.push(Action::Flush);
            }
        }
        for (number, worker) in state.workers.iter().enumerate() {
            self.steps(state, worker, &mut |step| actions.push(Action::Worker(number, step)));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Writer(number, write) => {
                Arc::make_mut(&mut state.log).write(number, write, &self.cases);
                if write == Write::Commit {
                    state.flush();
                }
            }
            Action::Flush => state.flush(),
            Action::CrashServer => self.crash_server(&mut state),
            Action::Worker(number, step) => self.step(&mut state, number, step),
            Action::Switch => {
                state.switches -= 1;
                Arc::make_mut(&mut state.store).switch_definition(&state.log);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        if self.only_watched {
            return vec![Property::always(
                "an event that is lost is at a position that is watched",
                |model: &Self, state: &State| {
                    let watched = |event: &Event| state.workers.iter().any(|worker| worker.watches(event));
                    let mut lost = state.store.lost(&state.log).peekable();
                    if lost.peek().is_some() {
                        model.cases.note(Case::LostAndWatched);
                    }
                    lost.all(watched)
                },
            )];
        }
        vec![
            Property::always("the rows are an exact cover", |_, state: &State| state.store.is_exact_cover()),
            Property::always("each event is applied at most once and in order", |_, state: &State| {
                state.store.wrong.is_none()
            }),
            Property::always("what is applied is what the rows say", |_, state: &State| {
                state.store.does_what_it_says(&state.log)
            }),
            Property::always("what is applied is known without its window", |_, state: &State| {
                state.store.is_known_without_windows(&state.log)
            }),
            Property::always("a change of the total comes to an end", |model: &Self, state: &State| {
                state.store.rearranged <= model.most_rearrangements()
            }),
            Property::always(
                "a replaced total takes over at once only from workers that are gone",
                |model: &Self, state: &State| {
                    let gone = model.mishaps - state.mishaps + model.pauses - state.pauses;
                    state.store.taken_from_nobody <= gone
                },
            ),
            Property::eventually("every event is applied", |_, state: &State| {
                state.log.all_have_ended() && state.store.has_applied_all(&state.log)
            }),
        ]
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, into: &mut H) {
        self.log.hash(into);
        self.store.hash_into(into);
        self.workers.iter().for_each(|worker| worker.hash_into(&self.store, into));
        (self.mishaps, self.returns, self.pauses, self.switches, self.server_crashes).hash(into);
        if let Some((log, store)) = &self.on_disk {
            log.hash(into);
            store.hash_into(into);
        }
    }
}
