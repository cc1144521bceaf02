//! Which names a service answers to.
//!
//! A page in a browser can have its own name resolved to an address of this machine, and then reads what a service
//! there answers, as if it were the page's own (DNS rebinding). The header Host still has the page's name.

use axum::http::{HeaderMap, Uri, Version, header};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The only name that is of this machine everywhere.
const LOCALHOST: &str = "localhost";

/// Names of hosts that a service answers to, besides its own address. Clones are cheap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Arc<[Host<Box<str>>]>);

/// A host: without its port, which says nothing about who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host<T> {
    /// In any case, without a dot at its end.
    Name(T),
    Address(IpAddr),
}

/// A name that no request could have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a host; give names or addresses without ports, as in counters.example,10.1.2.3")]
pub struct InvalidHost(String);

impl AllowedHosts {
    /// These names or IP addresses, without ports.
    ///
    /// # Errors
    ///
    /// [`InvalidHost`] for the first that is neither.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidHost> {
        let host = |name: &str| match Host::named(name.trim()) {
            Some(Host::Name(name)) => Ok(Host::Name(name.into())),
            Some(Host::Address(address)) => Ok(Host::Address(address)),
            None => Err(InvalidHost(name.to_owned())),
        };
        names.into_iter().map(host).collect::<Result<_, _>>().map(Self)
    }
}

impl<'a> Host<&'a str> {
    fn named(name: &'a str) -> Option<Self> {
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        if let Ok(address) = address.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        (!name.is_empty() && name.bytes().all(fits)).then_some(Self::Name(name))
    }

