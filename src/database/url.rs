//! Database URLs as libpq takes them: several hosts, IPv6 addresses, sockets; and nothing of one that may be secret in
//! a message.

use super::ConnectError;
use sqlx::postgres::PgConnectOptions;

const ENCODE: &str = "a character in the user, the password or the name of the database must be percent-encoded: \
    / is %2F, # is %23, ? is %3F, @ is %40, : is %3A, % is %25";

const VALUES: &str = "a parameter has a value that is not known: sslmode is disable, allow, prefer, require, verify-ca or \
    verify-full, and hostaddr is an IP address; percent-encode the ? (%3F) if it belongs to the password";

/// Parameters that PostgreSQL's own clients know, and that change nothing here: time limits are evenfold's, and the
/// rest is about what the driver does not do.
const WITHOUT_EFFECT: [&str; 16] = [
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "pgbouncer",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcompression",
    "sslsni",
    "tcp_user_timeout",
];

/// Those that the driver knows.
const KNOWN: [&str; 15] = [
    "application_name",
    "dbname",
    "hostaddr",
    "options",
    "password",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// What a URL says.
#[derive(Debug)]
pub(super) struct Parsed {
    /// One for each host, in their order.
    pub(super) hosts: Vec<PgConnectOptions>,
    /// The settings of `options`, which poolers refuse as what they are: they are set after connecting.
    pub(super) settings: Vec<(String, String)>,
}

/// Reads a URL.
pub(super) fn parse(url: &str) -> Result<Parsed, ConnectError> {
    let wrong = |problem: &str| ConnectError::Url(problem.to_owned());
    let Some(rest) = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")) else {
        return Err(wrong("it starts with neither postgres:// nor postgresql://"));
    };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    // Whatever is behind one of these in the wrong place may be the rest of a password.
    if authority.matches('@').count() > 1 || tail.contains('#') || path.contains('@') {
        return Err(wrong(ENCODE));
    }
    let (login, places) = authority.rsplit_once('@').unwrap_or(("", authority));
    let parameters = Parameters::of(query).map_err(wrong)?;
    let places = parameters.places(places).map_err(wrong)?;
    let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
    let common: String = [("user", Some(user).filter(|user| !user.is_empty())), ("password", password)]
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}={}&", value?.replace('+', "%2B"))))
        .collect();
    let hosts = places.iter().map(|place| {
        let parsed = format!("postgres://{path}?{common}{}{}", place.query(), parameters.passed_on.join("&")).parse();
        // The driver's error shows the value, which may be a part of a password.
        parsed.map_err(|_| wrong(VALUES)).map(|options: PgConnectOptions| {
            // The driver's default is refused by poolers, and is PostgreSQL's own since 12.
            options.extra_float_digits(None)
        })
    });
    Ok(Parsed { hosts: hosts.collect::<Result<_, _>>()?, settings: parameters.settings().map_err(wrong)? })
}

/// A host and a port, as the URL has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Place<'a> {
    host: &'a str,
    port: Option<u16>,
}

impl Place<'_> {
    fn query(&self) -> String {
        let host = Some(self.host).filter(|host| !host.is_empty()).map(|host| format!("host={host}&"));
        let port = self.port.map(|port| format!("port={port}&"));
        [host, port].into_iter().flatten().collect()
    }
}

/// What is behind the `?`.
#[derive(Debug, Default)]
struct Parameters<'a> {
    host: Option<&'a str>,
    port: Option<&'a str>,
    options: Vec<&'a str>,
    /// For the driver.
    passed_on: Vec<&'a str>,
}

impl<'a> Parameters<'a> {
    fn of(query: &'a str) -> Result<Self, &'static str> {
        let mut all = Self::default();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').ok_or(ENCODE)?;
            match key {
                "host" => all.host = Some(value),
                "port" => all.port = Some(value),
                "options" => all.options.push(value),
                "target_session_attrs" if ["any", "primary", "read-write"].contains(&value) => {}
                "target_session_attrs" => {
                    return Err("evenfold needs the primary: leave target_session_attrs out, or make it primary");
                }
                _ if WITHOUT_EFFECT.contains(&key) => {}
                _ if KNOWN.contains(&key) => all.passed_on.push(parameter),
                // Its name may be a part of a password.
                _ => {
                    return Err("it has a parameter that is not known here; take it out, or percent-encode the ? \
                        (%3F) if it belongs to the password");
                }
            }
        }
        Ok(all)
    }

    /// The places to try, one after the other: those of the parameters, or those of the authority.
    fn places(&self, authority: &'a str) -> Result<Vec<Place<'a>>, &'static str> {
        let mut places = authority.split(',').map(place).collect::<Result<Vec<_>, _>>()?;
        if let Some(hosts) = self.host {
            let before = if places.len() == 1 { places[0].port } else { None };
            places = hosts.split(',').map(|host| Place { host, port: before }).collect();
        }
        if let Some(ports) = self.port {
            let ports = ports.split(',').map(port).collect::<Result<Vec<_>, _>>()?;
            match ports.len() {
                1 => places.iter_mut().for_each(|place| place.port = ports[0]),
                n if n == places.len() => {
                    places.iter_mut().zip(ports).for_each(|(place, port)| place.port = port);
                }
                _ => return Err("it has another number of ports than of hosts: give one for each, or one for all"),
            }
        }
        Ok(places)
    }

    fn settings(&self) -> Result<Vec<(String, String)>, &'static str> {
        let decoded = |value: &&str| {
            // The driver decodes it, and puts it behind what the environment says.
            let options: PgConnectOptions = format!("postgres:///?options={value}").parse().map_err(|_| ENCODE)?;
            let text = options.get_options().unwrap_or_default();
            let before = std::env::var("PGOPTIONS").unwrap_or_default();
            settings(text.strip_prefix(&before).unwrap_or(text))
        };
        Ok(self.options.iter().map(decoded).collect::<Result<Vec<_>, _>>()?.concat())
    }
}

