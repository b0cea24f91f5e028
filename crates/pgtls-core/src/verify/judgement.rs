//! All that OpenSSL finds about a chain, where its verdict is only the first of it.

use crate::verify::verdict::{Refusal, Verdict};
use crate::verify::verify_error::Topic;
use crate::x509::certificate::Certificate;

/// OpenSSL's verdict, and what it would have said after that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What the server hears.
    pub verdict: Verdict,
    /// What else is wrong, in the order in which it was found.
    pub also: Vec<Refusal>,
    /// The chain that was built, leaf first, as far as it goes.
    pub path: Vec<Certificate>,
    /// Whether the server trusts a certificate of the name of the issuer that is missing, which
    /// then has another key.
    pub namesake: bool,
}

impl Judgement {
    /// What is wrong with regard to a topic, and found after the verdict.
    pub(crate) fn also_about(&self, topic: Topic) -> Option<&Refusal> {
        self.also.iter().find(|refusal| refusal.topic() == topic)
    }

    /// The subjects of the chain, leaf first.
    pub(crate) fn subjects(&self) -> String {
        let subjects: Vec<_> = self.path.iter().map(|c| c.subject().oneline()).collect();
        subjects.join(" <- ")
    }
}
