//! Who connects, as the address says it: the client reads only the host and the port of one.

use async_nats::{ConnectOptions, ServerAddr};

/// With the user and the password of the first address that has them, or its token: a user alone.
pub(super) fn identify(options: ConnectOptions, servers: &[ServerAddr]) -> ConnectOptions {
    let Some((user, password)) = servers.iter().find_map(|server| Some((server.username()?, server.password()))) else {
        return options;
    };
    match password {
        Some(password) => options.user_and_password(decoded(user), decoded(password)),
        None => options.token(decoded(user)),
    }
}

/// Text as it was before `@`, `:` and `/` were percent-encoded, to be written in an address. What is no encoding stays
/// as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let encoded = hex.filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = encoded.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_can_not_have_is_decoded_and_the_rest_is_left() {
        for (encoded, text) in
            [("p%40ss%3a%2F", "p@ss:/"), ("%C3%bc", "ü"), ("100%", "100%"), ("%+1%zz", "%+1%zz"), ("", "")]
        {
            assert_eq!(decoded(encoded), text, "{encoded}");
        }
    }
}
