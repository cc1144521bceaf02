//! Knots that are still to be untied: one edge of each is left out, and everything else must hold without it.

/// In which package which file may name what of which other, although that closes a circle.
pub(super) const EXCEPTIONS: [(&str, &str, &str); 5] = [
    // A route has a handler, of which the figures are one, which have the figures' path from the routes.
    ("evenfold-counter-service", "http/metrics.rs", "http/routes.rs"),
    // A connection asks what answers to it, which the server that opens it defines.
    ("evenfold-http", "connection.rs", "serve.rs"),
    // A service names what it is documented and measured with, which goes through its routes.
    ("evenfold-http", "route.rs", "docs.rs"),
    ("evenfold-http", "route.rs", "documented.rs"),
    ("evenfold-http", "route.rs", "metrics.rs"),
];
