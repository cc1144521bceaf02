//! What the OpenAPI document says about the cache.

use evenfold_http::about::About;
use evenfold_http::auth::Scheme;

const DESCRIPTION: &str = "A cache in shards. Values are JSON, or bytes in base64. Every value has a version, in the body and \
as the ETag, which no other value has: a change can ask for it with If-Match. Errors are JSON with a code, and a sentence \
that says what to do; an unknown path is `unknown_path` (404), a method that the path does not have \
`method_not_allowed` (405), a Host that the service does not answer to `misdirected_request` (421), a request while all \
connections are taken `too_many_connections` (503), a defect `internal` (500). Codes with status 503 come with Retry-After: nothing was changed. After 504 a change may still be made.";

const TAGS: [(&str, &str); 4] = [
    ("keys", "One key at a time."),
    ("batches", "Up to 1,000 keys at a time."),
    ("administration", "Maintenance, and the number of shards."),
    ("watching", "Probes and figures; without a token."),
];

pub(super) const ABOUT: About =
    About { title: "evenfold cache", description: DESCRIPTION, tags: &TAGS, token: Scheme::Header };
