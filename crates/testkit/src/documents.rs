//! The documents of the repository, and what a program's help says, to be compared.

use crate::Evenfold;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file in Markdown.
pub struct Document {
    /// From the root of the repository.
    pub path: String,
    pub text: String,
}

/// A block of code.
pub struct Fence {
    /// The line of the document that it begins at, from 1.
    pub line: usize,
    /// What follows the three backticks.
    pub language: String,
    pub lines: Vec<String>,
}

/// The root of the repository: the workspace has one lock file.
pub fn root() -> &'static Path {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.find(|directory| directory.join("Cargo.lock").is_file()).unwrap()
}

/// Every file below this directory, in order; none of what is built or hidden.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        if name == "target" || name.to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// All documents.
pub fn documents() -> Vec<Document> {
    let all: Vec<Document> = files(root())
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| Document {
            text: fs::read_to_string(&path).unwrap(),
            path: path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(),
        })
        .collect();
    assert!(all.len() >= 15 && all.iter().any(|document| document.path == "docs/guide/first-steps.md"));
    all
}

impl Document {
    /// The lines outside of code blocks, with their numbers.
    pub fn prose(&self) -> Vec<(usize, &str)> {
        let mut inside = false;
        let lines = (1..).zip(self.text.lines()).filter(|(_, line)| {
            let fence = line.trim_start().starts_with("```");
            inside ^= fence;
            !inside && !fence
        });
        lines.collect()
    }

    pub fn fences(&self) -> Vec<Fence> {
        let mut fences: Vec<Fence> = Vec::new();
        let mut inside = false;
        for (line, text) in (1..).zip(self.text.lines()) {
            match text.trim_start().strip_prefix("```") {
                Some(_) if inside => inside = false,
                Some(language) => {
                    inside = true;
                    fences.push(Fence { line, language: language.to_owned(), lines: Vec::new() });
                }
                None if inside => fences.last_mut().unwrap().lines.push(text.to_owned()),
                None => {}
            }
        }
        assert!(!inside, "{}: a code block has no end", self.path);
        fences
    }

    /// What stands between backticks in the text, which may go on in the next line, with the number of its line.
    pub fn spans(&self) -> Vec<(usize, String)> {
        let mut spans = Vec::new();
        let mut open: Option<(usize, String)> = None;
        for (number, line) in self.prose() {
            // A paragraph's end ends what was never closed.
            if line.is_empty() {
                open = None;
            }
            for (n, piece) in line.split('`').enumerate() {
                if n > 0 {
                    open = match open.take() {
                        Some(span) => {
                            spans.push(span);
                            None
                        }
                        None => Some((number, String::new())),
                    };
                }
                if let Some((_, span)) = &mut open {
                    let gap = if n == 0 && !span.is_empty() { " " } else { "" };
                    span.push_str(gap);
                    span.push_str(piece.trim());
                }
            }
        }
        spans
    }

    /// Lines that are meant for a shell: those of its blocks, what other blocks show behind a prompt, and what the text
    /// has between backticks. With the numbers of their lines, or of their block's.
    pub fn commands(&self) -> Vec<(usize, String)> {
        let mut lines = self.spans();
        for fence in self.fences() {
            let (number, shell) = (fence.line, fence.language == "sh");
            let of_shell = fence.lines.into_iter().filter_map(|line| match line.strip_prefix("$ ") {
                Some(typed) => Some(typed.to_owned()),
                None => shell.then_some(line),
            });
            lines.extend(of_shell.map(|line| (number, line)));
        }
        lines
    }

    /// What its tables have in the first two columns of rows that begin with a flag.
    pub fn tabulated(&self) -> BTreeSet<String> {
        let rows = self.text.lines().filter(|line| line.starts_with("| `--"));
        let cells = rows.flat_map(|row| row.split('|').skip(1).take(2));
        cells.filter_map(|cell| cell.trim().strip_prefix('`')?.strip_suffix('`')).map(str::to_owned).collect()
    }

    /// The flags, and evenfold's own variables, that the text names between backticks, with the numbers of their lines.
    /// Those of cargo's command lines are cargo's.
    pub fn named(&self) -> Vec<(usize, String)> {
        let spans = self.spans().into_iter().filter(|(_, span)| !span.starts_with("cargo "));
        spans.flat_map(|(line, span)| names(&span).map(move |name| (line, name)).collect::<Vec<_>>()).collect()
    }
}

fn names(code: &str) -> impl Iterator<Item = String> {
    let words = code.split(|c: char| c.is_whitespace() || "=|[]()<>,;".contains(c));
    let names = words.filter(|word| (word.starts_with("--") && word.len() > 2) || word.starts_with("EVENFOLD_"));
    names.map(str::to_owned)
}

/// A document by its path from the root of the repository.
pub fn document(path: &str) -> Document {
    documents().into_iter().find(|document| document.path == path).unwrap()
}

/// The words of a command, without variables before it and without what is only for the shell behind it.
pub fn words(line: &str) -> Vec<&str> {
    let is_variable =
        |word: &&str| word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_uppercase() || c == '_'));
    let words = line.split_whitespace().take_while(|word| !word.starts_with(['#', '<', '|', '>']));
    words.skip_while(is_variable).collect()
}

/// The help of a command of the package's program; where the command line can't be followed, why not.
pub fn help(args: &[&str]) -> Result<String, String> {
    help_of(Evenfold::command(args))
}

/// The same of another program.
pub fn help_of(mut command: Command) -> Result<String, String> {
    // Understood as far as the help: unknown commands, flags and values are refused before it is shown.
    command.arg("--help");
    let output = Evenfold::finish(command, b"");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// The commands that a help lists, each in a line that is indented by two.
fn commands(help: &str) -> Vec<&str> {
    let list = help.split("Commands:\n").nth(1).unwrap_or_default().lines().take_while(|line| !line.is_empty());
    let names = list.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names.map(|line| line.split(' ').next().unwrap()).filter(|name| *name != "help").collect()
}

/// Every flag and every variable of the binary, of every command.
pub fn known() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    let mut next = vec![Vec::new()];
    while let Some(command) = next.pop() {
        let args: Vec<&str> = command.iter().map(String::as_str).collect();
        let help = help(&args).unwrap_or_else(|error| panic!("{command:?}: {error}"));
        next.extend(commands(&help).into_iter().map(|name| [&command[..], &[name.to_owned()]].concat()));
        // Without the line breaks of a narrow terminal.
        let text = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let words = text.split(|c: char| c.is_whitespace() || "[]`<>(),=|:".contains(c));
        known.extend(words.filter(|word| word.starts_with("--")).map(str::to_owned));
        known.extend(text.split("[env: ").skip(1).map(|rest| rest.split([']', '=']).next().unwrap().to_owned()));
    }
    known
}
