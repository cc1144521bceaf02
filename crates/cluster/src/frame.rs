//! How questions and answers travel: many in one frame, each with its length before it.

use super::NodeId;
use super::beat::{Beat, PROTOCOL};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::time::Duration;

/// The bytes before each question: its length.
pub(super) const QUESTION: usize = 4;

/// The bytes before each answer: whether it is one, and its length.
pub(super) const ANSWER: usize = 5;

/// The most questions of a frame: each is answered by a task of its own, so the bytes alone would allow a hundred
/// thousand.
pub(super) const MAX_QUESTIONS: usize = 1_024;

/// How long an asker can have its frame kept at most.
const MAX_LIMIT: Duration = Duration::from_mins(1);

/// The bytes before all of them, with the longest name of a node.
pub(super) const HEAD: usize = 1 + 1 + super::MAX_NODE_ID + 8 + 4;

/// Questions of one node to another. A frame without questions is a greeting.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Questions {
    pub(super) from: NodeId,
    /// The incarnation of the sender: the receiver must know just that one.
    pub(super) incarnation: u64,
    /// How long the asker waits.
    pub(super) limit: Duration,
    /// Encoded, each.
    pub(super) all: Vec<Bytes>,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answers {
    /// In the order of the questions.
    All(Vec<Answered>),
    /// None of them was looked at: there are too many already.
    Busy,
    /// None of them was looked at: they are in another version's words.
    Unreadable,
    /// None of them was looked at: the sender's record can't be read, or is another incarnation's.
    Stranger,
    /// The answer to a greeting: the greeter is known from now on, and this is the greeted one's own heartbeat.
    Greeting(Beat),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answered {
    /// Encoded.
    Answer(Bytes),
    /// The question can't be read, and was not looked at.
    Unreadable,
    /// There was not time enough.
    Late,
    /// Whoever should answer has panicked.
    Panicked,
    /// The answer has no room in the frame.
    TooLarge,
}

impl Questions {
    #[expect(clippy::expect_used, reason = "what follows would be read as something else")]
    pub(super) fn encode(&self) -> Bytes {
        let bytes = self.all.iter().map(|question| QUESTION + question.len()).sum::<usize>();
        let mut frame = BytesMut::with_capacity(HEAD + bytes);
        frame.put_u8(PROTOCOL);
        let from = self.from.as_str().as_bytes();
        frame.put_u8(u8::try_from(from.len()).expect("a name has 64 bytes at most"));
        frame.put_slice(from);
        frame.put_u64(self.incarnation);
        frame.put_u32(u32::try_from(self.limit.as_millis()).unwrap_or(u32::MAX));
        for question in &self.all {
            put(&mut frame, question);
        }
        frame.freeze()
    }

    /// None for what is no such frame.
    pub(super) fn decode(mut frame: Bytes) -> Option<Self> {
        if frame.try_get_u8().ok()? != PROTOCOL {
            return None;
        }
        let length = usize::from(frame.try_get_u8().ok()?);
        let from = take(&mut frame, length)?;
        let from = NodeId::new(std::str::from_utf8(&from).ok()?).ok()?;
        let incarnation = frame.try_get_u64().ok()?;
        let limit = Duration::from_millis(frame.try_get_u32().ok()?.into()).min(MAX_LIMIT);
        let mut all = Vec::new();
        while frame.has_remaining() {
            if all.len() == MAX_QUESTIONS {
                return None;
            }
            all.push(get(&mut frame)?);
        }
        Some(Self { from, incarnation, limit, all })
    }
}

impl Answers {
    /// A frame of at most so many bytes: answers that have no room are replaced by "too large".
    pub(super) fn encode(self, max: usize) -> Bytes {
        let mut frame = BytesMut::new();
        frame.put_u8(PROTOCOL);
        let answers = match self {
            Self::Busy => return with(frame, 1),
            Self::Unreadable => return with(frame, 2),
            Self::Stranger => return with(frame, 3),
            Self::Greeting(beat) => {
                frame.put_u8(4);
                frame.put_slice(&beat.encode());
                return frame.freeze();
            }
            Self::All(answers) => answers,
        };
        frame.put_u8(0);
        let mut room = max.saturating_sub(frame.len() + answers.len() * ANSWER);
        for answer in answers {
            let (kind, bytes) = match answer {
                Answered::Answer(bytes) if bytes.len() > room => (4, Bytes::new()),
                Answered::Answer(bytes) => (0, bytes),
                Answered::Unreadable => (1, Bytes::new()),
                Answered::Late => (2, Bytes::new()),
                Answered::Panicked => (3, Bytes::new()),
                Answered::TooLarge => (4, Bytes::new()),
            };
            room -= bytes.len();
            frame.put_u8(kind);
            put(&mut frame, &bytes);
        }
        frame.freeze()
    }

    /// None for what is no such frame.
    pub(super) fn decode(mut frame: Bytes) -> Option<Self> {
        if frame.try_get_u8().ok()? != PROTOCOL {
            return None;
        }
        match frame.try_get_u8().ok()? {
            1 => return Some(Self::Busy),
            2 => return Some(Self::Unreadable),
            3 => return Some(Self::Stranger),
            4 => return Beat::read(&frame).map(Self::Greeting),
            0 => {}
            _ => return None,
        }
        let mut answers = Vec::new();
        while frame.has_remaining() {
            let kind = frame.get_u8();
            let bytes = get(&mut frame)?;
            answers.push(match kind {
                0 => Answered::Answer(bytes),
                1 => Answered::Unreadable,
                2 => Answered::Late,
                3 => Answered::Panicked,
                4 => Answered::TooLarge,
                _ => return None,
            });
        }
        Some(Self::All(answers))
    }
}

fn with(mut frame: BytesMut, kind: u8) -> Bytes {
    frame.put_u8(kind);
    frame.freeze()
}

#[expect(clippy::expect_used, reason = "what follows would be read as something else")]
fn put(frame: &mut BytesMut, bytes: &[u8]) {
    frame.put_u32(u32::try_from(bytes.len()).expect("transports have frames of far less than 4 GiB"));
    frame.put_slice(bytes);
}

fn get(frame: &mut Bytes) -> Option<Bytes> {
    let length = frame.try_get_u32().ok()?;
    take(frame, usize::try_from(length).ok()?)
}

fn take(frame: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= frame.len()).then(|| frame.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn questions(all: Vec<Bytes>) -> Questions {
        Questions { from: NodeId::new("a").unwrap(), incarnation: 7, limit: Duration::from_millis(1_500), all }
    }

    proptest! {
        #[test]
        fn what_was_asked_and_answered_arrives(all in proptest::collection::vec(any::<Vec<u8>>(), 0..20)) {
            let all: Vec<Bytes> = all.into_iter().map(Bytes::from).collect();
            let asked = questions(all.clone());
            prop_assert_eq!(Questions::decode(asked.encode()), Some(asked));
            let answers = Answers::All(all.into_iter().map(Answered::Answer).chain([Answered::Late]).collect());
            prop_assert_eq!(Answers::decode(answers.clone().encode(usize::MAX)), Some(answers));
        }

        #[test]
        fn bytes_that_are_no_frame_are_refused_without_harm(bytes: Vec<u8>, cut: usize) {
            let _ = (Questions::decode(bytes.clone().into()), Answers::decode(bytes.into()));
            let whole = questions(vec![Bytes::from_static(b"question")]).encode();
            let cut = cut % whole.len();
            let part = Questions::decode(whole.slice(..cut));
            prop_assert!(part.is_none_or(|part| part.all.is_empty()));
        }
    }

    #[test]
    fn the_answer_to_a_greeting_carries_the_heartbeat() {
        for answers in [Answers::Greeting(Beat::first(64)), Answers::Stranger, Answers::Busy, Answers::Unreadable] {
            assert_eq!(Answers::decode(answers.clone().encode(64)), Some(answers));
        }
    }

    #[test]
    fn a_frame_has_so_many_questions_and_is_kept_for_a_minute_at_most() {
        let many = |number| questions(vec![Bytes::from_static(b"?"); number]).encode();
        assert!(Questions::decode(many(MAX_QUESTIONS)).is_some());
        assert_eq!(Questions::decode(many(MAX_QUESTIONS + 1)), None);
        let for_ever = Questions { limit: Duration::from_hours(1_000), ..questions(Vec::new()) };
        assert_eq!(Questions::decode(for_ever.encode()).unwrap().limit, MAX_LIMIT);
    }

    #[test]
    fn an_answer_that_has_no_room_is_replaced_by_too_large_and_the_others_arrive() {
        let large = Answered::Answer(Bytes::from(vec![1; 100]));
        let small = Answered::Answer(Bytes::from_static(b"small"));
        let frame = Answers::All(vec![large, small.clone(), Answered::Panicked]).encode(64);
        assert!(frame.len() <= 64);
        let arrived = Answers::decode(frame);
        assert_eq!(arrived, Some(Answers::All(vec![Answered::TooLarge, small, Answered::Panicked])));
    }
}
