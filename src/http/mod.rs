//! The HTTP services: the only place that knows status codes.
