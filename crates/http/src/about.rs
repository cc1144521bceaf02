//! What a service says about itself.

use super::auth::Scheme;

/// What a document says besides its operations.
pub struct About {
    /// The name of the service.
    pub title: &'static str,
    /// What it does, in Markdown.
    pub description: &'static str,
    /// The groups of operations, in the order in which they are of interest, and what each has.
    pub tags: &'static [(&'static str, &'static str)],
    /// Where the token is.
    pub token: Scheme,
}
