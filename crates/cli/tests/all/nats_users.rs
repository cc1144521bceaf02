//! How a node gets into NATS, where not everybody may: each way against a server that enforces it, and one sentence
//! where it fails.

use crate::strangers::permissions::documented;
use crate::strangers::wire::CLUSTER;
use crate::support::cli::finish;
use crate::support::{NatsServer, SOON, Serving, wait_until};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use evenfold_cluster::nats::{Credentials, Nats, NatsError, NatsOptions};
use evenfold_cluster::{NodeId, Transport};
use nix::sys::signal::Signal;
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

fn options(url: &str) -> NatsOptions {
    NatsOptions::new(url, NodeId::new("c").unwrap())
}

/// Connects, and does something with the records.
async fn works(options: &NatsOptions) -> Result<(), NatsError> {
    let nats = Nats::connect_with(options).await?;
    assert_eq!(nats.nodes(Duration::from_secs(5)).await, Ok(Vec::new()));
    Ok(())
}

fn sentence(result: Result<(), NatsError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_node_does_not_start_where_other_machines_reach_nats_and_it_has_no_secret() {
    let args = ["--port=0", "--metrics-port=0", "--volatile", "--nats-url=nats://me:topsecret@nats.example:4222"];
    let sentence = "set EVENFOLD_CLUSTER_SECRET to the same secret on every node, made with `openssl rand -hex 32`";
    let refused = finish(Serving::command(&args, &[]));
    refused.complains(2, sentence);
    refused.complains(2, "nats.example:4222 can be reached from other machines");
    let short = finish(Serving::command(&args, &[("EVENFOLD_CLUSTER_SECRET", "topsecret")]));
    short.complains(2, "a cluster's secret has at least 16 bytes, and this one has 9");
    let both = [&args[..], &["--nats-creds=a", "--nats-nkey=b"]].concat();
    finish(Serving::command(&both, &[])).complains(2, "cannot be used with");
}

/// The processes have the secret in the variable, or in a file, which nobody else sees: the command line does not have
/// it.
#[tokio::test(flavor = "multi_thread")]
async fn processes_with_one_secret_are_a_cluster_and_one_with_another_is_none_of_it() {
    let (server, dir) = (NatsServer::start(), TempDir::new().unwrap());
    let secret = "0123456789abcdef0123456789abcdef";
    let path = file(&dir, "secret", &format!("{secret}\n"));
    let args = |name: &str| {
        ["--volatile", "--cluster=c", "--nats-url", &server.url(), "--node-id", name].map(str::to_owned).to_vec()
    };
    let start = |mut args: Vec<String>, more: &[&str], variables: &[(&str, &str)]| {
        args.extend(more.iter().copied().map(str::to_owned));
        Serving::start(&args.iter().map(String::as_str).collect::<Vec<_>>(), variables)
    };
    let members = async |serving: &Serving, number: u32| {
        let is_shown = |line: &str| line.contains("cluster_members{") && line.ends_with(&format!(" {number}.0"));
        let seen = async || serving.metrics().await.lines().any(is_shown);
        wait_until("it has so many members", SOON, seen).await;
    };
    let mut all = [
        start(args("a"), &[], &[("EVENFOLD_CLUSTER_SECRET", secret)]),
        start(args("b"), &["--cluster-secret-file", path.to_str().unwrap()], &[]),
        start(args("d"), &[], &[("EVENFOLD_CLUSTER_SECRET", "another secret of a node")]),
        start(args("e"), &[], &[]),
    ];
    for (serving, number) in all.iter().zip([2, 2, 1, 1]) {
        members(serving, number).await;
    }
    for (serving, value) in all.iter().zip([1, 2, 1, 1]) {
        let counted = serving.client().await.post("/counter/x/increment", "").await;
        assert_eq!(counted.json()["value"], value, "{}", serving.address);
    }
    assert!(all[0].process.log().contains("has another EVENFOLD_CLUSTER_SECRET"), "{}", all[0].process.log());
    for serving in &mut all {
        assert_eq!(serving.end(Signal::SIGTERM).0, 0);
    }
}

/// Such a server says in its greeting where it listens, or is to be found.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_without_a_secret_warn_once_where_other_machines_reach_the_server() {
    const WARNING: &str = "other machines can reach this NATS server";
    for (host, secret, warnings) in
        [("0.0.0.0", None, 1), ("10.1.2.3", None, 1), ("0.0.0.0", Some("0123456789abcdef"), 0), ("127.0.0.1", None, 0)]
    {
        let server = NatsServer::configured(&format!("client_advertise: \"{host}:4222\""));
        let variables = secret.map(|secret| ("EVENFOLD_CLUSTER_SECRET", secret));
        let args = ["--volatile", "--nodes=2", "--nats-url", &server.url()];
        let mut serving = Serving::start(&args, variables.as_slice());
        assert_eq!(serving.end(Signal::SIGTERM).0, 0);
        let log = serving.process.log();
        assert_eq!(log.matches(WARNING).count(), warnings, "{host} {secret:?}: {log}");
        let advice = "give it -a 127.0.0.1, or set EVENFOLD_CLUSTER_SECRET";
        assert_eq!(log.matches(advice).count(), warnings, "{log}");
    }
}