/// `host`, `host:port` or `[address]:port`.
fn place(text: &str) -> Result<Place<'_>, &'static str> {
    let (host, after) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("an IPv6 address ends with ]")?,
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    match after.strip_prefix(':') {
        Some(number) => Ok(Place { host, port: port(number)? }),
        None if after.is_empty() => Ok(Place { host, port: None }),
        None => Err("after an IPv6 address in brackets comes :port, or nothing"),
    }
}

fn port(text: &str) -> Result<Option<u16>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    // What is taken for a port here may be a password without an @ behind it.
    let wrong = "the port is no number from 1 to 65535; where a password has / # ? or @, percent-encode them \
        (%2F %23 %3F %40)";
    text.parse().ok().filter(|port| *port > 0).map(Some).ok_or(wrong)
}

/// The settings in the text of `options`: `-c name=value` or `--name=value`, with a backslash before a space.
fn settings(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let wrong = "options can be -c name=value or --name=value only";
    let mut words = words(text).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
            Some("") => words.next().ok_or(wrong)?,
            Some(setting) => setting.to_owned(),
            None => return Err(wrong),
        };
        let (name, value) = setting.split_once('=').ok_or(wrong)?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => words.last_mut().zip(characters.next()).into_iter().for_each(|(word, next)| word.push(next)),
            space if space.is_ascii_whitespace() => words.push(String::new()),
            other => words.last_mut().into_iter().for_each(|word| word.push(other)),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a URL leads: host or socket, port, user, database.
    fn leads(url: &str) -> Vec<String> {
        let shown = |host: &PgConnectOptions| {
            let place = host.get_socket().map_or(host.get_host().to_owned(), |socket| socket.display().to_string());
            format!("{place} {} {} {:?}", host.get_port(), host.get_username(), host.get_database())
        };
        parse(url).map_or_else(|error| vec![error.to_string()], |parsed| parsed.hosts.iter().map(shown).collect())
    }

    #[test]
    fn hosts_are_taken_as_libpq_takes_them() {
        for (url, expected) in [
            ("postgres://u:p@h:1/d", &["h 1 u Some(\"d\")"][..]),
            ("postgresql://u@[::1]:7/d", &["::1 7 u Some(\"d\")"]),
            ("postgres://u@[::1]/d", &["::1 5432 u Some(\"d\")"]),
            ("postgres://u@/d?host=/tmp/x", &["/tmp/x 5432 u Some(\"d\")"]),
            ("postgres:///d?host=/tmp/x&user=u&port=9", &["/tmp/x 9 u Some(\"d\")"]),
            ("postgres://u@%2Ftmp%2Fx/d", &["/tmp/x 5432 u Some(\"d\")"]),
            ("postgres://u@localhost/d?host=/tmp/x", &["/tmp/x 5432 u Some(\"d\")"]),
            (
                "postgres://u@a,b:2,[::1]:3/d?target_session_attrs=read-write",
                &["a 5432 u Some(\"d\")", "b 2 u Some(\"d\")", "::1 3 u Some(\"d\")"],
            ),
            ("postgres://u@/d?host=a,b&port=1,2", &["a 1 u Some(\"d\")", "b 2 u Some(\"d\")"]),
            ("postgres://u%40x@h:1/a%20b", &["h 1 u@x Some(\"a b\")"]),
        ] {
            assert_eq!(leads(url), expected, "{url}");
        }
    }

    #[test]
    fn nothing_of_a_url_that_may_be_secret_is_in_a_message() {
        let mut wrong = Vec::new();
        for secret in [
            "se/cret",
            "se#cret",
            "se@cret",
            "se?cret",
            "1/cret",
            "se?c=ret",
            "12?c=ret",
            "12?sslmode=cret",
            "/cret",
            "@cret",
        ] {
            for url in [format!("postgres://user:{secret}@host:5432/db"), format!("postgres://user:{secret}@host/db")] {
                let message = leads(&url).join(" ");
                if !message.contains("percent-encode") || message.contains("cret") || message.contains("se/") {
                    wrong.push(format!("{url}: {message}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        let message = leads("postgres://user:secret").join(" ");
        assert!(message.contains("the port is no number") && !message.contains("secret"), "{message}");
    }

    #[test]
    fn a_bad_url_is_refused_in_a_sentence() {
        for (url, phrase) in [
            ("mysql://h/d", "starts with neither"),
            ("postgres://h/d?sslmode=maybe", "sslmode is disable, allow"),
            ("postgres://h/d?target_session_attrs=standby", "evenfold needs the primary"),
            ("postgres://h/d?sslmodus=disable", "a parameter that is not known here"),
            ("postgres://h/d?host=a,b&port=1,2,3", "another number of ports"),
            ("postgres://[::1/d", "ends with ]"),
            ("postgres://h/d?options=-x", "-c name=value or --name=value only"),
        ] {
            let message = leads(url).join(" ");
            assert!(message.contains(phrase), "{url}: {message}");
        }
    }

    #[test]
    fn options_are_settings() -> Result<(), ConnectError> {
        let parsed = parse("postgres://h/d?options=-c%20search_path%3Da,b%20--work-mem%3D1MB%20-crole%3Dx%5C%20y")?;
        let expected = [("search_path", "a,b"), ("work_mem", "1MB"), ("role", "x y")];
        assert_eq!(parsed.settings, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Ok(())
    }
}
