//! The page /docs of each service has an example and a curl line for each operation, which does what the page says when
//! it is copied into a shell.

use crate::support::{Caching, Serving, scratch};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const TOKEN: &str = "right'$\"";

/// In an order in which each finds what its example has.
const OF_THE_CACHE: [&str; 13] = [
    "put /v1/kv/{key}",
    "get /v1/kv/{key}",
    "post /v1/kv/incr",
    "post /v1/kv/batch/set",
    "post /v1/kv/batch/get",
    "post /v1/kv/batch/delete",
    "delete /v1/kv/{key}",
    "post /v1/admin/resize",
    "get /healthz",
    "get /readyz",
    "get /metrics",
    "post /v1/admin/drain",
    "post /v1/admin/resume",
];

const OF_THE_COUNTERS: [&str; 6] = [
    "post /counter/{id}/increment",
    "get /counter/{id}",
    "get /counters",
    "get /counter/{id}/watch",
    "get /healthz",
    "get /readyz",
];

/// A service that runs, and what its documentation shows.
struct Documentation {
    api: Value,
    page: Value,
    curl_home: PathBuf,
}

/// What curl has printed.
struct Printed {
    status: u16,
    body: String,
}

impl Documentation {
    fn of(address: SocketAddr) -> Self {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/all/http_curl/page.mjs");
        let node = Command::new("node").args([program, &format!("http://{address}")]).output().expect("node");
        assert!(node.status.success(), "{}", String::from_utf8_lossy(&node.stderr));
        let curl_home = scratch().join(format!("curl-{}", address.port()));
        std::fs::create_dir_all(&curl_home).unwrap();
        // What a line prints is its own; that the status is printed too is up to whoever copies it.
        std::fs::write(curl_home.join(".curlrc"), "silent\nshow-error\ninclude\nmax-time = 20\n").unwrap();
        let page: Value = serde_json::from_slice(&node.stdout).unwrap();
        Self { api: page["api"].clone(), page, curl_home }
    }

    /// The line that the page shows for an operation, which is that of the document.
    fn line(&self, operation: &str) -> &str {
        let all = self.page["operations"].as_array().unwrap();
        let shown = all.iter().find(|shown| shown["operation"] == operation).unwrap_or_else(|| panic!("{operation}"));
        let lines = shown["lines"].as_array().unwrap();
        assert_eq!(lines.len(), 1, "{operation}");
        let line = lines[0].as_str().unwrap();
        assert_eq!(self.operation(operation)["x-codeSamples"][0]["source"], line, "{operation}");
        line
    }

    fn operation(&self, operation: &str) -> &Value {
        let (method, path) = operation.split_once(' ').unwrap();
        &self.api["paths"][path][method]
    }

    fn needs_token(&self, operation: &str) -> bool {
        let line = self.line(operation);
        assert!(!line.contains(TOKEN));
        line.contains("$API_TOKEN")
    }

    /// Runs the line as it is shown.
    fn run(&self, operation: &str, token: Option<&str>) -> Printed {
        let mut shell = Command::new("sh");
        shell.args(["-c", self.line(operation)]).env_remove("API_TOKEN").envs(token.map(|token| ("API_TOKEN", token)));
        shell.env("CURL_HOME", &self.curl_home).env("NO_PROXY", "*").process_group(0);
        let mut child = shell.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let head = lines(&mut out);
        let status = head.split(' ').nth(1).unwrap_or_else(|| panic!("{operation}: {head:?}")).parse().unwrap();
        let mut body = String::new();
        if operation.ends_with("/watch") && status == 200 {
            body = lines(&mut out);
            killpg(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGKILL).unwrap();
            child.wait().unwrap();
        } else {
            out.read_to_string(&mut body).unwrap();
            assert!(child.wait().unwrap().success(), "{operation}: {head}{body}");
        }
        Printed { status, body }
    }

    /// The line is answered as the document says: with this status, and a body like its example.
    fn assert_answered(&self, operation: &str, token: Option<&str>) {
        let Printed { status, body } = self.run(operation, token);
        assert!(status < 300, "{operation}: {status} {body}");
        let documented = &self.operation(operation)["responses"][status.to_string()];
        assert!(documented.is_object(), "{operation}: {status} is not documented");
        let Some(content) = documented["content"].as_object() else {
            assert_eq!(body, "", "{operation}");
            return;
        };
        let example = &content.values().next().unwrap()["example"];
        match example {
            Value::String(text) if operation.ends_with("/watch") => assert_eq!(body.trim_end(), text.trim_end()),
            Value::String(text) => assert!(text.lines().all(|line| body.contains(&format!("{line}\n"))), "{body}"),
            example => {
                let answered: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{operation}: {body}"));
                assert!(is_like(&answered, example), "{operation}: {answered} is not like {example}");
            }
        }
    }

    /// Every operation of the page has one line, and every parameter and body an example.
    fn assert_complete(&self, operations: &[&str]) {
        let shown = self.page["operations"].as_array().unwrap();
        assert_eq!(shown.len(), operations.len(), "{shown:?}");
        let all: usize =
            self.api["paths"].as_object().unwrap().values().map(|all| all.as_object().unwrap().len()).sum();
        assert_eq!(all, operations.len());
        for operation in operations.iter().map(|operation| self.operation(operation)) {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            assert!(parameters.into_iter().all(|parameter| !parameter["example"].is_null()), "{operation}");
            let contents =
                operation["responses"].as_object().unwrap().iter().filter(|(status, _)| status.as_str() < "4");
            for content in contents.map(|(_, answer)| answer).chain([&operation["requestBody"]]) {
                let mut content = content["content"].as_object().into_iter().flat_map(|content| content.values());
                assert!(content.all(|content| !content["example"].is_null()), "{operation}");
            }
        }
    }
}

