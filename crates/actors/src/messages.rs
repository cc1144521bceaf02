//! The messages of an actor, as a tuple.

use super::call::{Call, Remote, RemoteReply};
use super::message::{Handle, Message};

/// A tuple of messages that an actor handles. It is implemented for tuples of up to 8 messages.
pub trait Messages<A>: Send + 'static {
    /// What they are called, in their order.
    #[doc(hidden)]
    fn names() -> Vec<&'static str>;

    /// The message of this number as it was sent; none if it can't be read.
    #[doc(hidden)]
    fn read(number: usize, message: &[u8], reply: RemoteReply) -> Option<Box<dyn Call<A>>>;
}

/// The tuple has this message, at the place that the compiler finds. A message that is in it twice has none.
pub trait Includes<M, Place> {
    /// The place.
    #[doc(hidden)]
    const NUMBER: usize;
}

/// A place in a tuple.
#[derive(Debug, Clone, Copy)]
pub struct Place<const NUMBER: usize>;

macro_rules! includes {
    (($($all:ident),+), $number:literal, $message:ident) => {
        impl<$($all),+> Includes<$message, Place<$number>> for ($($all,)+) {
            const NUMBER: usize = $number;
        }
    };
}

macro_rules! messages {
    ($all:tt: $($number:literal $message:ident),+) => {
        impl<A, $($message),+> Messages<A> for ($($message,)+)
        where
            $(A: Handle<$message>,)+
            $($message: Message,)+
        {
            fn names() -> Vec<&'static str> {
                vec![$($message::name()),+]
            }

            fn read(number: usize, message: &[u8], reply: RemoteReply) -> Option<Box<dyn Call<A>>> {
                match number {
                    $($number => Some(Box::new(Remote::<$message>::read(number, message, reply)?)),)+
                    _ => None,
                }
            }
        }

        $(includes!($all, $number, $message);)+
    };
}

messages!((M0): 0 M0);
messages!((M0, M1): 0 M0, 1 M1);
messages!((M0, M1, M2): 0 M0, 1 M1, 2 M2);
messages!((M0, M1, M2, M3): 0 M0, 1 M1, 2 M2, 3 M3);
messages!((M0, M1, M2, M3, M4): 0 M0, 1 M1, 2 M2, 3 M3, 4 M4);
messages!((M0, M1, M2, M3, M4, M5): 0 M0, 1 M1, 2 M2, 3 M3, 4 M4, 5 M5);
messages!((M0, M1, M2, M3, M4, M5, M6): 0 M0, 1 M1, 2 M2, 3 M3, 4 M4, 5 M5, 6 M6);
messages!((M0, M1, M2, M3, M4, M5, M6, M7): 0 M0, 1 M1, 2 M2, 3 M3, 4 M4, 5 M5, 6 M6, 7 M7);
