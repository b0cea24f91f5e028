//! What is printed: sentences, queries as they are typed, and what `psql` answers.

use std::path::{Path, PathBuf};

use pgtls_e2e::prelude::*;

/// Fits a terminal of the usual width.
const COLUMNS: usize = 80;

/// How long a client stays that is told to: longer than any demonstration.
const STAY: &str = "select pg_sleep(600)";

/// Somebody with `psql`.
pub(crate) struct Client {
    pub(crate) name: &'static str,
    psql: Psql,
}

impl Client {
    pub(crate) fn new(name: &'static str, psql: Psql) -> Self {
        Self { name, psql: psql.aligned(COLUMNS) }
    }

    /// Stays connected until the result is dropped.
    pub(crate) fn stays(&self) -> Background {
        self.psql.background("psql", &["--command", STAY])
    }

    /// The client's entry in a service file.
    pub(crate) fn service(&self) -> String {
        self.psql.service(self.name)
    }
}

/// The standard output, and a record of the queries that were shown on it.
pub(crate) struct Terminal {
    directory: PathBuf,
    scenes: u32,
    script: String,
}

impl Terminal {
    /// `psql` runs in this directory.
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), scenes: 0, script: String::new() }
    }

    /// Starts a scene with what somebody wants to know.
    pub(crate) fn scene(&mut self, question: &str) {
        self.scenes += 1;
        let title = format!("{}. {question}", self.scenes);
        println!("\n{title}\n{}", "-".repeat(title.len()));
        self.script += &format!("\n\\echo\n\\echo {}\n", quote(&title));
    }

    /// Says something between two queries.
    pub(crate) fn say(&self, sentence: &str) {
        println!("\n{sentence}");
    }

    /// Shows a query and what `psql` prints for it.
    pub(crate) fn show(&mut self, client: &Client, sql: &str) {
        let prompt = format!("{}=> ", client.name);
        println!("\n{prompt}{}", sql.replace('\n', &format!("\n{:1$}", "", prompt.len())));
        print_folded(&client.psql.clone().in_directory(&self.directory).run(sql));
        self.script += &format!("\\connect 'service={}'\n{sql}\n", client.name);
    }

    /// Shows a login that is refused. It is made from the shell: a script ends with a `\connect`
    /// that fails.
    pub(crate) fn log_in(&mut self, client: &Client) {
        println!("\n{}$ psql -c 'select 1'", client.name);
        print_folded(&client.psql.tool("psql", &["-c", "select 1"]));
        let psql = psql_path();
        self.script += &format!("\\! '{psql}' 'service={}' -c 'select 1'\n", client.name);
    }

    /// All queries so far, as a script for `psql` that connects by the services of the clients.
    pub(crate) fn script(&self) -> String {
        let start = quote(&self.directory.display().to_string());
        let settings =
            format!("\\pset footer off\n\\pset format wrapped\n\\pset columns {COLUMNS}\n");
        format!("\\set QUIET on\n{settings}\\cd {start}\n{}", self.script)
    }
}

/// The `psql` of the installation.
pub(crate) fn psql_path() -> String {
    Installation::get().program("psql").get_program().to_string_lossy().into_owned()
}

fn print_folded(output: &PsqlOutput) {
    let text = format!("{}{}", output.stdout, output.stderr);
    for line in text.trim_end().lines() {
        fold(line.trim_end()).iter().for_each(|part| println!("{part}"));
    }
}

/// The line in parts that fit, divided at spaces: messages of errors are long.
fn fold(line: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = line;
    while rest.chars().count() > COLUMNS {
        let end = rest.char_indices().nth(COLUMNS + 1).map_or(rest.len(), |(end, _)| end);
        let Some(space) = rest[..end].rfind(' ') else { break };
        parts.push(&rest[..space]);
        rest = &rest[space + 1..];
    }
    parts.push(rest);
    parts
}
