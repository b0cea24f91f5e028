//! What a change of the configuration would do to one client: the login as it is, and the login as
//! it would be.

use crate::login::server_version::ServerVersion;
use crate::login::step::{Check, Explanation, Outcome, Step};
use crate::work;

/// Whether a client gets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It gets in, if a password that is asked for is right.
    Admitted,
    /// It is kept out.
    Refused,
    /// That cannot be told from here.
    Unknown,
}

impl Verdict {
    /// The word that SQL shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }

    fn of(explanation: &Explanation) -> Self {
        match explanation.admitted() {
            Some(true) => Self::Admitted,
            Some(false) => Self::Refused,
            None => Self::Unknown,
        }
    }
}

/// What becomes of one login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// By what is in force.
    pub verdict: Verdict,
    /// By the change.
    pub after: Verdict,
    /// The step that decides: the one that fails, after the change or before it.
    pub step: Option<Check>,
    /// What that step found.
    pub reason: Option<String>,
    /// What to do for whoever is refused after the change.
    pub hint: Option<String>,
}

impl Change {
    /// Compares two explanations of the same login.
    pub fn between(now: &Explanation, after: &Explanation) -> Self {
        let (verdict, verdict_after) = (Verdict::of(now), Verdict::of(after));
        // Of who is let in, the step that kept them out before tells what has changed.
        let decides = if verdict_after == Verdict::Admitted { now } else { after };
        let step = deciding_step(decides);
        Self {
            verdict,
            after: verdict_after,
            step: step.map(|step| step.check),
            reason: step.map(|step| step.detail.clone()),
            hint: step
                .filter(|_| verdict_after != Verdict::Admitted)
                .and_then(|step| step.hint.clone()),
        }
    }

    /// A login that nobody can foretell, with the reason.
    pub fn unknown(reason: &str) -> Self {
        Self {
            verdict: Verdict::Unknown,
            after: Verdict::Unknown,
            step: None,
            reason: Some(reason.to_owned()),
            hint: None,
        }
    }

    /// Whether the change makes a difference, as far as that can be told.
    pub fn matters(&self) -> bool {
        self.verdict != self.after
    }
}

fn deciding_step(explanation: &Explanation) -> Option<&Step> {
    let is = |outcome| move |step: &&Step| step.check != Check::Verdict && step.outcome == outcome;
    let steps = || explanation.steps().iter();
    steps().find(is(Outcome::Failed)).or_else(|| steps().find(is(Outcome::Unknown)))
}

/// How many logins a change concerns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Logins that were looked at.
    pub all: u64,
    /// Those that get in now, and would get in.
    pub keep_working: u64,
    /// Those that get in now, and would be kept out.
    pub locked_out: u64,
    /// Those of them that are connected.
    pub locked_out_connected: u64,
    /// Those that are kept out now, and would get in.
    pub let_in: u64,
    /// Those that cannot be told, now or after the change.
    pub unknown: u64,
}

impl Summary {
    /// Counts one more login.
    pub fn add(&mut self, change: &Change, connected: bool) {
        self.all += 1;
        match (change.verdict, change.after) {
            (Verdict::Unknown, _) | (_, Verdict::Unknown) => self.unknown += 1,
            (Verdict::Admitted, Verdict::Admitted) => self.keep_working += 1,
            (Verdict::Admitted, Verdict::Refused) => {
                self.locked_out += 1;
                self.locked_out_connected += u64::from(connected);
            }
            (Verdict::Refused, Verdict::Admitted) => self.let_in += 1,
            (Verdict::Refused, Verdict::Refused) => {}
        }
    }

    /// One line for people.
    pub fn sentence(&self) -> String {
        let before = self.keep_working + self.locked_out;
        let mut sentence = format!("{} of {before} keep working", self.keep_working);
        sentence += &match (self.locked_out, self.locked_out_connected) {
            (0, _) => ", nobody would be refused".to_owned(),
            (refused, connected) => format!(", {refused} would be refused ({connected} connected)"),
        };
        sentence += &match self.let_in {
            0 => ", nobody new is let in".to_owned(),
            let_in => format!(", {let_in} would be let in who are refused now"),
        };
        if self.unknown > 0 {
            sentence += &format!(", {} cannot be told", self.unknown);
        }
        sentence
    }
}

