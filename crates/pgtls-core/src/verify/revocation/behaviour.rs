//! What OpenSSL does where its versions differ.

/// What the OpenSSL at hand does where versions differ. What is not known is tried both ways, and a
/// certificate for which that makes a difference is [`WhyUnknown::DependsOnVersion`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// About delta lists.
    pub delta_lists: Option<DeltaLists>,
    /// About lists with an issuing distribution point that says nothing.
    pub empty_scopes: Option<EmptyScopes>,
    /// About self-signed certificates, which are mostly roots. This is always known, because it is
    /// about every chain.
    pub self_signed: SelfSigned,
}

/// Whether OpenSSL asks for a list for a self-signed certificate, which could only revoke itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SelfSigned {
    /// It does, up to OpenSSL 3.5.
    #[default]
    Checked,
    /// It does not, and so has no use for a list of its own for a root. OpenSSL 3.6.5 does this.
    Skipped,
}

/// What OpenSSL does with a delta list in a file that the server reads. It never combines it with
/// its base, because the server does not ask for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeltaLists {
    /// As if the list were not there. OpenSSL 3.0.22 does this.
    Ignored,
    /// As if it were a complete list, so that the newest delta hides the revocations in its base.
    /// OpenSSL 3.0.20 and 3.5.7 do this.
    TakenForComplete,
}

/// What OpenSSL does with a list whose issuing distribution point is empty, which RFC 5280, section
/// 5.2.5, forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmptyScopes {
    /// As if the extension were not there. OpenSSL 3.0 does this.
    Accepted,
    /// As if the list were not there. OpenSSL 3.5.7 does this.
    Ignored,
}

/// [`Rules`] without a doubt.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) delta_lists: DeltaLists,
    pub(crate) empty_scopes: EmptyScopes,
}
