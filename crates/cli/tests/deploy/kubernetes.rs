//! The manifests of `deploy/kubernetes`, as kustomize makes them, by the schemas of Kubernetes' API.

use crate::manifests::{KINDS_OF_OTHERS, containers, label, made, parsed, pod_templates};
use crate::programs::{accepted, judged, with_files};
use crate::support::Evenfold;
use crate::support::cli::finish;
use crate::support::documents::{files, root};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const KUSTOMIZATIONS: [&str; 4] = ["migrate", "auto", "from-hostname", "monitoring"];

/// The oldest and the newest API that the schemas are there for and that these are written for.
const VERSIONS: [&str; 2] = ["1.27", "1.37"];

fn validated(text: &str, version: &str) -> crate::programs::Verdict {
    let directory = with_files(&[("all.yaml", text)]);
    judged("kubernetes-validate", &["--strict", "-k", version, "all.yaml"], directory.path())
}

#[test]
fn what_kustomize_makes_is_valid_by_the_schemas_of_the_api() {
    for name in KUSTOMIZATIONS {
        let text = made(name);
        let own =
            parsed(&text).iter().filter(|object| !KINDS_OF_OTHERS.contains(&object["kind"].as_str().unwrap())).count();
        for version in VERSIONS {
            let verdict = validated(&text, version);
            assert!(verdict.accepted, "{name}: {}", verdict.text);
            assert_eq!(verdict.text.matches("passed for resource").count(), own, "{name}: {}", verdict.text);
        }
    }
    let text = made("auto");
    for (right, wrong) in
        [("replicas: 5", "replica: 5"), ("replicas: 5", "replicas: five"), ("port: http", "port: [1]")]
    {
        assert!(!validated(&text.replacen(right, wrong, 1), VERSIONS[1]).accepted, "{wrong}");
    }
    let example = std::fs::read_to_string(root().join("deploy/kubernetes/secret.example.yaml")).unwrap();
    assert!(validated(&example, VERSIONS[1]).accepted);
}

#[test]
fn every_file_is_in_a_kustomization_except_the_example_of_the_secrets() {
    let directory = root().join("deploy/kubernetes");
    for path in files(&directory) {
        let (folder, name) = (path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap());
        if name == "kustomization.yaml" || name == "secret.example.yaml" {
            continue;
        }
        let kustomization = std::fs::read_to_string(folder.join("kustomization.yaml")).unwrap();
        assert!(kustomization.contains(&format!("  - {name}\n")), "{}", path.display());
    }
}

#[test]
fn every_pod_has_no_rights_and_says_what_it_needs_and_how_it_is() {
    let secrets = std::fs::read_to_string(root().join("deploy/kubernetes/secret.example.yaml")).unwrap();
    for name in KUSTOMIZATIONS {
        for template in pod_templates(&parsed(&made(name))) {
            let spec = &template["spec"];
            let pod = &spec["securityContext"];
            assert_eq!((&pod["runAsNonRoot"], &pod["runAsUser"]), (&json!(true), &json!(10001)), "{template}");
            assert_eq!(pod["seccompProfile"]["type"], "RuntimeDefault");
            assert_eq!(
                (&spec["automountServiceAccountToken"], &spec["enableServiceLinks"]),
                (&json!(false), &json!(false))
            );
            for container in spec["containers"].as_array().unwrap() {
                let own = json!({ "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] } });
                assert_eq!(container["securityContext"], own);
                assert_eq!(container["image"], format!("evenfold:{}", env!("CARGO_PKG_VERSION")));
                let resources = &container["resources"];
                assert!(resources["requests"]["memory"].is_string() && resources["limits"]["memory"].is_string());
                for from in container["envFrom"].as_array().unwrap() {
                    let secret = from["secretRef"]["name"].as_str().unwrap();
                    assert!(secrets.contains(&format!("name: {secret}\n")), "{secret}");
                }
                if label(&template, "component") == "migrate" {
                    continue;
                }
                for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "")] {
                    let get = &container[probe]["httpGet"];
                    assert!(get["path"].as_str().unwrap().ends_with(path) && get["port"] == "http", "{container}");
                }
            }
        }
    }
}

/// The templates that a selector selects, which is at least one.
fn selected<'a>(templates: &'a [Value], selector: &Value) -> Vec<&'a Value> {
    let fits = |template: &&Value| {
        let labels = &template["metadata"]["labels"];
        selector.as_object().unwrap().iter().all(|(name, value)| &labels[name] == value)
    };
    let chosen: Vec<&Value> = templates.iter().filter(fits).collect();
    assert!(!chosen.is_empty(), "{selector} selects nothing");
    chosen
}

fn port(template: &Value) -> &Value {
    &template["spec"]["containers"][0]["ports"][0]
}