fn file(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn a_user_with_a_password_gets_in_and_a_wrong_one_is_a_sentence_without_it() {
    let server = NatsServer::configured("authorization { user: node, password: topsecret }");
    let url = |user: &str| format!("nats://{user}{}", server.address());
    assert_eq!(works(&options(&url("node:topsecret@"))).await, Ok(()));
    for wrong in ["node:topsecreT@", "other:topsecret@", ""] {
        let refused = works(&options(&url(wrong))).await;
        assert!(matches!(refused, Err(NatsError::Refused(_))), "{wrong}: {refused:?}");
        assert!(!sentence(refused).contains("topsecre"));
    }
}

#[tokio::test]
async fn an_nkey_gets_in_and_another_one_or_none_is_a_sentence() {
    let (own, other, dir) = (KeyPair::new_user(), KeyPair::new_user(), TempDir::new().unwrap());
    let public = own.public_key();
    let server = NatsServer::configured(&format!("authorization {{ users = [ {{ nkey: {public} }} ] }}"));
    let with = |path: &Path| options(&server.url()).credentials(Some(Credentials::Nkey(path.to_owned())));
    let seed = own.seed().unwrap();
    assert_eq!(works(&with(&file(&dir, "own", &format!("# the node's\n{seed}\n")))).await, Ok(()));
    let refused = works(&with(&file(&dir, "other", &other.seed().unwrap()))).await;
    assert!(matches!(refused, Err(NatsError::Refused(_))), "{refused:?}");
    assert!(matches!(works(&options(&server.url())).await, Err(NatsError::Refused(_))));
    let (before, after) = seed.split_at(seed.len() / 2);
    let broken = format!("{before}{}{}", if after.starts_with('A') { 'B' } else { 'A' }, &after[1..]);
    assert!(works(&with(&file(&dir, "broken", &broken))).await.is_err());
    let none = sentence(works(&with(&file(&dir, "none", &public))).await);
    assert!(none.contains("--nats-nkey") && none.contains("begins with SU"), "{none}");
    let missing = sentence(works(&with(Path::new("/nowhere/seed"))).await);
    assert!(missing.contains("/nowhere/seed") && missing.contains("--nats-nkey"), "{missing}");
}

/// A JWT as NATS has them.
fn jwt(issuer: &KeyPair, subject: &str, name: &str, mut nats: Value, kind: &str) -> String {
    nats["type"] = json!(kind);
    nats["version"] = json!(2);
    let claims = json!({
        "jti": format!("{name}-{kind}"), "iat": 1_600_000_000, "iss": issuer.public_key(), "name": name, "sub": subject, "nats": nats,
    });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(&json!({"typ": "JWT", "alg": "ed25519-nkey"})), encode(&claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

fn creds(account: &KeyPair, user: &KeyPair) -> String {
    let limits = json!({"subs": -1, "data": -1, "payload": -1});
    let jwt = jwt(account, &user.public_key(), "node", limits, "user");
    let seed = user.seed().unwrap();
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

/// A server whose users are those of an operator's accounts, and the account that is for the nodes.
fn operators_server() -> (NatsServer, KeyPair) {
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    // JetStream needs one.
    let system = KeyPair::new_account().public_key();
    let system_jwt = jwt(&operator, &system, "system", json!({}), "account");
    let limits = json!({"limits": {
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    }});
    let (id, own) = (account.public_key(), operator.public_key());
    let operator_jwt = jwt(&operator, &own, "operator", json!({}), "operator");
    let account_jwt = jwt(&operator, &id, "account", limits, "account");
    let server = NatsServer::configured(&format!(
        "operator: {operator_jwt}\nresolver: MEMORY\nsystem_account: {system}\n\
         resolver_preload: {{ {id}: {account_jwt}, {system}: {system_jwt} }}"
    ));
    (server, account)
}

#[tokio::test]
async fn credentials_of_an_operators_account_get_in_and_those_of_another_one_do_not() {
    let ((server, account), dir) = (operators_server(), TempDir::new().unwrap());
    let with = |path: &Path| options(&server.url()).credentials(Some(Credentials::Creds(path.to_owned())));
    assert_eq!(works(&with(&file(&dir, "own", &creds(&account, &KeyPair::new_user())))).await, Ok(()));
    let stranger = creds(&KeyPair::new_account(), &KeyPair::new_user());
    let refused = works(&with(&file(&dir, "other", &stranger))).await;
    assert!(matches!(refused, Err(NatsError::Refused(_))), "{refused:?}");
    let none = sentence(works(&with(&file(&dir, "none", "nothing"))).await);
    assert!(none.contains("--nats-creds"), "{none}");
    let missing = sentence(works(&with(Path::new("/nowhere/creds"))).await);
    assert!(missing.contains("/nowhere/creds") && missing.contains("--nats-creds"), "{missing}");
}

fn tls(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/tls").join(name)
}

#[tokio::test]
async fn tls_is_spoken_with_a_server_whose_certificate_the_given_one_has_signed_and_with_no_other() {
    let (certificate, key) = (tls("server.pem"), tls("server.key"));
    let server = NatsServer::configured(&format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} }}"));
    let plain = NatsServer::start();
    let with = |url: String, ca: Option<PathBuf>| options(&url).ca(ca);
    for scheme in ["tls", "nats"] {
        let url = format!("{scheme}://{}", server.address());
        assert_eq!(works(&with(url.clone(), Some(tls("ca.pem")))).await, Ok(()), "{scheme}");
        for ca in [Some(tls("other-ca.pem")), None] {
            let error = works(&with(url.clone(), ca.clone())).await;
            assert!(matches!(error, Err(NatsError::Tls(..))), "{scheme} {ca:?}: {error:?}");
            assert!(sentence(error).contains("--nats-ca"));
        }
    }
    for scheme in ["tls", "nats"] {
        let downgraded = works(&with(format!("{scheme}://{}", plain.address()), Some(tls("ca.pem")))).await;
        assert!(matches!(downgraded, Err(NatsError::Tls(..))), "{scheme}: {downgraded:?}");
    }
    let missing = sentence(works(&with(server.url(), Some("/nowhere/ca".into()))).await);
    assert!(missing.contains("/nowhere/ca") && missing.contains("--nats-ca"), "{missing}");
    let no_certificate = sentence(works(&with(server.url(), Some(tls("server.key")))).await);
    assert!(no_certificate.contains("there is no certificate in it"), "{no_certificate}");
}

/// Two nodes of a process that is given these settings count; without the last one it ends with a sentence.
async fn a_process_needs(url: &str, flags: &[&str], variables: &[(&str, &str)], without_the_last: &str) {
    let all = [&["--volatile", "--nodes=2", "--cluster", CLUSTER, "--nats-url", url], flags].concat();
    let mut serving = Serving::start(&all, variables);
    for value in 1..=10 {
        assert_eq!(serving.client().await.post("/counter/x/increment", "").await.json()["value"], value);
    }
    assert_eq!(serving.end(Signal::SIGTERM).0, 0);
    let (flags, variables) = match variables {
        [] => (&all[..all.len() - 1], variables),
        [some @ .., _] => (&all[..], some),
    };
    let command = Serving::command(&[flags, &["--port=0", "--metrics-port=0"]].concat(), variables);
    finish(command).complains(1, without_the_last);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_gets_in_by_the_files_that_its_flags_and_variables_name_with_the_documented_permissions() {
    let (own, dir) = (KeyPair::new_user(), TempDir::new().unwrap());
    let [publish, subscribe] = documented();
    let tls_of_the_server = format!("tls {{ cert_file: {:?}, key_file: {:?} }}", tls("server.pem"), tls("server.key"));
    let server = NatsServer::configured(&format!(
        "authorization {{ users = [
            {{ nkey: {}, permissions: {{ publish: {publish:?}, subscribe: {subscribe:?} }} }}
        ] }}\n{tls_of_the_server}",
        own.public_key()
    ));
    let (seed, ca) = (file(&dir, "seed", &own.seed().unwrap()), tls("ca.pem"));
    let (seed, ca) = (seed.to_str().unwrap(), ca.to_str().unwrap());
    let (nkey_flag, ca_flag) = (format!("--nats-nkey={seed}"), format!("--nats-ca={ca}"));
    let (url, refused, no_tls) = (server.url(), "refuses this user", "no TLS with the NATS server");
    a_process_needs(&url, &[&ca_flag, &nkey_flag], &[], refused).await;
    a_process_needs(&url, &[&nkey_flag, &ca_flag], &[], no_tls).await;
    a_process_needs(&url, &[], &[("NATS_CA", ca), ("NATS_NKEY", seed)], refused).await;
    a_process_needs(&url, &[], &[("NATS_NKEY", seed), ("NATS_CA", ca)], no_tls).await;

    let (server, account) = operators_server();
    let creds = file(&dir, "creds", &creds(&account, &KeyPair::new_user()));
    let creds = creds.to_str().unwrap();
    a_process_needs(&server.url(), &[&format!("--nats-creds={creds}")], &[], refused).await;
    a_process_needs(&server.url(), &[], &[("NATS_CREDS", creds)], refused).await;
}
