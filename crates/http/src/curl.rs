//! The command line of curl with which an operation can be tried: an example of its request, to be copied into a shell.

use super::auth::Scheme;
use super::method::Method;
use serde_json::{Value, json};
use utoipa::openapi::extensions::Extensions;

/// What the lines have in the place of the service's address, until somebody asks for them: it is that by which the
/// service was reached.
pub(crate) const ADDRESS: &str = "{address}";

/// An example of a request.
#[derive(Debug)]
pub(crate) struct Sample {
    method: Method,
    /// With the example of its parameter in its place.
    path: String,
    query: String,
    body: Option<&'static str>,
    streams: bool,
}

impl Sample {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), query: String::new(), body: None, streams: false }
    }

    pub(crate) fn set_parameter(&mut self, name: &str, value: &str) {
        self.path = self.path.replace(&format!("{{{name}}}"), value);
    }

    pub(crate) fn add_to_query(&mut self, name: &str, value: &Value) {
        let before = if self.query.is_empty() { '?' } else { '&' };
        self.query = format!("{}{before}{name}={value}", self.query);
    }

    pub(crate) fn set_body(&mut self, body: &'static str) {
        self.body = Some(body);
    }

    pub(crate) fn set_stream(&mut self) {
        self.streams = true;
    }

    /// The line, with the token in its place if it needs one.
    pub(crate) fn line(&self, token: Option<Scheme>) -> String {
        let Self { method, path, query, body, streams } = self;
        let method = match method {
            Method::Get if *streams => " -N".to_owned(),
            Method::Get => String::new(),
            other => format!(" -X {}", other.name()),
        };
        let mut line = format!("curl{method} {}", quoted(&format!("http://{ADDRESS}{path}{query}")));
        if let Some(scheme) = token {
            // In double quotes, so that the shell puts the token in.
            line = format!("{line} -H \"{}\"", scheme.header("$API_TOKEN"));
        }
        if let Some(body) = body {
            line = format!("{line} -H 'Content-Type: application/json' -d {}", quoted(body));
        }
        line
    }

    /// As readers of OpenAPI documents expect samples of code.
    pub(crate) fn documented(&self, token: Option<Scheme>) -> Extensions {
        let sample = json!([{"lang": "Shell", "label": "curl", "source": self.line(token)}]);
        Extensions::from_iter([("x-codeSamples", sample)])
    }
}

/// As one word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_the_request_has_and_the_token_where_it_is_needed() {
        let mut sample = Sample::new(Method::Put, "/v1/kv/{key}");
        sample.set_parameter("key", "a");
        sample.add_to_query("top", &1.into());
        sample.add_to_query("of", &2.into());
        let line = "curl -X PUT 'http://{address}/v1/kv/a?top=1&of=2'";
        assert_eq!(sample.line(None), line);
        assert_eq!(sample.line(Some(Scheme::Header)), format!("{line} -H \"X-API-Token: $API_TOKEN\""));
        assert_eq!(sample.line(Some(Scheme::Bearer)), format!("{line} -H \"Authorization: Bearer $API_TOKEN\""));
        sample.set_body("{\"it's\": 1}");
        let body = r#" -H 'Content-Type: application/json' -d '{"it'\''s": 1}'"#;
        assert_eq!(sample.line(None), format!("{line}{body}"));
        let mut stream = Sample::new(Method::Get, "/watch");
        stream.set_stream();
        assert_eq!(stream.line(None), "curl -N 'http://{address}/watch'");
    }
}
