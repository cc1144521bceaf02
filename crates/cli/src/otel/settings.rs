//! What the variables of OpenTelemetry say, as far as the SDK does not read them itself.

use crate::config::UsageError;

/// Where to, for both signals.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// How each signal is called in the variables.
const TRACES: &str = "TRACES";
const METRICS: &str = "METRICS";

/// What is exported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) traces: bool,
    pub(super) metrics: bool,
}

impl Settings {
    /// Reads the variables by this function.
    ///
    /// # Errors
    ///
    /// What can't be followed.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, UsageError> {
        let given = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let disabled = given("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let exported = |signal: &str| {
            let own = format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT");
            let endpoint = [own.as_str(), ENDPOINT].into_iter().find_map(|name| Some((name.to_owned(), given(name)?)));
            let Some((name, endpoint)) = endpoint.filter(|_| !disabled) else { return Ok(false) };
            let exporter = format!("OTEL_{signal}_EXPORTER");
            match given(&exporter).as_deref() {
                None | Some("otlp") => {}
                Some("none") => return Ok(false),
                Some(other) => return Err(UsageError(format!("{exporter} is {other}: it must be otlp or none"))),
            }
            check_protocol(&given, signal)?;
            check_endpoint(&name, &endpoint)?;
            Ok(true)
        };
        Ok(Self { traces: exported(TRACES)?, metrics: exported(METRICS)? })
    }
}

fn check_protocol(given: &impl Fn(&str) -> Option<String>, signal: &str) -> Result<(), UsageError> {
    let own = format!("OTEL_EXPORTER_OTLP_{signal}_PROTOCOL");
    let names = [own.as_str(), "OTEL_EXPORTER_OTLP_PROTOCOL"];
    match names.into_iter().find_map(|name| Some((name, given(name)?))) {
        Some((name, protocol)) if protocol != "http/protobuf" => Err(UsageError(format!(
            "{name} is {protocol}: evenfold exports by http/protobuf, which collectors take at port 4318"
        ))),
        _ => Ok(()),
    }
}

fn check_endpoint(name: &str, endpoint: &str) -> Result<(), UsageError> {
    // The value may have a token or a password in it.
    if ["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme)) {
        Ok(())
    } else {
        Err(UsageError(format!("{name} must be a URL, as in http://127.0.0.1:4318")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let variable = |name: &str| Some(variables.iter().find(|(known, _)| *known == name)?.1.to_owned());
        Settings::read(variable).map_err(|error| error.to_string())
    }

    #[test]
    fn the_signals_that_have_an_endpoint_are_exported() {
        let both = (ENDPOINT, "http://127.0.0.1:4318");
        let is = |traces, metrics| Ok(Settings { traces, metrics });
        assert_eq!(read(&[]), is(false, false));
        assert_eq!(read(&[(ENDPOINT, " ")]), is(false, false));
        assert_eq!(read(&[both]), is(true, true));
        assert_eq!(read(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a/v1/traces")]), is(true, false));
        assert_eq!(read(&[both, ("OTEL_METRICS_EXPORTER", "none")]), is(true, false));
        assert_eq!(read(&[both, ("OTEL_SDK_DISABLED", "True")]), is(false, false));
        assert_eq!(read(&[both, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]), is(true, true));
    }

    #[test]
    fn what_can_not_be_followed_is_one_sentence_without_what_may_be_secret() {
        let both = (ENDPOINT, "http://127.0.0.1:4318");
        let cases = [
            (&[(ENDPOINT, "secret:4317")][..], "OTEL_EXPORTER_OTLP_ENDPOINT must be a URL"),
            (&[both, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], "OTEL_EXPORTER_OTLP_PROTOCOL is grpc: evenfold exports"),
            (&[both, ("OTEL_TRACES_EXPORTER", "zipkin")], "OTEL_TRACES_EXPORTER is zipkin: it must be otlp or none"),
        ];
        for (variables, expected) in cases {
            let sentence = read(variables).unwrap_err();
            assert!(sentence.contains(expected) && !sentence.contains("secret"), "{sentence}");
        }
    }
}
