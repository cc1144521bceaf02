//! The packages of the workspace, as cargo sees them.

use super::modules::{Edges, Package};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

pub(super) struct Member {
    directory: PathBuf,
    /// The packages that it names, other than for its tests.
    pub(super) dependencies: BTreeSet<String>,
}

impl Member {
    /// Which file depends on which; files are named below `src`.
    pub(super) fn edges(&self) -> Edges {
        let src = self.directory.join("src");
        let mut edges = Edges::new();
        for root in ["lib.rs", "main.rs"].into_iter().filter(|root| src.join(root).exists()) {
            edges.extend(Package::read(root, &|file| fs::read_to_string(src.join(file)).ok()).edges());
        }
        edges
    }
}

/// The directory of the workspace.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What cargo prints, which must need neither a network nor another lock file.
pub(super) fn cargo(arguments: &[&str]) -> String {
    let mut command = Command::new(env::var_os("CARGO").unwrap());
    let output = command.args(arguments).args(["--offline", "--locked"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The members of the workspace, by name.
pub(super) fn members() -> BTreeMap<String, Member> {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let members = metadata["packages"].as_array().unwrap().iter().map(|package| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
        let member = Member {
            directory: Path::new(&text(&package["manifest_path"])).parent().unwrap().to_owned(),
            dependencies: normal.map(|dependency| text(&dependency["name"])).collect(),
        };
        (text(&package["name"]), member)
    });
    members.collect()
}
