//! Where tests may leave files.

use std::path::PathBuf;

/// The directory of this build that cargo has for what tests write (`CARGO_TARGET_TMPDIR`, which is not set for a
/// library).
pub fn scratch() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    // A test binary is in `target/debug/deps`.
    let deps = program.ancestors().find(|path| path.file_name().is_some_and(|name| name == "deps"));
    let target = deps.and_then(|deps| deps.ancestors().nth(2)).expect("tests are run by cargo");
    let scratch = target.join("tmp");
    std::fs::create_dir_all(&scratch).unwrap();
    scratch
}
