//! The replies that an actor remembers.

use super::key::RequestKey;
use std::collections::VecDeque;

/// The encoded replies to the last requests that had keys, the oldest first. There are few: they are looked through.
#[derive(Debug, Default)]
pub(super) struct Answered(VecDeque<(RequestKey, Vec<u8>)>);

impl Answered {
    pub(super) fn reply(&self, key: RequestKey) -> Option<&[u8]> {
        self.0.iter().find(|(answered, _)| *answered == key).map(|(_, reply)| &**reply)
    }

    /// Remembers one, and forgets those before so many.
    pub(super) fn remember(&mut self, key: RequestKey, reply: Vec<u8>, most: usize) {
        self.0.push_back((key, reply));
        while self.0.len() > most {
            self.0.pop_front();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_list(self) -> Vec<(RequestKey, Vec<u8>)> {
        self.0.into()
    }

    /// Takes over what another node has answered.
    pub(super) fn extend(&mut self, answered: Vec<(RequestKey, Vec<u8>)>) {
        self.0.extend(answered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_replies_are_remembered() {
        let mut answered = Answered::default();
        for key in 0..5_u8 {
            answered.remember(u128::from(key).into(), vec![key], 3);
        }
        let replies: Vec<_> = (0..5_u128).map(|key| answered.reply(key.into()).map(<[u8]>::to_vec)).collect();
        assert_eq!(replies, [None, None, Some(vec![2]), Some(vec![3]), Some(vec![4])]);
    }
}
