//! The readers of the core against OpenSSL's, in both directions, on inputs that are changed at
//! random: what OpenSSL takes is taken, and what it refuses is refused.
//!
//! The same inputs in every run. `PGTLS_DIFFERENTIAL=full` runs all of them
//! (`make test-differential`), otherwise it is a part that fits into CI.

mod der;
mod mutate;
mod pem;

/// How many inputs to try: all of them, or the part for CI.
fn count(all: usize, part: usize) -> usize {
    let is_full = std::env::var("PGTLS_DIFFERENTIAL").is_ok_and(|size| size == "full");
    if is_full { all } else { part }
}

/// Where the two differ; a few of them are enough to see what is wrong.
#[derive(Default)]
struct Differences {
    shown: Vec<String>,
    count: usize,
}

impl Differences {
    fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.shown.len() < 20 {
            self.shown.push(what());
        }
    }

    /// That there are none, and that both outcomes were there often enough to mean something.
    fn assert_none(&self, taken: usize, tried: usize) {
        assert!(self.count == 0, "{} of {tried}:\n{}", self.count, self.shown.join("\n"));
        assert!(taken > tried / 20 && tried - taken > tried / 20, "{taken} of {tried} were taken");
    }
}
