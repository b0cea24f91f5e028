//! The client side of TLS, for SQL clients and raw ones alike.
//!
//! Not by `SslConnector`: that one reads all CAs of the system for each connection, and trusts
//! them.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslMethod, SslMode, SslVerifyMode, SslVersion};
use openssl::x509::store::X509StoreBuilder;
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_openssl::SslStream;

use crate::client::alert_in;
use crate::pki::{Cert, Identity, Pki};

/// What a client offers and expects.
#[derive(Clone)]
pub(crate) struct TlsOptions {
    pub(crate) identity: Option<Identity>,
    pub(crate) min: Option<SslVersion>,
    pub(crate) max: Option<SslVersion>,
    pub(crate) ciphers: Option<String>,
    pub(crate) ciphersuites: Option<String>,
    pub(crate) groups: Option<String>,
    /// In the encoding of the protocol: each name after its length.
    pub(crate) alpn: Vec<u8>,
    /// `None`: any server will do.
    pub(crate) server_ca: Option<Cert>,
    pub(crate) server_name: String,
    pub(crate) sni: bool,
}

impl TlsOptions {
    pub(crate) fn new() -> Self {
        Self {
            identity: None,
            min: None,
            max: None,
            ciphers: None,
            ciphersuites: None,
            groups: None,
            alpn: Vec::new(),
            server_ca: Some(Pki::standard().server_ca().cert.clone()),
            server_name: "localhost".to_owned(),
            sni: true,
        }
    }

    pub(crate) fn offer_protocols(&mut self, names: &[&str]) {
        let encoded = names.iter().flat_map(|name| {
            let length = u8::try_from(name.len()).expect("a protocol's name is short");
            std::iter::once(length).chain(name.bytes())
        });
        self.alpn = encoded.collect();
    }

    /// The client side of one connection.
    pub(crate) fn ssl(&self) -> Result<Ssl, ErrorStack> {
        let context = self.context()?;
        let mut ssl = Ssl::new(&context)?;
        let address: Result<IpAddr, _> = self.server_name.parse();
        if self.sni && address.is_err() {
            ssl.set_hostname(&self.server_name)?;
        }
        match address {
            Ok(address) => ssl.param_mut().set_ip(address)?,
            Err(_) => ssl.param_mut().set_host(&self.server_name)?,
        }
        Ok(ssl)
    }

    fn context(&self) -> Result<SslContext, ErrorStack> {
        let mut context = SslContext::builder(SslMethod::tls_client())?;
        context.set_mode(
            SslMode::AUTO_RETRY
                | SslMode::ACCEPT_MOVING_WRITE_BUFFER
                | SslMode::ENABLE_PARTIAL_WRITE,
        );
        if let Some(ca) = &self.server_ca {
            let mut store = X509StoreBuilder::new()?;
            store.add_cert(ca.try_openssl()?)?;
            context.set_cert_store(store.build());
            context.set_verify(SslVerifyMode::PEER);
        }
        // The versions first: which ciphers are usable depends on them.
        context.set_min_proto_version(self.min)?;
        context.set_max_proto_version(self.max)?;
        if let Some(ciphers) = &self.ciphers {
            context.set_cipher_list(ciphers)?;
        }
        if let Some(ciphersuites) = &self.ciphersuites {
            context.set_ciphersuites(ciphersuites)?;
        }
        if let Some(groups) = &self.groups {
            context.set_groups_list(groups)?;
        }
        if !self.alpn.is_empty() {
            context.set_alpn_protos(&self.alpn)?;
        }
        if let Some(identity) = &self.identity {
            let cert = identity.cert.try_openssl()?;
            context.set_certificate(&cert)?;
            for cert in &identity.chain {
                context.add_extra_chain_cert(cert.try_openssl()?)?;
            }
            context.set_private_key(identity.key.openssl())?;
        }
        Ok(context.build())
    }
}

impl<S> MakeTlsConnect<S> for TlsOptions
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type TlsConnect = Connect;
    type Error = ErrorStack;

    fn make_tls_connect(&mut self, _: &str) -> Result<Connect, ErrorStack> {
        self.ssl().map(Connect)
    }
}

/// One handshake to come.
pub(crate) struct Connect(Ssl);

impl<S> TlsConnect<S> for Connect
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Stream<S>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Stream<S>, Self::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let mut stream = SslStream::new(self.0, stream)?;
            Pin::new(&mut stream).connect().await?;
            Ok(Stream(stream))
        })
    }
}

/// An encrypted connection that does not lose the server's last word.
pub(crate) struct Stream<S>(SslStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    /// In TLS 1.3 a client is done before the server has looked at its certificate. A server that
    /// refuses it may be gone when the client begins to speak; then the alert is there to be read,
    /// and says more than "broken pipe".
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.0).poll_write(cx, bytes));
        Poll::Ready(result.map_err(|broken| {
            let mut byte = [0];
            match Pin::new(&mut self.0).poll_read(cx, &mut ReadBuf::new(&mut byte)) {
                Poll::Ready(Err(refused)) if alert_in(&refused).is_some() => refused,
                _ => broken,
            }
        }))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> postgres::tls::TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}
