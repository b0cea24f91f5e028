//! `docs/operations.md`: every recipe is executed, from the first to the last.

use std::path::Path;
use std::process::Output;

use pgtls_e2e::prelude::*;

use crate::docs::{Block, blocks, document, output_matches};

/// Runs one block, and waits for a reload that it asked for.
fn run(cluster: &Cluster, directory: &Path, block: &Block) -> Output {
    let loaded_at = || cluster.admin().value("select pg_conf_load_time()");
    let before = loaded_at();
    let script = match block.kind.as_str() {
        "sh" => block.text.clone(),
        _ => format!("psql -Xq -v ON_ERROR_STOP=1 <<'SQL'\n{}SQL\n", block.text),
    };
    let output = cluster.shell(directory, &script);
    if block.text.contains("pg_reload_conf()") {
        eventually("the reload", || loaded_at() != before);
    }
    output
}

#[test]
fn every_recipe_does_what_it_says() {
    let cluster =
        Cluster::builder().set("ssl", "off").hba("local all all trust").preloaded().start();
    let directory = cluster.dir().join("recipes");
    cluster.shell(cluster.dir(), "mkdir -m 700 recipes");
    let mut blocks = blocks(&document("docs/operations.md")).into_iter().peekable();
    let mut compared = 0;
    while let Some(block) = blocks.next() {
        if !matches!(block.kind.as_str(), "sh" | "sql") {
            continue;
        }
        let output = run(&cluster, &directory, &block);
        let what = format!("docs/operations.md:{}: {}", block.line, block.text);
        let [printed, complained] =
            [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert!(output.status.success(), "{what}\n{printed}{complained}");
        if let Some(expected) = blocks.next_if(|next| next.kind == "text") {
            assert!(
                output_matches(&expected.text, &printed),
                "{what}expected:\n{}\nactual:\n{printed}{complained}",
                expected.text,
            );
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared}");
}
