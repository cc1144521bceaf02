//! The Dockerfile: what it says is checked by hadolint, and its command lines are run.

use crate::programs::accepted;
use crate::support::documents::{files, root};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

const DOCKERFILE: &str = include_str!("../../../../Dockerfile");

/// Its instructions, each as one line.
fn instructions() -> Vec<String> {
    let lines: Vec<&str> = DOCKERFILE.lines().filter(|line| !line.starts_with('#')).collect();
    let text = lines.join("\n").replace("\\\n", " ");
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

fn instruction(start: &str) -> String {
    instructions().into_iter().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start}"))
}

#[test]
fn hadolint_has_no_complaint() {
    assert_eq!(accepted("hadolint", &["Dockerfile"], root()), "");
}

/// A manifest without the files of its targets is one that cargo refuses, and a dependency that is resolved anew
/// another layer than the program's.
#[test]
fn the_layer_of_the_dependencies_is_made_of_manifests_that_cargo_reads_and_of_nothing_else() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for path in files(root()) {
        let copy = directory.path().join(path.strip_prefix(root()).unwrap());
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(&path, copy).unwrap();
    }
    let script = instruction("RUN find . -type f");
    shell(script.strip_prefix("RUN ").unwrap(), directory.path());
    let left = files(directory.path());
    let sources: Vec<_> = left.iter().filter(|path| path.extension().is_some_and(|end| end == "rs")).collect();
    let manifests = left.iter().filter(|path| path.ends_with("Cargo.toml") || path.ends_with("Cargo.lock"));
    assert_eq!(manifests.count() + sources.len(), left.len(), "{left:?}");
    assert!(sources.iter().all(|path| std::fs::metadata(path).unwrap().len() < 20), "{sources:?}");
    let tree = ["tree", "--locked", "--offline", "-p", "evenfold-cli", "-e", "normal,build", "--prefix=none"];
    let of = |directory: &Path| {
        let output = Command::new(env!("CARGO")).args(tree).current_dir(directory).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter(|line| !line.contains(directory.to_str().unwrap())).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of(directory.path()), of(root()));
}

fn shell(script: &str, directory: &Path) {
    let output = Command::new("sh").args(["-ec", script]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_labels_and_the_user_are_those_of_this_version() {
    let version = format!("org.opencontainers.image.version=\"{}\"", env!("CARGO_PKG_VERSION"));
    let labels = instruction("LABEL ");
    for label in [&version, "org.opencontainers.image.title=\"evenfold\"", "org.opencontainers.image.licenses="] {
        assert!(labels.contains(label), "{label}: {labels}");
    }
    assert_eq!(instruction("USER "), "USER 10001");
    assert_eq!(instruction("ENTRYPOINT "), r#"ENTRYPOINT ["evenfold"]"#);
    assert!(include_str!("../../../../Cargo.toml").contains("[profile.release]\nstrip = true\n"));
}

/// The health check of the image, where a process answers so.
fn checked(status: &str) -> Output {
    let check = instruction("HEALTHCHECK ");
    let command: Vec<String> = serde_json::from_str(check.split(" CMD ").nth(1).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 1024];
        let read = stream.read(&mut request).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let programs = Path::new(env!("CARGO_BIN_EXE_evenfold")).parent().unwrap().to_str().unwrap();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let output = Command::new(&command[0]).args(&command[1..]).env("PATH", path).env("EVENFOLD_HTTP", address).output();
    assert!(server.join().unwrap().starts_with("GET /livez HTTP/1.1\r\n"));
    output.unwrap()
}

#[test]
fn the_health_check_asks_where_the_process_answers() {
    assert!(instruction("ENV ").starts_with("ENV EVENFOLD_HTTP=127.0.0.1:"));
    assert_eq!(checked("200 OK").status.code(), Some(0));
    assert_eq!(checked("503 Service Unavailable").status.code(), Some(1));
}
