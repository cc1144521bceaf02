//! The formats in which figures are read: `OpenMetrics`, in which they are written here, and Prometheus' own, which all
//! that reads figures can read.

use axum::http::{HeaderMap, HeaderValue, header};

/// One of the formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    OpenMetrics,
    Prometheus,
}

/// The last line of a text in `OpenMetrics`.
const EOF: &str = "# EOF";

impl Format {
    /// The one that a request asks for.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let open = accepted.into_iter().any(|value| value.contains("application/openmetrics-text"));
        if open { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        })
    }

    /// Texts in `OpenMetrics` as one in this format. They have no family in common.
    pub(crate) fn joined(self, texts: &[String]) -> String {
        let lines = texts.iter().flat_map(|text| text.lines()).filter(|line| *line != EOF);
        let mut out = String::with_capacity(texts.iter().map(String::len).sum());
        match self {
            Self::OpenMetrics => lines.chain([EOF]).for_each(|line| push(&mut out, line)),
            Self::Prometheus => as_prometheus(lines, &mut out),
        }
        out
    }
}

/// A family of counters is called as its figures are, `_total` at the end, and the help comes before the type, which
/// decides that.
fn as_prometheus<'a>(lines: impl Iterator<Item = &'a str>, out: &mut String) {
    let mut help: Option<(&str, &str)> = None;
    for line in lines {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let total = if kind == "counter" { "_total" } else { "" };
            if let Some((_, text)) = help.take() {
                push(out, &format!("# HELP {name}{total} {text}"));
            }
            push(out, &format!("# TYPE {name}{total} {kind}"));
        } else if !line.starts_with("# UNIT ") {
            push(out, line);
        }
    }
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP a_events Events.\n# TYPE a_events counter\na_events_total{of=\"x\"} 3\n\
        # HELP a_age_seconds Age.\n# TYPE a_age_seconds gauge\n# UNIT a_age_seconds seconds\na_age_seconds 1.5\n# EOF\n";

    #[test]
    fn what_asks_for_nothing_gets_the_format_of_prometheus() {
        let text = Format::of(&HeaderMap::new()).joined(&[TEXT.to_owned()]);
        let expected = "# HELP a_events_total Events.\n# TYPE a_events_total counter\na_events_total{of=\"x\"} 3\n\
            # HELP a_age_seconds Age.\n# TYPE a_age_seconds gauge\na_age_seconds 1.5\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn texts_in_openmetrics_have_one_end() {
        let accept = HeaderValue::from_static("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2");
        let format = Format::of(&HeaderMap::from_iter([(header::ACCEPT, accept)]));
        let text = format.joined(&[TEXT.to_owned(), "# HELP b B.\n# TYPE b gauge\nb 1\n# EOF\n".to_owned()]);
        assert_eq!(text.matches("# EOF").count(), 1);
        assert!(text.ends_with("b 1\n# EOF\n") && text.contains("# TYPE a_events counter"), "{text}");
    }
}