/// Fails unless what this object selects is there, with the ports that it names.
fn assert_selects(object: &Value, all: &[Value], templates: &[Value]) {
    let spec = &object["spec"];
    match object["kind"].as_str().unwrap() {
        "Service" => {
            for template in selected(templates, &spec["selector"]) {
                let (service, own) = (&spec["ports"][0], port(template));
                assert_eq!((&service["targetPort"], &service["port"]), (&own["name"], &own["containerPort"]));
            }
        }
        "PodDisruptionBudget" | "Deployment" | "StatefulSet" => {
            selected(templates, &spec["selector"]["matchLabels"]);
        }
        "NetworkPolicy" => {
            let ports = spec["ingress"][0]["ports"].as_array().unwrap();
            let open: BTreeSet<i64> = ports.iter().map(|port| port["port"].as_i64().unwrap()).collect();
            let pods = selected(templates, &spec["podSelector"]["matchLabels"]);
            assert_eq!(open, pods.iter().map(|pod| port(pod)["containerPort"].as_i64().unwrap()).collect());
        }
        "ServiceMonitor" => {
            let named = |other: &&Value| other["kind"] == "Service" && other["metadata"]["name"] == service_of(spec);
            let (service, endpoint) = (all.iter().find(named).unwrap(), &spec["endpoints"][0]);
            assert_eq!(endpoint["port"], service["spec"]["ports"][0]["name"]);
            let keys: Vec<&str> = endpoint.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys, ["interval", "path", "port", "scrapeTimeout"]);
        }
        _ => {}
    }
}

#[test]
fn what_selects_pods_finds_them_and_the_ports_that_it_names() {
    for name in ["auto", "from-hostname"] {
        let all = [parsed(&made(name)), parsed(&made("monitoring"))].concat();
        let templates = pod_templates(&all);
        for object in &all {
            assert_selects(object, &all, &templates);
        }
        let kinds: BTreeSet<&str> = all.iter().map(|object| object["kind"].as_str().unwrap()).collect();
        for kind in ["Service", "PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor", "PrometheusRule"] {
            assert!(kinds.contains(kind), "{kind}");
        }
    }
}

/// What the service of these labels is called, which becomes the label `job` that rules name.
fn service_of(spec: &Value) -> String {
    let labels = spec["selector"]["matchLabels"].as_object().unwrap();
    assert_eq!(labels.len(), 2);
    format!("evenfold-{}", labels["app.kubernetes.io/component"].as_str().unwrap())
}

#[test]
fn the_rules_are_those_of_prometheus() {
    let rules = std::fs::read_to_string(root().join("deploy/prometheus/rules.yml")).unwrap();
    let made = parsed(&made("monitoring"));
    let resource = made.iter().find(|object| object["kind"] == "PrometheusRule").unwrap();
    assert_eq!(vec![resource["spec"].clone()], parsed(&rules));
    let directory = with_files(&[("rules.yml", &resource["spec"].to_string())]);
    accepted("promtool", &["check", "rules", "rules.yml"], directory.path());
}

#[test]
fn the_commands_of_the_pods_are_followed_as_far_as_the_database() {
    let mut followed = BTreeSet::new();
    for name in KUSTOMIZATIONS {
        for (container, replicas) in containers(&parsed(&made(name))) {
            let args: Vec<&str> =
                container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
            let variables = container["env"].as_array().cloned().unwrap_or_default();
            let variable = |wanted: &str| {
                let found = variables.iter().find(|variable| variable["name"] == wanted)?;
                Some(found["value"].as_str().unwrap().to_owned())
            };
            let mut process = Evenfold::command(&args);
            process.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
            for one in &variables {
                process.env(one["name"].as_str().unwrap(), one["value"].as_str().unwrap());
            }
            if let Some(address) = variable("EVENFOLD_HTTP") {
                let port = container["ports"][0]["containerPort"].as_i64().unwrap();
                assert_eq!(address, format!("0.0.0.0:{port}"));
                process.env("EVENFOLD_HTTP", "127.0.0.1:0");
            }
            if let Some(total) = variable("TOTAL_PARTITIONS") {
                let (total, replicas): (i64, i64) = (total.parse().unwrap(), replicas.unwrap());
                assert!(
                    if name == "auto" { replicas > total } else { replicas == total },
                    "{name}: {replicas} of {total}"
                );
            }
            if variable("PARTITION_KEY").is_some_and(|key| key == "from-hostname") {
                // A StatefulSet gives its pods such names.
                process.env("PARTITION_KEY", "0");
            }
            finish(process).complains(1, "no PostgreSQL answers");
            followed.insert(args.join(" "));
        }
    }
    assert_eq!(followed, ["migrate", "monitor", "worker"].map(str::to_owned).into());
}
