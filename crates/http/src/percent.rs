//! Percent-encoding (RFC 3986).

use std::borrow::Cow;

/// A text that can't be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEncoding {
    /// A percent sign without two hex digits.
    #[error("a percent sign in the path starts two hex digits; %25 is one")]
    Digits,
    /// Bytes that are no UTF-8.
    #[error("the path must be percent-encoded UTF-8")]
    Utf8,
}

/// The text that an encoded one stands for. Most need no decoding, and are not copied.
pub fn decoded(encoded: &str) -> Result<Cow<'_, str>, InvalidEncoding> {
    if !encoded.contains('%') {
        return Ok(Cow::Borrowed(encoded));
    }
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => escaped(&mut rest).ok_or(InvalidEncoding::Digits)?,
            other => other,
        });
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| InvalidEncoding::Utf8)
}

fn escaped(digits: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let mut digit = || char::from(digits.next()?).to_digit(16);
    let (high, low) = (digit()?, digit()?);
    u8::try_from(high * 16 + low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wrong_encoding_is_reported() {
        for wrong in ["%", "%4", "%zz", "%+1", "a%"] {
            assert_eq!(decoded(wrong), Err(InvalidEncoding::Digits), "{wrong}");
        }
        for wrong in ["%C3", "%FF%FE", "%ED%A0%80"] {
            assert_eq!(decoded(wrong), Err(InvalidEncoding::Utf8), "{wrong}");
        }
        assert!(matches!(decoded("a+b"), Ok(Cow::Borrowed("a+b"))), "a path has no other spelling of a space");
    }

    proptest! {
        #[test]
        fn every_text_can_be_written(text: String) {
            let encoded = text.bytes().fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02x}"));
            prop_assert_eq!(decoded(&encoded), Ok(Cow::Owned(text)));
        }
    }
}
