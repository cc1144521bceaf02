//! The words that are not to be used, what to say instead, and where one of them is somebody else's.

/// A word, or words in a row, and what says it better.
pub(super) struct Forbidden {
    pub(super) words: &'static [&'static str],
    pub(super) instead: &'static str,
}

const fn forbidden(words: &'static [&'static str], instead: &'static str) -> Forbidden {
    Forbidden { words, instead }
}

const TELL: &str = "notify, report, publish, send, answer, show or distinguish";
const SAY: &str = "report, log, print or answer; output, message or body where it names a text";
const HEAR: &str = "receive, or last seen";
const BESIDE: &str = "alongside, next to, shadow, concurrent or in addition to";
const RELEASE: &str = "release";
const ABANDON: &str = "abandon, time out or fail";

/// Where they are segments of a name, in a row, wherever in it.
pub(super) const IN_NAMES: [Forbidden; 14] = [
    forbidden(&["told"], TELL),
    forbidden(&["tell"], TELL),
    forbidden(&["tells"], TELL),
    forbidden(&["telling"], TELL),
    forbidden(&["said"], SAY),
    forbidden(&["heard"], HEAR),
    forbidden(&["held"], "own, keep, lock, take or wait"),
    forbidden(&["beside"], BESIDE),
    forbidden(&["lets", "go"], RELEASE),
    forbidden(&["let", "go"], RELEASE),
    forbidden(&["gives", "up"], ABANDON),
    forbidden(&["give", "up"], ABANDON),
    forbidden(&["gave", "up"], ABANDON),
    forbidden(&["given", "up"], ABANDON),
];

/// Where it is the last segment of a name, or all of it.
pub(super) const LAST_IN_NAMES: Forbidden = forbidden(&["over"], "expired, ended, closed or done");

/// Verbs that end with it.
pub(super) const VERBS_WITH_OVER: [&str; 2] = ["start", "switch"];

/// What a name does not begin with: it names a thing without saying which.
pub(super) const FIRST_IN_NAMES: Forbidden = forbidden(&["what", "is"], "what the thing is");

/// In comments, texts and documents.
pub(super) const IN_PROSE: [Forbidden; 13] = [
    forbidden(&["told"], TELL),
    forbidden(&["tell"], TELL),
    forbidden(&["tells"], TELL),
    forbidden(&["telling"], TELL),
    forbidden(&["said"], SAY),
    forbidden(&["heard"], HEAR),
    forbidden(&["beside"], BESIDE),
    forbidden(&["let", "go", "of"], RELEASE),
    forbidden(&["lets", "go"], RELEASE),
    forbidden(&["give", "up"], ABANDON),
    forbidden(&["gives", "up"], ABANDON),
    forbidden(&["gave", "up"], ABANDON),
    forbidden(&["given", "up"], ABANDON),
];

/// Names of types that say so little that there is one of each in the whole workspace, at most.
pub(super) const RARE_TYPES: [&str; 10] =
    ["Counted", "Found", "Status", "Left", "Member", "Held", "Reply", "Told", "Said", "Heard"];

/// A file, or all below a directory, that may use one of the words, or any of them.
pub(super) struct Exception {
    pub(super) path: &'static str,
    /// All of them without.
    pub(super) word: Option<&'static str>,
    pub(super) reason: &'static str,
}

const KAMEO: &str = "kameo's `ActorRef::tell`";

pub(super) const EXCEPTIONS: [Exception; 6] = [
    Exception { path: "crates/groups/src/actors/member.rs", word: Some("tell"), reason: KAMEO },
    Exception { path: "crates/groups/src/actors/owner.rs", word: Some("tell"), reason: KAMEO },
    Exception { path: "crates/groups/src/process/forward.rs", word: Some("tell"), reason: KAMEO },
    Exception { path: "crates/bench/src/groups/targets.rs", word: Some("tell"), reason: KAMEO },
    Exception {
        path: "crates/cli/tests/all/layout_0_1/",
        word: None,
        reason: "the migrations of a published version, whose checksums databases have",
    },
    Exception { path: "tests/all/words/", word: None, reason: "the list itself, and what shows that it is found" },
];
