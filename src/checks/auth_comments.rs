//! The comments in `pg_hba.conf` and `pg_ident.conf`: what whoever wrote a line wrote above it.

use std::collections::HashMap;
use std::path::Path;

use crate::pg::datum::text::lossless;
use crate::pg::server::files;

/// The comments of files that were read so far, by the number of the line they stand above, from 1.
#[derive(Default)]
pub(crate) struct Comments(HashMap<String, HashMap<u32, String>>);

impl Comments {
    /// The comment right above a line of a file; `None` if there is none, or the file cannot be
    /// read.
    pub(crate) fn above(&mut self, file: &str, line: Option<u32>) -> Option<String> {
        if !self.0.contains_key(file) {
            let content = files::open(Path::new(file)).and_then(|it| it.read()).unwrap_or_default();
            self.0.insert(file.to_owned(), comments(&content));
        }
        self.0.get(file)?.get(&line?).cloned()
    }
}

/// Lines that begin with `#`, up to one that does not, joined.
fn comments(content: &[u8]) -> HashMap<u32, String> {
    let mut found = HashMap::new();
    let mut comment: Vec<String> = Vec::new();
    for (line, number) in content.split(|byte| *byte == b'\n').zip(1_u32..) {
        match line.trim_ascii().strip_prefix(b"#") {
            Some(text) => comment.push(lossless(text.trim_ascii()).into_owned()),
            None => {
                let text = std::mem::take(&mut comment).join("\n");
                if !text.is_empty() && !line.trim_ascii().is_empty() {
                    found.insert(number, text);
                }
            }
        }
    }
    found
}
