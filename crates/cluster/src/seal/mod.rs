//! What makes the messages of the nodes of one cluster theirs: a code of authentication (HMAC-SHA-256) under a secret
//! that they share. Whoever reaches the NATS server reads everything, and can send nothing that a node takes in.
//!
//! Each purpose has a key of its own, made of the secret and the cluster's name; each code covers the version, where
//! the message goes, and all its bytes. So what was sealed for one purpose, place or cluster is nothing at another.
//!
//! That a message comes once is a matter of [windows](window): the seal alone does not show it.

mod refusals;
mod secret;
mod window;

use super::NodeId;
use bytes::{BufMut, Bytes, BytesMut};
pub(super) use refusals::Refusals;
use ring::hmac;
pub use secret::{ClusterSecret, InvalidSecret, MIN_SECRET};
use subtle::ConstantTimeEq;
pub(super) use window::Windows;

/// The first byte of everything sealed. Frames without a seal, of versions before it, began with 1.
const VERSION: u8 = 2;

/// The bytes of a code.
const CODE: usize = 32;

/// The bytes that a seal adds to what it seals, without the head.
pub(super) const SEALED: usize = 1 + CODE;

/// What a message is for. The labels are part of what the nodes of a cluster must agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Asks a node for the session that it serves.
    Greeting,
    Request,
    /// To a greeting or a request.
    Answer,
    Topic,
    Record,
}

impl Purpose {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Greeting, "greeting"),
        (Self::Request, "request"),
        (Self::Answer, "answer"),
        (Self::Topic, "topic"),
        (Self::Record, "record"),
    ];
}

/// The code of one message. No two messages have the same one, as far as what they are sealed with differs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Code([u8; CODE]);

impl Code {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A message that verifies.
#[derive(Debug)]
pub(super) struct Opened<const HEAD: usize> {
    pub(super) head: [u8; HEAD],
    pub(super) body: Bytes,
    pub(super) code: Code,
}

/// The keys of one cluster.
#[derive(Debug)]
pub(super) struct Seal([hmac::Key; Purpose::ALL.len()]);

impl Seal {
    pub(super) fn new(secret: &ClusterSecret, cluster: &NodeId) -> Self {
        let main = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        Self(Purpose::ALL.map(|(_, label)| {
            // A name has no colon, so no two pairs make the same text.
            let derived = hmac::sign(&main, format!("evenfold:{VERSION}:{label}:{cluster}").as_bytes());
            hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
        }))
    }

    /// The head and the body as one message for this place, and its code. The number of the place's parts is the
    /// purpose's.
    pub(super) fn seal(&self, purpose: Purpose, place: &[&[u8]], head: &[u8], body: &[u8]) -> (Bytes, Code) {
        let mut message = BytesMut::with_capacity(SEALED + head.len() + body.len());
        message.put_u8(VERSION);
        message.put_slice(head);
        message.put_slice(body);
        let code = self.code(purpose, place, &message);
        message.put_slice(&code.0);
        (message.freeze(), code)
    }

    /// None for what was not sealed for this purpose and place, by a node of this cluster.
    pub(super) fn open<const HEAD: usize>(
        &self,
        purpose: Purpose,
        place: &[&[u8]],
        mut message: Bytes,
    ) -> Option<Opened<HEAD>> {
        if message.len() < SEALED + HEAD || message[0] != VERSION {
            return None;
        }
        let given = message.split_off(message.len() - CODE);
        let code = self.code(purpose, place, &message);
        if !bool::from(code.0.ct_eq(&given)) {
            return None;
        }
        let body = message.split_off(1 + HEAD);
        Some(Opened { head: message[1..].try_into().ok()?, body, code })
    }

    fn code(&self, purpose: Purpose, place: &[&[u8]], message: &[u8]) -> Code {
        let mut context = hmac::Context::with_key(&self.0[purpose as usize]);
        for part in place {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.update(message);
        let mut code = [0; CODE];
        code.copy_from_slice(context.sign().as_ref());
        Code(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seal(secret: &str, cluster: &str) -> Seal {
        Seal::new(&ClusterSecret::new(secret).unwrap(), &NodeId::new(cluster).unwrap())
    }

    const SECRET: &str = "0123456789abcdef";

    #[test]
    fn each_purpose_has_its_own_key() {
        for (at, (purpose, _)) in Purpose::ALL.into_iter().enumerate() {
            assert_eq!(purpose as usize, at);
        }
    }

    #[test]
    fn a_sealed_message_opens_for_its_purpose_place_cluster_and_secret_alone() {
        let own = seal(SECRET, "c");
        for (purpose, _) in Purpose::ALL {
            let (message, code) = own.seal(purpose, &[b"a", b"b"], &[7, 8], b"body");
            let opened = own.open::<2>(purpose, &[b"a", b"b"], message.clone()).unwrap();
            assert_eq!((opened.head, &*opened.body, opened.code.0), ([7, 8], &b"body"[..], code.0));
            for (other, _) in Purpose::ALL.into_iter().filter(|(other, _)| *other != purpose) {
                assert!(own.open::<2>(other, &[b"a", b"b"], message.clone()).is_none(), "{purpose:?} as {other:?}");
            }
            for place in [&[&b"ab"[..], b""][..], &[b"a", b"c"], &[b"b", b"a"], &[b"a"]] {
                assert!(own.open::<2>(purpose, place, message.clone()).is_none(), "{purpose:?} for {place:?}");
            }
            for stranger in [seal(SECRET, "d"), seal("0123456789abcdeg", "c")] {
                assert!(stranger.open::<2>(purpose, &[b"a", b"b"], message.clone()).is_none(), "{purpose:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bit_can_be_changed_and_no_byte_added_or_cut(body: Vec<u8>, at: usize, bit in 0..8_u32, cut: usize) {
            let own = seal(SECRET, "c");
            let (message, _) = own.seal(Purpose::Request, &[b"a"], &[0; 8], &body);
            let mut changed = message.to_vec();
            changed[at % message.len()] ^= 1 << bit;
            prop_assert!(own.open::<8>(Purpose::Request, &[b"a"], changed.into()).is_none());
            let part = message.slice(..cut % message.len());
            prop_assert!(own.open::<8>(Purpose::Request, &[b"a"], part).is_none());
            let more = [&message[..], b"x"].concat();
            prop_assert!(own.open::<8>(Purpose::Request, &[b"a"], more.into()).is_none());
        }

        #[test]
        fn bytes_that_are_no_message_do_no_harm(bytes: Vec<u8>) {
            prop_assert!(seal(SECRET, "c").open::<24>(Purpose::Topic, &[b"t"], bytes.into()).is_none());
        }
    }
}
