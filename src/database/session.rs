//! What a session is set to, whatever the role, the database or the server have for it.

use std::fmt::Write as _;
use std::time::Duration;

/// A worker that was stopped in the middle of a transaction (a debugger, a frozen container) holds its row's lock no
/// longer than this; then PostgreSQL ends the transaction, and another worker can go on.
const IDLE_IN_TRANSACTION: &str = "30s";

/// Set in every session. Each is somebody's habit to set for a role or a database: an isolation level at which
/// appending ends in 40001, a second for each statement, at which no `verify` of a long log ends.
const ALWAYS: [(&str, &str); 7] = [
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION),
    ("standard_conforming_strings", "on"),
    // A statement from which row level security hides rows fails, instead of seeing none.
    ("row_security", "off"),
];

/// Set where the server knows them: PostgreSQL 14 and 17.
const WHERE_KNOWN: [(&str, &str); 3] = [
    ("idle_session_timeout", "0"),
    ("transaction_timeout", "0"),
    // A server in the middle of a statement does not look at its client. Without it a worker that is killed in a long
    // one holds its checkpoint's row until the statement ends.
    ("client_connection_check_interval", "500ms"),
];

/// What all connections of a handle are set to.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    /// Those that the URL may say otherwise.
    defaults: Vec<(&'static str, &'static str)>,
    /// The URL's, which come before those above: these are not a matter of taste.
    from_url: Vec<(String, String)>,
    own: Vec<(&'static str, String)>,
    lock_timeout: Duration,
}

impl Settings {
    pub(super) fn of(from_url: Vec<(String, String)>) -> Self {
        Self { from_url, ..Self::default() }
    }

    pub(super) fn with(mut self, more: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        self.own.extend(more);
        self
    }

    pub(super) fn with_default(mut self, name: &'static str, value: &'static str) -> Self {
        self.defaults.push((name, value));
        self
    }

    pub(super) fn with_lock_timeout(self, lock_timeout: Duration) -> Self {
        Self { lock_timeout, ..self }
    }

    /// The statements, of which the first has one row: the session's mark so far, if it has one. `mark` is put in its
    /// place. Waits for no lock longer than `checks`, until [`end`](Self::end).
    ///
    /// With statements, because poolers refuse settings in the start-up packet.
    pub(super) fn begin(&self, mark: &str, checks: Duration) -> String {
        let defaults = self.defaults.iter().copied();
        let from_url = self.from_url.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let own = self.own.iter().map(|(name, value)| (*name, value.as_str()));
        let checks = millis(checks);
        let last = [("lock_timeout", checks.as_str()), (MARK, mark)];
        // Read before it is set: the columns are evaluated in their order.
        let mut sql = format!("SELECT current_setting('{MARK}', true) AS mark");
        for (name, value) in defaults.chain(from_url).chain(ALWAYS).chain(own).chain(last) {
            // Writing to a string can't fail.
            let _ = write!(sql, ", set_config({}, {}, false)", literal(name), literal(value));
        }
        let known: Vec<String> = WHERE_KNOWN.iter().map(|(name, value)| format!("('{name}', '{value}')")).collect();
        let _ = write!(
            sql,
            "; SELECT set_config(name, value, false) AS known FROM (VALUES {}) AS v (name, value)
             WHERE current_setting(name, true) IS NOT NULL
               AND (name <> 'client_connection_check_interval' OR version() LIKE '%linux%')",
            known.join(", ")
        );
        sql
    }

    /// The last statements.
    pub(super) fn end(&self) -> String {
        // Only where it is not as it should be: to set it takes rights that few have.
        let role = "SELECT set_config('session_replication_role', 'origin', false) AS known
            WHERE current_setting('session_replication_role') <> 'origin'";
        format!("{role}; SELECT set_config('lock_timeout', '{}', false) AS known", millis(self.lock_timeout))
    }
}

/// A session that has it has been evenfold's before: a setting that means nothing to PostgreSQL.
pub(super) const MARK: &str = "evenfold.session";

fn millis(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

/// A text as SQL has it, whatever `standard_conforming_strings` is.
#[must_use]
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_says_can_be_anything_and_comes_before_what_must_hold() {
        let odd = vec![("a.b".to_owned(), "it's \\ odd".to_owned()), ("statement_timeout".to_owned(), "1".to_owned())];
        let sql = Settings::of(odd).with_default("a.b", "c").begin("m", Duration::from_secs(1));
        assert!(sql.find("'a.b', 'c'") < sql.find("'a.b', E'it"), "{sql}");
        assert!(sql.contains("set_config('a.b', E'it''s \\\\ odd', false)"), "{sql}");
        assert!(sql.find("'statement_timeout', '1'") < sql.find("'statement_timeout', '0'"), "{sql}");
        assert!(sql.find("AS mark") < sql.find("'evenfold.session', 'm'"), "{sql}");
    }
}
