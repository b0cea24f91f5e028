//! The documentation: every SQL example in it runs and answers as printed, and every function and
//! view is in it.

use std::collections::BTreeSet;
use std::path::Path;

use pgtls_e2e::prelude::*;

/// Stands for any text in an expected line.
const ANYTHING: &str = "…";

/// An SQL block of a document, and the output that follows it, if one does.
struct Example {
    line: usize,
    sql: String,
    output: Option<String>,
}

/// A fenced block of a document.
pub(crate) struct Block {
    /// The line of its first fence, from 1.
    pub(crate) line: usize,
    /// What stands behind the fence, such as `sql`.
    pub(crate) kind: String,
    pub(crate) text: String,
}

pub(crate) fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (number, line) in markdown.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(kind) => {
                open = true;
                blocks.push(Block { line: number + 1, kind: kind.to_owned(), text: String::new() });
            }
            None if open => {
                let block = blocks.last_mut().expect("a block is open");
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
    }
    blocks
}

/// The blocks fenced as `sql`, each with the next block if that is fenced as `text`.
fn examples(markdown: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for Block { line, kind, text } in blocks(markdown) {
        match (kind.as_str(), examples.last_mut()) {
            ("sql", _) => examples.push(Example { line, sql: text, output: None }),
            ("text", Some(example)) if example.output.is_none() => example.output = Some(text),
            _ => {}
        }
    }
    examples
}

/// Whether a line is as expected, where the expected one may say [`ANYTHING`], and runs of spaces
/// and dashes may have any length, because columns are as wide as what is in them.
fn line_matches(expected: &str, actual: &str) -> bool {
    let squeezed = |line: &str| -> String {
        let mut squeezed = String::new();
        for character in line.trim_end().chars() {
            if !(matches!(character, ' ' | '-') && squeezed.ends_with(character)) {
                squeezed.push(character);
            }
        }
        squeezed
    };
    let (expected, actual) = (squeezed(expected), squeezed(actual));
    let mut parts = expected.split(ANYTHING);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = actual.strip_prefix(first) else { return false };
    for part in parts {
        let part = part.trim();
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.trim().is_empty() || expected.trim_end().ends_with(ANYTHING)
}

pub(crate) fn output_matches(expected: &str, actual: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let (expected, actual) = (lines(expected), lines(actual));
    expected.len() == actual.len()
        && expected.iter().zip(&actual).all(|(expected, actual)| line_matches(expected, actual))
}

#[test]
fn a_line_is_matched_as_documented() {
    assert!(line_matches(" a | b", " a   | b  "));
    assert!(line_matches("---+--", "-----+----------"));
    assert!(line_matches(" … | alice", " 1234 | alice"));
    assert!(line_matches("x … y", "x 1 2 3 y"));
    assert!(!line_matches(" a | b", " a | c"));
    assert!(!line_matches("x … y", "x 1 2 3 z"));
    assert!(!line_matches("x", "x y"));
    assert!(!line_matches("x y", "x"));
}

/// Runs the examples of a document one after the other, as `alice`, who presents a certificate
/// through an intermediate CA, on a server that preloads the extension.
fn assert_examples_hold(name: &str) {
    let pki = Pki::standard();
    let cluster = Cluster::builder().roles(&["alice"]).staged();
    let cluster = cluster.set("shared_preload_libraries", "pgtls_ext").start();
    cluster
        .sql("grant create on database postgres to alice; grant create on schema public to alice");
    cluster.sql("create extension pgtls_ext");
    cluster.sql(
        "grant pg_monitor to alice; grant execute on all functions in schema public to alice; \
         grant select on all tables in schema public to alice",
    );
    let alice = cluster.psql("alice").with(pki.alice());
    let examples = examples(&document(name));
    assert!(!examples.is_empty(), "{name} has examples");
    for example in examples {
        let run = alice.tool("psql", &["-X", "-c", &example.sql]);
        let actual = format!("{}{}", run.stdout, run.stderr);
        match &example.output {
            Some(expected) => assert!(
                output_matches(expected, &actual),
                "{name}:{}: {}expected:\n{expected}\nactual:\n{actual}",
                example.line,
                example.sql,
            ),
            None => assert!(!actual.contains("ERROR"), "{name}:{}: {actual}", example.line),
        }
    }
}

#[test]
fn the_reference_tells_the_truth() {
    assert_examples_hold("docs/sql-reference.md");
}

#[test]
fn the_readme_tells_the_truth() {
    assert_examples_hold("README.md");
}

#[test]
fn the_reference_calls_every_function_and_view() {
    let cluster = Cluster::builder().extension().start();
    let members: BTreeSet<_> = cluster
        .sql(
            "select coalesce(p.proname, c.relname)::text from pg_depend d \
             join pg_extension e on e.oid = d.refobjid and e.extname = 'pgtls_ext' \
             left join pg_proc p on d.classid = 'pg_proc'::regclass and p.oid = d.objid \
             left join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid \
             where d.deptype = 'e' and coalesce(p.proname, c.relname) is not null",
        )
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    assert!(members.len() > 20, "{members:?}");
    let called: String = examples(&document("docs/sql-reference.md"))
        .into_iter()
        .map(|example| example.sql)
        .collect();
    let missing: Vec<_> = members.iter().filter(|member| !called.contains(*member)).collect();
    assert!(missing.is_empty(), "in no example of docs/sql-reference.md: {missing:?}");
}
