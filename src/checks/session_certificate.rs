//! The certificate and the chain of this session's client.

use std::cell::OnceCell;
use std::rc::Rc;

use pgtls_core::verify::chain::Chain;
use pgtls_core::x509::certificate::Certificate;

use crate::error::{Error, Result};
use crate::pg::connection::port::Session;

thread_local! {
    /// The client's certificate, read once: it cannot change during a session. `None` inside: there
    /// is none.
    static CLIENT: OnceCell<Option<Rc<Certificate>>> = const { OnceCell::new() };
}

/// The verified certificate of this session's client.
pub(crate) fn client_certificate() -> Result<Option<Rc<Certificate>>> {
    CLIENT.with(|cell| {
        if let Some(known) = cell.get() {
            return Ok(known.clone());
        }
        let der = Session::current().and_then(|session| session.client_certificate_der());
        let certificate = der
            .map(|der| Certificate::from_openssl(&der).map(Rc::new))
            .transpose()
            .map_err(Error::SessionCertificate)?;
        Ok(cell.get_or_init(|| certificate).clone())
    })
}

/// The chain of this session's client; `None` without a verified certificate.
pub(crate) fn client_chain() -> Result<Option<Chain>> {
    let Some(session) = Session::current() else { return Ok(None) };
    if !session.client_certificate_verified() {
        return Ok(None);
    }
    let Some(tls) = session.tls() else { return Ok(None) };
    Chain::new(&tls.verified_chain_der(), &tls.sent_chain_der())
        .map(Some)
        .map_err(Error::SessionCertificate)
}