/// The lines up to an empty one.
fn lines(out: &mut impl BufRead) -> String {
    let mut text = String::new();
    while out.read_line(&mut text).unwrap() > 0 {
        if text.ends_with("\n\n") || text.ends_with("\r\n\r\n") {
            break;
        }
    }
    text
}

/// Whether a value has the fields of the example, and values of the same types.
fn is_like(value: &Value, example: &Value) -> bool {
    match (value, example) {
        (Value::Object(value), Value::Object(example)) => {
            value.len() == example.len()
                && example.iter().all(|(key, example)| value.get(key).is_some_and(|value| is_like(value, example)))
        }
        (Value::Array(values), Value::Array(examples)) => {
            !values.is_empty() && values.iter().all(|value| examples.iter().any(|example| is_like(value, example)))
        }
        (Value::Number(_), Value::Number(_)) => true,
        (Value::String(value), Value::String(example)) if is_moment(example) => is_moment(value),
        (value, example) => value == example,
    }
}

/// Whether it is a moment in UTC, to the millisecond.
fn is_moment(text: &str) -> bool {
    text.replace(|c: char| c.is_ascii_digit(), "0") == "0000-00-00T00:00:00.000Z"
}

/// With `API_TOKEN` in the shell every line does what it says; without, those that need it are refused, and no other.
fn assert_lines(address: SocketAddr, operations: &[&str], token: Option<&str>, needed: &[&str]) {
    let documentation = Documentation::of(address);
    documentation.assert_complete(operations);
    for operation in operations {
        assert_eq!(documentation.needs_token(operation), needed.contains(operation), "{operation}");
        if needed.contains(operation) {
            for token in [None, Some("wrong")] {
                let Printed { status, body } = documentation.run(operation, token);
                assert!(status == 401 && body.contains("\"unauthorized\""), "{operation}: {status} {body}");
                assert!(documentation.operation(operation)["responses"]["401"].is_object(), "{operation}");
            }
        }
        documentation.assert_answered(operation, token);
    }
    std::fs::remove_dir_all(&documentation.curl_home).unwrap();
}

const WITH_TOKEN: [(&str, &str); 1] = [("API_TOKEN", TOKEN)];

const READS_TOO: [(&str, &str); 2] = [("API_TOKEN", TOKEN), ("READ_REQUIRES_AUTH", "true")];

#[test]
fn every_curl_line_of_the_counters_is_answered_as_documented_with_and_without_a_token() {
    let start = |variables: &[_]| Serving::start(&["--volatile"], variables);
    let open = start(&[]);
    assert_lines(open.address, &OF_THE_COUNTERS, None, &[]);
    let token = start(&WITH_TOKEN);
    assert_lines(token.address, &OF_THE_COUNTERS, Some(TOKEN), &OF_THE_COUNTERS[..1]);
    let reads = start(&READS_TOO);
    assert_lines(reads.address, &OF_THE_COUNTERS, Some(TOKEN), &OF_THE_COUNTERS[..4]);
}

#[test]
fn every_curl_line_of_the_cache_is_answered_as_documented_with_and_without_a_token() {
    let (reads, open) = ([1, 4], [8, 9, 10]);
    let but = |left_out: &[usize]| -> Vec<&str> {
        let needed = OF_THE_CACHE.iter().enumerate().filter(|(at, _)| !left_out.contains(at));
        needed.map(|(_, operation)| *operation).collect()
    };
    assert_lines(Caching::start(&[], &[]).address, &OF_THE_CACHE, None, &[]);
    let token = Caching::start(&[], &WITH_TOKEN);
    assert_lines(token.address, &OF_THE_CACHE, Some(TOKEN), &but(&[&reads[..], &open].concat()));
    let all = Caching::start(&[], &READS_TOO);
    assert_lines(all.address, &OF_THE_CACHE, Some(TOKEN), &but(&open));
}

#[test]
fn the_page_says_how_to_authorise_and_what_this_service_asks_for() {
    let section = |variables: &[_]| {
        let (counters, cache) = (Serving::start(&["--volatile"], variables), Caching::start(&[], variables));
        let of = |address| Documentation::of(address).page["authorisation"].as_str().unwrap().to_owned();
        [of(counters.address), of(cache.address)]
    };
    let [open, token, reads] = [section(&[]), section(&WITH_TOKEN), section(&READS_TOO)];
    for (sections, now) in [
        (&open, "This service has no token: no request needs one."),
        (&token, "This service has a token: changes need it, reads do not."),
        (&reads, "This service has a token: changes and reads need it."),
    ] {
        for (section, header, change) in [
            (&sections[0], "Authorization: Bearer TOKEN", "these need it: POST /counter/{id}/increment."),
            (&sections[1], "X-API-Token: TOKEN", "these need it: PUT /v1/kv/{key}, DELETE /v1/kv/{key}, "),
        ] {
            for part in [now, header, change, "API_TOKEN", "READ_REQUIRES_AUTH=true", "401", "GET /healthz"] {
                assert!(section.contains(part), "{part:?} is not in {section}");
            }
            assert!(!section.contains(TOKEN), "the token is not shown");
        }
    }
}
