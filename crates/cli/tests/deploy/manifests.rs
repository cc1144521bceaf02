//! What kustomize makes of `deploy/kubernetes`, as values.

use crate::programs::{accepted, with_files};
use crate::support::documents::root;
use serde_json::Value;

/// Of the Prometheus Operator: the API has no schema for them.
pub(crate) const KINDS_OF_OTHERS: [&str; 2] = ["ServiceMonitor", "PrometheusRule"];

/// What is applied.
pub(crate) fn made(kustomization: &str) -> String {
    accepted("kubectl", &["kustomize", kustomization], &root().join("deploy/kubernetes"))
}

/// The documents of a text in YAML.
pub(crate) fn parsed(yaml: &str) -> Vec<Value> {
    const TO_JSON: &str =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1], encoding='utf-8')))))";
    let directory = with_files(&[("all.yaml", yaml)]);
    serde_json::from_str(&accepted("python", &["-c", TO_JSON, "all.yaml"], directory.path())).unwrap()
}

/// The pods that objects make.
pub(crate) fn pod_templates(objects: &[Value]) -> Vec<Value> {
    objects
        .iter()
        .filter(|object| object["spec"]["template"].is_object())
        .map(|o| o["spec"]["template"].clone())
        .collect()
}

/// Their containers, with how many pods there are.
pub(crate) fn containers(objects: &[Value]) -> Vec<(Value, Option<i64>)> {
    let mut all = Vec::new();
    for object in objects {
        let containers = object["spec"]["template"]["spec"]["containers"].as_array();
        all.extend(containers.into_iter().flatten().map(|one| (one.clone(), object["spec"]["replicas"].as_i64())));
    }
    all
}

pub(crate) fn label<'a>(template: &'a Value, name: &str) -> &'a str {
    template["metadata"]["labels"][format!("app.kubernetes.io/{name}")].as_str().unwrap()
}
