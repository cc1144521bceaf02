//! What shells and `man` are given.

use crate::support::cli::run;
use std::process::{Command, Stdio};

#[test]
fn the_completions_of_bash_are_a_script_that_bash_reads_and_that_completes_commands_and_flags() {
    let output = run(&["completions", "bash"]);
    let script = format!(
        "{}\nCOMP_WORDS=(evenfold par)\nCOMP_CWORD=1\n_evenfold evenfold par evenfold\necho \"${{COMPREPLY[*]}}\"\n\
         COMP_WORDS=(evenfold worker --partition-)\nCOMP_CWORD=2\n_evenfold evenfold --partition- worker\necho \"${{COMPREPLY[*]}}\"\n",
        output.fine()
    );
    // It is larger than an argument may be.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = directory.path().join("completions");
    std::fs::write(&file, &script).unwrap();
    let output = Command::new("bash").arg("--norc").arg(&file).stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "parked\n--partition-key\n", "{output:?}");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(run(&["completions", shell]).fine().contains("partition-key"), "{shell}");
    }
    run(&["completions", "tcsh"]).complains(2, "[possible values: bash, elvish, fish, powershell, zsh]");
}

#[test]
fn there_is_a_manual_page_for_the_program_and_for_each_command() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let pages = directory.path().join("new/man1");
    run(&["man", pages.to_str().unwrap()]).fine();
    for page in ["evenfold.1", "evenfold-worker.1", "evenfold-parked-list.1"] {
        let text = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(".TH ") && text.contains(".SH SYNOPSIS"), "{page}: {text}");
    }
    let worker = std::fs::read_to_string(pages.join("evenfold-worker.1")).unwrap();
    assert!(worker.contains("amount\\-pointer") && worker.contains("PARTITION_KEY"), "{worker}");
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    run(&["man", file.to_str().unwrap()]).complains(1, "correct the directory");
}
