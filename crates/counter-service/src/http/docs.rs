//! What the OpenAPI document says about the counter service.

use evenfold_http::about::About;
use evenfold_http::auth::Scheme;

const DESCRIPTION: &str = "Counters that are added to, one event for each increment. An increment is answered once it is \
counted; with an Idempotency-Key it can be repeated until it is answered, and is counted once. Errors are JSON with a code, \
and a sentence that says what to do; an unknown path is `unknown_path` (404), a method that the path does not have \
`method_not_allowed` (405), a Host that the service does not answer to `misdirected_request` (421), a request while all \
connections are taken `too_many_connections` (503), a defect `internal` (500). Codes with status 503 come with Retry-After: nothing was counted, \
except perhaps after `timed_out`. Figures for Prometheus are on a port of their own.";

const TAGS: [(&str, &str); 2] =
    [("counters", "Counting, reading, and watching."), ("watching", "Probes; without a token.")];

pub(super) const ABOUT: About =
    About { title: "evenfold counters", description: DESCRIPTION, tags: &TAGS, token: Scheme::Bearer };