    /// What a request asks for: a name or an address, in brackets if it has colons, and perhaps a port.
    fn asked(authority: &'a str) -> Option<Self> {
        let bracketed = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = if let Some((address, port)) = bracketed {
            let address = address.parse::<IpAddr>().ok().filter(IpAddr::is_ipv6)?;
            (Self::Address(address.to_canonical()), port)
        } else {
            let (name, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            (Self::named(name)?, port)
        };
        let is_port = |port: &str| {
            port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
        };
        (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(host)
    }

    fn is(self, other: &Host<Box<str>>) -> bool {
        match (self, other) {
            (Self::Name(name), Host::Name(other)) => name.eq_ignore_ascii_case(other),
            (Self::Address(address), Host::Address(other)) => address == *other,
            _ => false,
        }
    }
}

/// What one connection answers to.
#[derive(Debug)]
pub(super) struct Names {
    own: IpAddr,
    /// Its address as almost every request has it, so that most are compared and not parsed.
    text: String,
    allowed: AllowedHosts,
}

impl Names {
    /// The names for a connection that came to this address of a listener; none if every name is fine, as it is for
    /// services that other machines reach, unless some are listed.
    pub(super) fn of(listener: IpAddr, local: SocketAddr, allowed: &AllowedHosts) -> Option<Self> {
        let any = !listener.is_loopback() && allowed.0.is_empty();
        (!any).then(|| Self { own: local.ip().to_canonical(), text: local.to_string(), allowed: allowed.clone() })
    }

    /// Whether a request is for this service, by the header Host, and by the target if that has a host as well. Without
    /// Host only the oldest of clients ask, which are no browsers.
    pub(super) fn include(&self, version: Version, target: &Uri, headers: &HeaderMap) -> bool {
        if target.authority().is_some_and(|authority| !self.has(authority.as_str())) {
            return false;
        }
        let mut given = headers.get_all(header::HOST).iter();
        match (given.next(), given.next()) {
            (Some(host), None) => {
                host.as_bytes() == self.text.as_bytes() || host.to_str().is_ok_and(|host| self.has(host))
            }
            (None, _) => version < Version::HTTP_11,
            (Some(_), Some(_)) => false,
        }
    }

    fn has(&self, authority: &str) -> bool {
        Host::asked(authority)
            .is_some_and(|host| self.is_own(host) || self.allowed.0.iter().any(|allowed| host.is(allowed)))
    }

    /// A page can't have an address for a name, so that its own is fine for every service.
    fn is_own(&self, host: Host<&str>) -> bool {
        match host {
            Host::Address(address) => address == self.own,
            Host::Name(name) => self.own.is_loopback() && name.eq_ignore_ascii_case(LOCALHOST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn names(local: &str, allowed: &[&str]) -> Option<Names> {
        let local: SocketAddr = local.parse().unwrap();
        Names::of(local.ip(), local, &AllowedHosts::new(allowed.iter().copied()).unwrap())
    }

    fn includes(names: &Names, hosts: &[&str]) -> bool {
        let host = |host: &&str| (HeaderName::from_static("host"), HeaderValue::from_str(host).unwrap());
        names.include(Version::HTTP_11, &Uri::from_static("/"), &hosts.iter().map(host).collect())
    }

    #[test]
    fn a_service_on_loopback_answers_to_its_address_and_to_localhost() {
        let four = names("127.0.0.1:8080", &[]).unwrap();
        for own in
            ["127.0.0.1:8080", "127.0.0.1", "127.0.0.1:9000", "localhost", "LocalHost:8080", "localhost.", "localhost:"]
        {
            assert!(includes(&four, &[own]), "{own}");
        }
        let six = names("[::1]:8080", &[]).unwrap();
        for own in ["[::1]:8080", "[::1]", "[0:0::1]:1", "localhost:8080"] {
            assert!(includes(&six, &[own]), "{own}");
        }
        for wrong in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil-localhost",
            "127.0.0.2",
            "10.0.0.1",
            "[::1",
            "::1",
            "[::2]",
            "[127.0.0.1]",
            "",
            ":8080",
            "localhost:x",
            "localhost:+1",
            "localhost:65536",
            "user@localhost",
            "localhost/",
            "localhost,evil.example",
            "2130706433",
            "0",
        ] {
            assert!(
                !includes(&four, &[wrong]) && !includes(&six, &[wrong.replace("[::1", "[::3").as_str()]),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_request_names_one_host_wherever_it_names_it() {
        let names = names("127.0.0.1:8080", &[]).unwrap();
        assert!(!includes(&names, &[]) && !includes(&names, &["localhost", "localhost"]));
        let of = |version, target: &'static str, host: Option<&'static str>| {
            let host = host.map(|host| (header::HOST, HeaderValue::from_static(host)));
            names.include(version, &Uri::from_static(target), &host.into_iter().collect())
        };
        assert!(of(Version::HTTP_10, "/", None) && !of(Version::HTTP_11, "/", None));
        assert!(!of(Version::HTTP_10, "/", Some("evil.example")));
        assert!(of(Version::HTTP_11, "http://localhost:8080/", Some("localhost:8080")));
        assert!(!of(Version::HTTP_11, "http://evil.example/", Some("localhost")));
        assert!(!of(Version::HTTP_11, "http://localhost/", Some("evil.example")));
        assert!(!of(Version::HTTP_11, "evil.example:80", Some("localhost")), "as CONNECT has it");
    }

    #[test]
    fn a_service_for_other_machines_answers_to_any_name_or_to_those_that_are_listed() {
        assert!(names("0.0.0.0:8080", &[]).is_none());
        let listed = names("10.0.0.1:8080", &["Counters.example", " 10.9.9.9", "fd00::1"]).unwrap();
        for own in ["counters.example", "COUNTERS.EXAMPLE.:80", "10.9.9.9:8080", "10.0.0.1", "[fd00::1]:80"] {
            assert!(includes(&listed, &[own]), "{own}");
        }
        for wrong in ["localhost", "evil.example", "counters.example.evil.example", "10.9.9.8"] {
            assert!(!includes(&listed, &[wrong]), "{wrong}");
        }
        let loopback = names("127.0.0.1:8080", &["counters.example"]).unwrap();
        assert!(includes(&loopback, &["counters.example"]) && includes(&loopback, &["localhost"]));
    }

    #[test]
    fn a_text_that_is_no_name_can_not_be_listed() {
        for wrong in ["", "a b", "a:80", "http://a", "*", "[a]", "10.0.0.1:80"] {
            assert_eq!(AllowedHosts::new(["a", wrong]), Err(InvalidHost(wrong.to_owned())), "{wrong}");
        }
    }
}
