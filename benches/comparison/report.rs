//! What was found, as Markdown: printed, and written into the document that tells of it.

use std::{fmt::Write, fs, path::PathBuf};

use super::{Effort, Outcome, chart, machine::Machine, section::Section};

/// All of it.
pub fn markdown(machine: &Machine, effort: &Effort, sections: &[Section]) -> Outcome<String> {
    let mut text = format!(
        "{machine}. Rounds in alternation: {}, {} s a measurement.\n\n",
        effort.rounds,
        effort.duration.as_secs()
    );
    for section in sections {
        writeln!(text, "{section}")?;
    }
    Ok(text)
}

/// Writes text and chart into `docs/`.
pub fn write(text: &str, sections: &[Section]) -> Outcome<()> {
    replace("results", text)?;
    chart::draw(&docs().join("benchmarks.png"), sections)
}

/// Replaces what stands between the marks of a part in `docs/benchmarks.md`.
pub fn replace(part: &str, text: &str) -> Outcome<()> {
    let file = docs().join("benchmarks.md");
    let document = fs::read_to_string(&file)?;
    let before = recorded(&document, part)?;
    let (begin, end) = marks(part);
    let written = document.replacen(
        &format!("{begin}{before}{end}"),
        &format!("{begin}\n{}\n\n{end}", text.trim()),
        1,
    );
    Ok(fs::write(file, written)?)
}

/// What stands there now.
pub fn written(part: &str) -> Outcome<String> {
    Ok(recorded(&fs::read_to_string(docs().join("benchmarks.md"))?, part)?.to_owned())
}

fn recorded<'a>(document: &'a str, part: &str) -> Outcome<&'a str> {
    let (begin, end) = marks(part);
    let rest = document
        .split_once(&begin)
        .ok_or("docs/benchmarks.md has lost a mark")?
        .1;
    Ok(rest.split_once(&end).ok_or("docs/benchmarks.md has lost a mark")?.0)
}

fn marks(part: &str) -> (String, String) {
    (
        format!("<!-- {part}: written by make -->\n"),
        format!("<!-- end of {part} -->"),
    )
}

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs")
}
