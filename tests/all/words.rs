//! The words of the field, and no others: a list of those that nothing here uses, and one meaning for each type.

mod lexer;
mod list;
mod names;
mod planted;
mod prose;
mod types;

use crate::support::documents::{files, root};
use lexer::{Kind, Token, tokens};
use list::EXCEPTIONS;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use types::{Defined, definitions, homonyms};

/// The most columns of a line with a comment, which are those of the code (`rustfmt.toml`).
const WIDTH: usize = 120;

/// Something that is wrong with a line.
#[derive(Debug)]
struct Finding {
    line: usize,
    /// What the file does at this line.
    sentence: String,
    /// For those who may use it.
    word: String,
}

/// A file of the workspace, by its path from the root.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    /// Whether people read it: the lock file is cargo's, and the rest is data.
    fn has_prose(&self) -> bool {
        let name = Path::new(&self.path);
        let prose = ["md", "sql", "toml", "yml", "yaml", "json", "lua", "html", "css", "js"];
        match name.extension() {
            Some(extension) => prose.iter().any(|one| extension == *one),
            None => self.path != "LICENSE" && !self.path.starts_with("LICENSE-"),
        }
    }

    /// The lines of this kind, but for those that are excepted.
    fn findings(&self, findings: Vec<Finding>) -> Vec<String> {
        let wrong = findings.into_iter().filter(|finding| !is_excepted(&self.path, &finding.word));
        wrong.map(|finding| format!("{}:{} {}", self.path, finding.line, finding.sentence)).collect()
    }
}

fn excepts(exception: &list::Exception, path: &str, word: &str) -> bool {
    let here = if exception.path.ends_with('/') { path.starts_with(exception.path) } else { path == exception.path };
    here && exception.word.is_none_or(|one| one == word)
}

fn is_excepted(path: &str, word: &str) -> bool {
    EXCEPTIONS.iter().any(|exception| excepts(exception, path, word))
}

fn all() -> Vec<File> {
    let all: Vec<File> = files(root())
        .into_iter()
        .filter_map(|file| {
            let path = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            Some(File { path, text: fs::read_to_string(&file).ok()? })
        })
        .collect();
    assert!(all.len() > 500 && all.iter().any(|file| file.path == "tests/all/words.rs"), "{}", all.len());
    all
}

/// Fails with all that is wrong, one a line.
fn assert_none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}, in {} places:\n{}", wrong.len(), wrong.join("\n"));
}

fn wrong_names(file: &File) -> Vec<Finding> {
    let mut found = names::in_name(1, file.path.rsplit('/').next().unwrap().split('.').next().unwrap());
    if file.is_rust() {
        found.extend(names::in_rust(&tokens(&file.text)));
    }
    found
}

fn wrong_prose(file: &File) -> Vec<Finding> {
    if file.is_rust() {
        prose::in_rust(&tokens(&file.text))
    } else if file.has_prose() {
        prose::in_text(1, &file.text)
    } else {
        Vec::new()
    }
}

#[test]
fn names_have_none_of_the_forbidden_words() {
    let wrong: Vec<_> = all().iter().flat_map(|file| file.findings(wrong_names(file))).collect();
    assert_none("names have words that are not the field's", &wrong);
}

#[test]
fn comments_texts_and_documents_have_none_of_the_forbidden_words() {
    let wrong: Vec<_> = all().iter().flat_map(|file| file.findings(wrong_prose(file))).collect();
    assert_none("prose has words that are not the field's", &wrong);
}

#[test]
fn no_exception_is_for_nothing() {
    let all = all();
    for exception in &EXCEPTIONS {
        let used = all.iter().any(|file| {
            let mut found = wrong_names(file).into_iter().chain(wrong_prose(file));
            found.any(|finding| excepts(exception, &file.path, &finding.word))
        });
        assert!(
            used,
            "{} has not {:?} ({}): take the exception away",
            exception.path, exception.word, exception.reason
        );
    }
}

/// What is compiled as one, of which this is the code: the sources of a package, or one example. None for tests.
fn unit(path: &str) -> Option<String> {
    match path.split('/').collect::<Vec<_>>()[..] {
        ["src", ..] => Some("the engine".to_owned()),
        ["crates", package, "src", ..] => Some(package.to_owned()),
        ["examples", example] => Some(example.to_owned()),
        _ => None,
    }
}

/// Where the file of a module is that this file declares, without its extension.
fn module_place(path: &str, module: &str) -> String {
    let (directory, name) = path.rsplit_once('/').unwrap();
    match name {
        "lib.rs" | "main.rs" | "mod.rs" => format!("{directory}/{module}"),
        _ => format!("{}/{module}", path.strip_suffix(".rs").unwrap()),
    }
}

fn wrong_types(all: &[File]) -> Vec<String> {
    let (mut defined, mut tests) = (Vec::new(), BTreeSet::new());
    for file in all.iter().filter(|file| file.is_rust()) {
        let Some(unit) = unit(&file.path) else { continue };
        let (types, modules) = definitions(&file.text, &tokens(&file.text));
        tests.extend(modules.iter().map(|module| module_place(&file.path, module)));
        let places = types.into_iter().map(|one| (unit.clone(), one.name, format!("{}:{}", file.path, one.line)));
        defined.extend(places);
    }
    let is_test = |place: &str| {
        tests.iter().any(|test| place.strip_prefix(test).is_some_and(|rest| rest.starts_with(['.', '/'])))
    };
    defined.retain(|(_, _, place): &Defined| !is_test(place));
    homonyms(&defined)
}

#[test]
fn a_type_has_a_name_of_its_own() {
    assert_none("types have the names of others", &wrong_types(&all()));
}

/// What is wrong with the first line of a file.
fn wrong_beginning(file: &File) -> Option<String> {
    let first = file.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//! ").is_some_and(|sentence| sentence.len() > 10);
    (file.is_rust() && !says)
        .then(|| format!("{}:1 begins with {first:?}: say in a line of `//!` what the file is", file.path))
}

#[test]
fn each_file_says_in_its_first_line_what_it_is() {
    assert_none("files do not say what they are", &all().iter().filter_map(wrong_beginning).collect::<Vec<_>>());
}

/// The lines of comments that are too long.
fn too_wide(source: &str, tokens: &[Token<'_>]) -> Vec<(usize, usize)> {
    let comments = tokens.iter().filter(|token| token.kind == Kind::Comment);
    let of_comments: BTreeSet<usize> =
        comments.flat_map(|token| token.line..=token.line + token.text.matches('\n').count()).collect();
    let widths = source.lines().zip(1..).map(|(line, number)| (number, line.chars().count()));
    widths.filter(|(number, width)| *width > WIDTH && of_comments.contains(number)).collect()
}

fn wrong_widths(file: &File) -> Vec<String> {
    if !file.is_rust() {
        return Vec::new();
    }
    let wide = too_wide(&file.text, &tokens(&file.text)).into_iter();
    wide.map(|(line, width)| format!("{}:{line} has a comment of {width} columns: wrap it at {WIDTH}", file.path))
        .collect()
}

#[test]
fn comments_are_no_wider_than_the_code() {
    assert_none("comments are too wide", &all().iter().flat_map(wrong_widths).collect::<Vec<_>>());
}
