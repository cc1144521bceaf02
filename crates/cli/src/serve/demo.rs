//! What `serve --demo` prints for whoever wants to try the cluster: lines for another terminal.

use evenfold_http::Auth;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A shell replaces it: the token itself would end up in logs and histories.
const TOKEN: &str = r#"-H "Authorization: Bearer $API_TOKEN""#;

/// How wide a terminal is at least.
const COLUMNS: usize = 80;

/// The command lines for this service; each fits into 80 columns.
pub(super) fn lines(address: SocketAddr, auth: Option<&Auth>) -> String {
    let base = base(address);
    let reads = auth.filter(|auth| auth.reads);
    let needed = if auth.is_some() { " where API_TOKEN is set" } else { "" };
    let lines = [
        line("-X POST", &format!("'{base}/counter/a/increment'"), auth),
        line("", &format!("'{base}/counter/a'"), reads),
        line("", &format!("'{base}/counters?top=5'"), reads),
        line("-N", &format!("'{base}/counter/a/watch'"), reads),
    ];
    let [increment, get, top, watch] = lines;
    format!(
        "To try it, in another terminal{needed}: count, read, list,\n\
         and watch each change (Ctrl-C ends that).\n{increment}{get}{top}{watch}"
    )
}

fn line(options: &str, url: &str, auth: Option<&Auth>) -> String {
    let words = ["  curl", if auth.is_some() { TOKEN } else { "" }, options];
    let command: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let command = command.join(" ");
    let line = format!("{command} {url}\n");
    if line.chars().count() <= COLUMNS + 1 { line } else { format!("{command} \\\n    {url}\n") }
}

/// The address as this machine reaches it.
fn base(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenfold_http::ApiToken;

    fn auth(reads: bool) -> Auth {
        Auth { token: ApiToken::new("topsecret").unwrap(), reads }
    }

    #[test]
    fn every_line_fits_into_eighty_columns_and_none_shows_the_token() {
        let text = |address: &str, auth: Option<Auth>| lines(address.parse().unwrap(), auth.as_ref());
        // Without a token there are loopback addresses only.
        for text in [
            text("127.255.255.255:65535", None),
            text("[::1]:65535", None),
            text("[fe80:1234:1234:1234:1234:1234:1234:1234]:65535", Some(auth(false))),
            text("[fe80:1234:1234:1234:1234:1234:1234:1234]:65535", Some(auth(true))),
        ] {
            assert!(!text.contains("topsecret"), "{text}");
            assert_eq!(text.lines().find(|line| line.chars().count() > 80), None, "{text}");
        }
    }

    #[test]
    fn the_token_is_in_the_lines_that_need_it() {
        let with_token = |auth: Option<&Auth>| lines("127.0.0.1:1".parse().unwrap(), auth).matches(TOKEN).count();
        assert_eq!([None, Some(&auth(false)), Some(&auth(true))].map(with_token), [0, 1, 4]);
    }

    #[test]
    fn an_address_that_stands_for_all_is_reached_on_this_machine() {
        let based = |address: &str| base(address.parse().unwrap());
        assert_eq!(based("0.0.0.0:8181"), "http://127.0.0.1:8181");
        assert_eq!(based("[::]:8181"), "http://[::1]:8181");
        assert_eq!(based("192.0.2.7:80"), "http://192.0.2.7:80");
    }
}