/// The first line of the text of `pg_hba.conf` or `pg_ident.conf`, counted from 1, that has the
/// server read another file; `None` if none has.
///
/// That is a field of the form `@file`, and since PostgreSQL 16 a line that begins with `include`,
/// `include_if_exists` or `include_dir` (`tokenize_auth_file`, `next_field_expand`). Something that
/// only looks like it may be found, too: in a comment it is not.
pub fn first_inclusion(text: &[u8], version: ServerVersion) -> Option<usize> {
    let mut logical = Vec::new();
    let mut starts = 1;
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
        work::between();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // A backslash at its end joins a line with the next one.
        let (part, goes_on) = match line.strip_suffix(b"\\") {
            Some(part) => (part, true),
            None => (line, false),
        };
        work::reserve(&mut logical, part.len());
        logical.extend_from_slice(part);
        if goes_on {
            continue;
        }
        if includes(&logical, version) {
            return Some(starts);
        }
        logical.clear();
        starts = number + 1;
    }
    includes(&logical, version).then_some(starts)
}

fn includes(line: &[u8], version: ServerVersion) -> bool {
    let mut at_start = true;
    let mut quoted = false;
    for byte in line {
        match byte {
            b'"' => quoted = !quoted,
            b'#' if !quoted => break,
            b'@' if at_start && !quoted => return true,
            _ => {}
        }
        at_start = !quoted && matches!(byte, b' ' | b'\t' | b'\r' | b',' | b'\x0c' | b'\x0b');
    }
    let line = line.trim_ascii_start();
    let line = line.strip_prefix(b"\"").unwrap_or(line);
    version.has_include_directives() && line.starts_with(b"include")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_includes_a_file_is_found() {
        let found = |text: &str, version| first_inclusion(text.as_bytes(), ServerVersion(version));
        assert_eq!(found("local all all trust\nhost @names all all cert", 15), Some(2));
        assert_eq!(found("host a,@names all all cert", 18), Some(1));
        assert_eq!(found("# @names\nhost a@b \"@names\" all cert # ,@x", 15), None);
        assert_eq!(found("\n\ninclude other.conf", 16), Some(3));
        assert_eq!(found("  include_dir d", 19), Some(1));
        assert_eq!(found("include other.conf", 15), None);
        assert_eq!(found("", 18), None);
        // Lines that are joined, where the quotes of the first tell what the second is.
        assert_eq!(found("local all \"a\\\n\" @names all", 15), Some(1));
        assert_eq!(found("local all \\\r\n@names", 15), Some(1));
        assert_eq!(found("local all \"a\\\n @b\" all", 15), None);
        assert_eq!(found("# \\\n@names", 15), None);
        assert_eq!(found("local all \\\n", 15), None);
    }

    #[test]
    fn the_sentence_counts() {
        let change =
            |verdict, after| Change { verdict, after, step: None, reason: None, hint: None };
        let mut summary = Summary::default();
        summary.add(&change(Verdict::Admitted, Verdict::Admitted), true);
        assert_eq!(
            summary.sentence(),
            "1 of 1 keep working, nobody would be refused, nobody new is let in"
        );
        summary.add(&change(Verdict::Admitted, Verdict::Refused), true);
        summary.add(&change(Verdict::Admitted, Verdict::Refused), false);
        summary.add(&change(Verdict::Refused, Verdict::Refused), false);
        summary.add(&change(Verdict::Refused, Verdict::Admitted), false);
        summary.add(&Change::unknown("why"), false);
        assert_eq!(summary.all, 6);
        assert_eq!(
            summary.sentence(),
            "1 of 3 keep working, 2 would be refused (1 connected), 1 would be let in who are \
             refused now, 1 cannot be told"
        );
    }
}
