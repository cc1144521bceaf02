//! Why nobody is at work on a class, in words.

use super::heartbeat::{RETRYING, SILENT_AFTER};

/// What the database knows of the worker of a class.
pub(super) struct Signs<'a> {
    /// Process, state, and the age of the heartbeat in seconds; none without a heartbeat.
    pub(super) heartbeat: Option<(&'a str, &'a str, f64)>,
    /// Whether that worker wrote the checkpoint last.
    pub(super) wrote: bool,
    /// How long ago the checkpoint moved, in seconds.
    pub(super) moved: f64,
}

impl Signs<'_> {
    /// Why nobody is at work on the class; none if somebody is.
    pub(super) fn idle(&self) -> Option<String> {
        let Self { heartbeat, wrote, moved } = *self;
        let Some((process, state, age)) = heartbeat else {
            return Some(format!("no worker; its checkpoint has not moved for {moved:.0} s"));
        };
        let silent = SILENT_AFTER.as_secs_f64();
        if age >= silent {
            // Its heartbeat may be what fails: what it commits shows that it is alive.
            let works = wrote && moved < silent;
            return (!works).then(|| {
                format!("no heartbeat for {age:.0} s from {process}; its checkpoint has not moved for {moved:.0} s")
            });
        }
        state.strip_prefix(RETRYING).map(|why| format!("{process} can't work on it: {why}"))
    }

    /// A sign of life that is missing although somebody is at work, or was until recently.
    pub(super) fn late(&self) -> Option<String> {
        let (process, state, age) = self.heartbeat.filter(|_| self.idle().is_none())?;
        if age >= SILENT_AFTER.as_secs_f64() {
            let moved = self.moved;
            return Some(format!(
                "no heartbeat for {age:.0} s from {process}, but its checkpoint moved {moved:.0} s ago"
            ));
        }
        state.split_once("; ").map(|(_, note)| format!("{process} was late: {note}, within the last minute"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(heartbeat: Option<(&'static str, &'static str, f64)>, wrote: bool, moved: f64) -> Signs<'static> {
        Signs { heartbeat, wrote, moved }
    }

    #[test]
    fn a_class_is_idle_without_a_worker_or_with_a_dead_one_or_with_one_that_can_not_work() {
        let beat = |state, age| Some(("host:1", state, age));
        for (signs, idle) in [
            (signs(None, false, 40.2), Some("no worker; its checkpoint has not moved for 40 s")),
            (signs(beat("caught up", 2.0), false, 999.0), None),
            (signs(beat("standing by", 2.0), false, 1.0), None),
            (
                signs(beat("applying", 40.0), true, 50.0),
                Some("no heartbeat for 40 s from host:1; its checkpoint has not moved for 50 s"),
            ),
            (signs(beat("applying", 40.0), true, 1.0), None),
            (
                signs(beat("applying", 40.0), false, 1.0),
                Some("no heartbeat for 40 s from host:1; its checkpoint has not moved for 1 s"),
            ),
            (signs(beat("retrying: a lock", 1.0), true, 1.0), Some("host:1 can't work on it: a lock")),
        ] {
            assert_eq!(signs.idle().as_deref(), idle);
        }
    }

    #[test]
    fn a_heartbeat_that_is_late_or_was_is_named_where_somebody_is_at_work() {
        let beat = |state, age| Some(("host:1", state, age));
        for (signs, late) in [
            (signs(beat("applying", 2.0), true, 1.0), None),
            (signs(None, true, 1.0), None),
            (signs(beat("applying", 40.0), true, 50.0), None),
            (
                signs(beat("applying", 40.0), true, 1.0),
                Some("no heartbeat for 40 s from host:1, but its checkpoint moved 1 s ago"),
            ),
            (
                signs(beat("caught up; no heartbeat for 22 s", 1.0), true, 1.0),
                Some("host:1 was late: no heartbeat for 22 s, within the last minute"),
            ),
        ] {
            assert_eq!(signs.late().as_deref(), late);
        }
    }
}
