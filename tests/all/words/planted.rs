//! Each check finds what is planted, and nothing in what is fine.

use super::*;

fn rust(text: &str) -> File {
    File { path: "src/planted.rs".to_owned(), text: text.to_owned() }
}

fn words(findings: &[Finding]) -> Vec<(usize, &str)> {
    findings.iter().map(|finding| (finding.line, finding.word.as_str())).collect()
}

#[test]
fn a_forbidden_word_in_a_name_is_found_with_its_line() {
    for name in [
        "told",
        "is_told",
        "IsTold",
        "IS_TOLD",
        "tell",
        "try_tell",
        "tells",
        "telling_line",
        "Said",
        "heard",
        "Held",
        "beside",
        "lets_go",
        "let_go_of",
        "gives_up",
        "give_up",
        "GaveUp",
        "over",
        "is_over",
        "hand_over",
        "what_is_wrong",
    ] {
        let found = wrong_names(&rust(&format!("fn fine() {{}}\nfn {name}() {{}}\n")));
        assert!(found.len() == 1 && found[0].line == 2, "{name}: {found:?}");
    }
    let sentences = rust("").findings(wrong_names(&rust("\nlet was_told = 1;")));
    assert_eq!(
        sentences,
        ["src/planted.rs:2 has the name `was_told`, and `told` in it: say notify, report, publish, send, \
                            answer, show or distinguish"]
    );
    assert_eq!(wrong_names(&File { path: "docs/told.md".to_owned(), text: String::new() }).len(), 1, "a file's name");
}

#[test]
fn names_that_have_such_letters_and_not_the_word_are_fine() {
    for name in [
        "takeover",
        "start_over",
        "SwitchOver",
        "overlap",
        "over_budget",
        "untold",
        "intelligent",
        "what_is",
        "somewhat_is_x",
    ] {
        assert_eq!(words(&wrong_names(&rust(name))), [], "{name}");
    }
}

#[test]
fn a_forbidden_word_in_a_comment_or_a_text_is_found_with_its_line() {
    let source = "// fine\n// It is told so, and lets\n// go.\n\nlet a = \"and\\nsaid\"; /* heard */ let b = r#\"he \"gave up\" it\"#;\n";
    assert_eq!(
        words(&wrong_prose(&rust(source))),
        [(2, "told"), (2, "lets go"), (5, "said"), (5, "heard"), (5, "gave up")]
    );
    let document =
        File { path: "docs/a.md".to_owned(), text: "One.\n\nIt lets go of it, **beside** that.\n".to_owned() };
    assert_eq!(words(&wrong_prose(&document)), [(3, "beside"), (3, "lets go")]);
    for path in ["scripts/chaos", "Dockerfile", "migrations/1_a.sql", "release.toml", "docker-compose.yml"] {
        let file = File { path: path.to_owned(), text: "# tells".to_owned() };
        assert_eq!(words(&wrong_prose(&file)), [(1, "tells")], "{path}");
    }
}

#[test]
fn prose_may_use_what_only_names_may_not() {
    let source = "// A lock is held, and when it is over, what is left: let us go on.\nlet c = '\"'; let told<'a> = 1; // 'told\n";
    assert_eq!(words(&wrong_prose(&rust(source))), [(2, "told")], "a quote as a character begins no text");
}

#[test]
fn an_exception_is_for_its_file_and_word_only() {
    assert!(is_excepted("crates/groups/src/actors/owner.rs", "tell"));
    assert!(!is_excepted("crates/groups/src/actors/owner.rs", "told"));
    assert!(!is_excepted("crates/groups/src/actors/mod.rs", "tell"));
}

fn sources(files: &[(&str, &str)]) -> Vec<File> {
    files.iter().map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() }).collect()
}

#[test]
fn a_type_that_is_defined_twice_in_a_package_is_found() {
    for second in
        ["struct A;", "enum A {}", "trait A {}", "type A = u8;", "mod inner { pub struct A; }", "fn f() { struct A; }"]
    {
        let found = wrong_types(&sources(&[("crates/x/src/lib.rs", "\nstruct A;"), ("crates/x/src/b.rs", second)]));
        assert_eq!(
            found,
            ["crates/x/src/lib.rs:2, crates/x/src/b.rs:1: x has more than one type `A`: name each by what it is"],
            "{second}"
        );
    }
}

#[test]
fn types_of_tests_of_other_packages_and_associated_ones_are_no_homonyms() {
    let fine = [
        (
            "src/lib.rs",
            "struct A; #[cfg(test)] mod tests; #[cfg(test)] mod more { struct A; } impl T for A { type A = u8; }",
        ),
        ("src/tests.rs", "struct A;"),
        ("src/tests/deeper.rs", "struct A;"),
        ("crates/x/src/lib.rs", "struct A;"),
        ("crates/x/tests/all/main.rs", "struct A;"),
        ("examples/one.rs", "struct A;"),
        ("examples/two.rs", "struct A;"),
    ];
    assert_eq!(wrong_types(&sources(&fine)), [""; 0]);
    assert_eq!(wrong_types(&sources(&[("src/lib.rs", "struct A;"), ("src/testing.rs", "struct A;")])).len(), 1);
}

#[test]
fn a_name_that_says_little_is_found_in_two_packages() {
    let found = wrong_types(&sources(&[("src/lib.rs", "struct Reply;"), ("crates/x/src/lib.rs", "enum Reply {}")]));
    assert_eq!(
        found,
        [
            "src/lib.rs:1, crates/x/src/lib.rs:1: there is more than one type `Reply`, which says little: name each by what it is"
        ]
    );
}

#[test]
fn a_file_that_does_not_begin_with_what_it_is_is_found() {
    for text in ["use a;", "", "/// Of what follows.\nstruct A;", "//!", "\n//! Too late."] {
        assert!(wrong_beginning(&rust(text)).is_some(), "{text:?}");
    }
    assert_eq!(wrong_beginning(&rust("//! What it is.\n")), None);
}

#[test]
fn a_comment_that_is_too_wide_is_found_with_its_line_and_code_is_not() {
    let long = "x".repeat(120);
    let source = format!("let a = \"{long}\";\n// {long}\nlet b = 1; // {long}\n/// {}\n", &long[4..]);
    let file = rust(&source);
    assert_eq!(
        wrong_widths(&file),
        [
            "src/planted.rs:2 has a comment of 123 columns: wrap it at 120",
            "src/planted.rs:3 has a comment of 134 columns: wrap it at 120"
        ]
    );
}
