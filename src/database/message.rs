//! What went wrong, as the database reports it.

/// What went wrong, without the driver's words around it: they name lines of PostgreSQL's own source.
#[must_use]
pub fn describe(error: &sqlx::Error) -> String {
    let Some(answer) = error.as_database_error() else {
        return plain(error);
    };
    match answer.code().as_deref() {
        // insufficient_privilege
        Some("42501") => {
            format!("{}: grant it to the user in the database URL, or use the tables' owner", answer.message())
        }
        _ => format!("the database says: {}", answer.message()),
    }
}

/// The same of any error: of the driver's, what the database reports.
pub(crate) fn describe_any(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    match error.downcast_ref::<sqlx::Error>() {
        Some(error) => describe(error),
        None => error.to_string(),
    }
}

/// What is wrong, without what sqlx says before it.
pub(super) fn plain(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Configuration(error) => error.downcast_ref().map_or_else(|| error.to_string(), plain),
        sqlx::Error::Tls(error) => error.to_string(),
        other => other.to_string(),
    }
}
