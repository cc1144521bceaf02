//! The alerts of `deploy/prometheus`, by the tests of Prometheus itself.

use crate::programs::{accepted, judged, with_files};
use crate::support::documents::{document, root};
use std::collections::BTreeSet;

const RULES: &str = include_str!("../../../../deploy/prometheus/rules.yml");
const TESTS: &str = include_str!("../../../../deploy/prometheus/rules.test.yml");

/// The names of the alerts.
fn alerts() -> Vec<&'static str> {
    RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

#[test]
fn prometheus_reads_its_configuration_and_the_rules() {
    let directory = root().join("deploy/prometheus");
    let output = accepted("promtool", &["check", "config", "prometheus.yml"], &directory);
    assert!(output.contains(&format!("{} rules found", alerts().len())), "{output}");
}

#[test]
fn each_alert_fires_where_it_is_to_and_nowhere_else() {
    accepted("promtool", &["test", "rules", "rules.test.yml"], &root().join("deploy/prometheus"));
    for alert in alerts() {
        assert!(TESTS.contains(&format!("alertname: {alert}\n        exp_alerts: []\n")), "{alert} is never silent");
        assert!(TESTS.contains(&format!("alertname: {alert}\n        exp_alerts:\n")), "{alert} never fires");
    }
}

/// One is gone, one fires without its condition, and one later than it is to.
#[test]
fn a_rule_that_is_broken_fails_its_test() {
    let tested = |rules: &str| {
        assert_ne!(rules, RULES);
        let directory = with_files(&[("rules.yml", rules), ("rules.test.yml", TESTS)]);
        judged("promtool", &["test", "rules", "rules.test.yml"], directory.path())
    };
    for alert in alerts() {
        let verdict = tested(&RULES.replace(&format!("- alert: {alert}\n"), "- alert: Another\n"));
        assert!(!verdict.accepted && verdict.text.contains(alert), "{alert}: {}", verdict.text);
    }
    for (rule, broken) in [
        (
            "(evenfold_projection_worker_up) == 0\n        for: 0s",
            "(evenfold_projection_worker_up) == 0\n        for: 5s",
        ),
        ("> 30\n          and max without (instance, pod) (evenfold_projection_behind_seconds) > 30", "> 30"),
        ("(evenfold_projection_behind_seconds) > 60", "(evenfold_projection_behind_seconds) >= 0"),
        ("          or evenfold_monitor_counted_age_seconds > 15\n", ""),
    ] {
        assert!(!tested(&RULES.replacen(rule, broken, 1)).accepted, "{broken}");
    }
}

#[test]
fn the_guide_says_what_to_do_about_each_alert_and_no_others() {
    let guide = document("docs/guide/operating.md").text;
    let section = guide.split("\n## Alerts\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.collect::<BTreeSet<_>>(), alerts().into_iter().collect());
}
