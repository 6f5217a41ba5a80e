//! Sentences that readers see begin with their subject: a noun, not a clause of *who* or *what*.

use std::{fs, path::Path};

use super::{root, text};
use crate::layers::{files, tokens::tokens};

/// Pages for users and developers.
const PAGES: &[&str] = &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"];

#[test]
fn no_page_has_a_clause_as_its_subject() {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().display()));
    let pages = PAGES.iter().map(|page| page.to_string());
    let pages = pages.chain(docs.filter(|name| name.ends_with(".md")));
    let wrong: Vec<_> = pages
        .flat_map(|page| {
            of_page(&text(&page))
                .into_iter()
                .map(move |(line, said)| format!("{page}:{line} {said}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_message_has_a_clause_as_its_subject() {
    let wrong: Vec<_> = files("src")
        .iter()
        .filter(|path| !path.ends_with("tests.rs") && !path.iter().any(|folder| folder == "tests"))
        .flat_map(|path| of_code(path, &fs::read_to_string(path).unwrap()))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The text literals of a file, and the help texts of the command line.
fn of_code(path: &Path, code: &str) -> Vec<String> {
    let literals = tokens(code).into_iter().filter(|token| token.text.ends_with('"'));
    let literals = literals.map(|token| (token.line, token.text.replace("\\n", " ")));
    let is_help = path.ends_with("cli/arguments.rs");
    let help = code.lines().enumerate().filter(|_| is_help);
    let help = help.filter_map(|(at, line)| Some((at + 1, line.trim().strip_prefix("/// ")?.to_owned())));
    let said = literals.chain(help);
    said.flat_map(|(line, text)| {
        let text = text.trim_matches(['"', 'r', '#', 'b']).to_owned();
        let wrong: Vec<_> = clauses(&text)
            .into_iter()
            .filter(|clause| has_a_clause_as_subject(clause))
            .collect();
        wrong
            .into_iter()
            .map(move |clause| {
                format!(
                    "{}:{line} {clause}",
                    path.strip_prefix(root()).unwrap_or(path).display()
                )
            })
            .collect::<Vec<_>>()
    })
    .collect()
}

/// The sentences of a page that begin so, with their lines. Headings, heads of tables and code are not read.
fn of_page(page: &str) -> Vec<(usize, String)> {
    let mut wrong = Vec::new();
    let mut in_code = false;
    let mut paragraph = (0, String::new());
    let nexts = page.lines().skip(1).chain(["", ""]);
    for (at, (line, next)) in page.lines().chain([""]).zip(nexts).enumerate() {
        in_code ^= line.starts_with("```");
        let trimmed = line.trim_start().trim_start_matches(['>', ' ']);
        let begins = in_code
            || trimmed.is_empty()
            || trimmed.starts_with(['#', '|', '`', '-', '*'])
            || trimmed
                .split_once(". ")
                .is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        if begins {
            let said = clauses(&paragraph.1)
                .into_iter()
                .filter(|clause| has_a_clause_as_subject(clause));
            wrong.extend(said.map(|said| (paragraph.0, said)));
            paragraph = (at + 1, String::new());
        }
        // The heads of tables name columns.
        if in_code || trimmed.starts_with("```") || trimmed.starts_with('#') || next.starts_with("|---") {
            continue;
        }
        paragraph.1.push(' ');
        paragraph.1.push_str(trimmed.trim_start_matches(['-', ' ']));
    }
    wrong
}

/// Sentences, parts between semicolons, and cells of tables.
fn clauses(text: &str) -> Vec<String> {
    let plain = text
        .replace("**", "")
        .replace("| ", "|\u{1}")
        .replace(". ", ".\u{1}")
        .replace("; ", ";\u{1}");
    let plain = plain.replace("? ", "?\u{1}").replace("! ", "!\u{1}");
    plain
        .split('\u{1}')
        .map(|clause| clause.trim().to_owned())
        .filter(|clause| !clause.is_empty())
        .collect()
}

fn has_a_clause_as_subject(clause: &str) -> bool {
    let plain = clause.trim_end_matches(|letter: char| !letter.is_alphanumeric());
    let mut words = plain
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default().to_lowercase();
    let verbs = [
        "is", "are", "was", "were", "has", "have", "may", "must", "can", "will", "does", "goes", "comes", "stays",
        "gets", "ends",
    ];
    let is_question = clause.trim_end_matches(['"', ')', '|', ' ', '*']).ends_with('?');
    // `what it is` alone is no subject: a verb follows one.
    let has_verb = words.rev().skip(1).any(|word| verbs.contains(&word));
    let is_about =
        ["who", "whoever"].contains(&first.as_str()) || (["what", "whatever"].contains(&first.as_str()) && has_verb);
    is_about && !is_question
}

#[test]
fn a_clause_as_subject_is_seen() {
    for wrong in [
        "Whoever asks is told.",
        "Who has no token learns nothing else.",
        "What nobody reads is dropped.",
        "It is kept; what is older goes.",
        "One sentence. What comes next\nis in two lines.",
        "- What fails is tried again",
        "1. What fails is tried again",
        "| `a` | What fails is tried again |",
        "**What fails** is tried again",
    ] {
        assert_eq!(of_page(wrong).len(), 1, "{wrong}");
    }
    for right in [
        "# What is there",
        "```\nWhat is there\n```",
        "What is there?",
        "It says what is there.",
        "| what it is |\n|---|\n| a thing |",
    ] {
        assert_eq!(of_page(right), [], "{right}");
    }
    let code = |code| of_code(Path::new("cli/arguments.rs"), code).len();
    assert_eq!(code("fn f() { warn!(a, \"what was read is not believable\") }"), 1);
    assert_eq!(code("#[error(\"a name. Who asks is told\")]"), 1);
    assert_eq!(code("/// What is listened on is this.\nlisten: String"), 1);
    assert_eq!(
        code("// What is listened on is this.\nlet a = \"says what is left\";"),
        0
    );
}
