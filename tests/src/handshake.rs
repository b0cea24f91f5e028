//! A raw TLS client, for what a well-behaved one does not do.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use openssl::ssl::{HandshakeError, SslStream, SslVersion};

use crate::client::LoginError;
use crate::cluster::Cluster;
use crate::pki::Identity;
use crate::tls::TlsOptions;

/// The code of an SSLRequest.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Protocol version 3.0.
const PROTOCOL: [u8; 4] = [0, 3, 0, 0];

/// How long one read may take.
const READ_PATIENCE: Duration = Duration::from_secs(60);

/// A client that can stop at every step of a login.
#[derive(Clone)]
pub struct Handshake {
    server: SocketAddr,
    tls: TlsOptions,
    direct: bool,
}

/// What the server's first answer to a startup packet was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The role is in, or is asked for a password: an authentication request of this kind (0: in).
    Authentication(u32),
    /// Refused, with SQLSTATE and message.
    Refused(LoginError),
}

impl Handshake {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        Self {
            server: SocketAddr::new(cluster.address(), cluster.port()),
            tls: TlsOptions::new(),
            direct: false,
        }
    }

    /// Presents this certificate, with the chain exactly as it is.
    pub fn with(mut self, identity: &Identity) -> Self {
        self.tls.identity = Some(identity.clone());
        self
    }

    /// Speaks these versions of TLS; those before 1.2 at a security level that allows them.
    pub fn tls_versions(mut self, min: SslVersion, max: SslVersion) -> Self {
        self.tls.min = Some(min);
        self.tls.max = Some(max);
        if [SslVersion::TLS1, SslVersion::TLS1_1].contains(&min) {
            self.tls.ciphers = Some("DEFAULT@SECLEVEL=0".to_owned());
        }
        self
    }

    /// Offers these ciphers, up to TLS 1.2.
    pub fn ciphers(mut self, list: &str) -> Self {
        self.tls.ciphers = Some(list.to_owned());
        self
    }

    /// Offers these groups for the key exchange.
    pub fn groups(mut self, list: &str) -> Self {
        self.tls.groups = Some(list.to_owned());
        self
    }

    /// Calls the server by this name.
    pub fn server_name(mut self, name: &str) -> Self {
        self.tls.server_name = name.to_owned();
        self
    }

    /// Expects the server's certificate from this CA: with a wrong one the client is who refuses.
    pub fn server_ca(mut self, ca: &Identity) -> Self {
        self.tls.server_ca = Some(ca.cert.clone());
        self
    }

    /// Offers these application protocols; a server from PostgreSQL 17 on wants `postgresql`.
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.tls.offer_protocols(protocols);
        self
    }

    /// TLS from the first byte, without an SSLRequest.
    pub fn direct(mut self) -> Self {
        self.direct = true;
        self
    }

    /// A TCP connection on which nothing was said.
    ///
    /// # Panics
    /// If the server does not listen.
    pub fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server).expect("the server listens");
        stream.set_read_timeout(Some(READ_PATIENCE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("a socket option can be set");
        stream
    }

    /// A connection that the server has agreed to encrypt, before the first byte of TLS.
    ///
    /// # Panics
    /// If the server does not agree.
    pub fn agreed(&self) -> TcpStream {
        let mut stream = self.tcp();
        if !self.direct {
            let mut answer = [0];
            stream.write_all(&SSL_REQUEST).expect("an SSLRequest can be sent");
            stream.read_exact(&mut answer).expect("the server answers an SSLRequest");
            assert_eq!(answer, *b"S", "the server speaks TLS");
        }
        stream
    }

    /// A connection with half a ClientHello sent: hold it to hang, drop it to disconnect in
    /// mid-handshake.
    ///
    /// # Panics
    /// If the server does not agree to TLS.
    pub fn half_hello(&self) -> TcpStream {
        let mut stream = self.agreed();
        let hello = self.client_hello();
        stream.write_all(&hello[..hello.len() / 2]).expect("bytes can be sent");
        stream
    }

    /// A connection with the whole ClientHello sent, and no further step.
    ///
    /// # Panics
    /// If the server does not agree to TLS.
    pub fn hello(&self) -> TcpStream {
        let mut stream = self.agreed();
        stream.write_all(&self.client_hello()).expect("bytes can be sent");
        stream
    }

    /// A connection on which these bytes follow the agreement to speak TLS.
    ///
    /// # Panics
    /// If the server does not agree to TLS.
    pub fn garbage(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.agreed();
        stream.write_all(bytes).expect("bytes can be sent");
        stream
    }

    /// An encrypted connection, before the startup packet. In TLS 1.3 the server may yet refuse the
    /// certificate.
    ///
    /// # Errors
    /// If either side refuses.
    pub fn complete(&self) -> Result<SslStream<TcpStream>, LoginError> {
        let stream = self.agreed();
        self.tls.ssl()?.connect(stream).map_err(|error| match error {
            HandshakeError::Failure(middle) | HandshakeError::WouldBlock(middle) => {
                LoginError::from_error(middle.error())
            }
            HandshakeError::SetupFailure(error) => error.into(),
        })
    }

    /// The same, but on the way the certificate of the client becomes these bytes, of the same length:
    /// no library sends what it cannot read. Over TLS 1.2, where certificates are not encrypted.
    ///
    /// # Errors
    /// If either side refuses.
    ///
    /// # Panics
    /// If there is no certificate, or the length is another one.
    pub fn complete_with(&self, der: &[u8]) -> Result<(), LoginError> {
        let own = self.tls.identity.as_ref().expect("there is a certificate").cert.der();
        assert_eq!(own.len(), der.len(), "the bytes around it stay as they are");
        let mut options = self.tls.clone();
        options.max = Some(SslVersion::TLS1_2);
        let stream = Substitute { stream: self.agreed(), from: own.to_vec(), to: der.to_vec() };
        match options.ssl()?.connect(stream) {
            Ok(_) => Ok(()),
            Err(HandshakeError::Failure(middle) | HandshakeError::WouldBlock(middle)) => {
                Err(LoginError::from_error(middle.error()))
            }
            Err(HandshakeError::SetupFailure(error)) => Err(error.into()),
        }
    }

    /// Connects and asks to be let in as this role; says what the server answers first.
    pub fn startup(&self, role: &str, database: &str) -> Answer {
        match self.complete() {
            Ok(mut stream) => {
                // A server that has refused may be gone: what it said is still there to be read.
                let _ = stream.write_all(&startup_packet(role, database));
                first_answer(&mut stream)
            }
            Err(error) => Answer::Refused(error),
        }
    }

    /// The bytes of a ClientHello.
    fn client_hello(&self) -> Vec<u8> {
        let ssl = self.tls.ssl().expect("the options of TLS fit together");
        match ssl.connect(Recorder::default()) {
            Err(HandshakeError::WouldBlock(middle)) => middle.get_ref().sent.clone(),
            _ => panic!("a handshake does not end without an answer"),
        }
    }
}

/// A connection that sends something else in the place of one thing.
struct Substitute {
    stream: TcpStream,
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Read for Substitute {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.read(into)
    }
}

impl Write for Substitute {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = bytes.to_vec();
        let at = bytes.windows(self.from.len()).position(|window| window == self.from);
        if let Some(at) = at {
            sent[at..at + self.to.len()].copy_from_slice(&self.to);
        }
        self.stream.write_all(&sent)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Keeps what is sent and never has an answer.
#[derive(Default)]
struct Recorder {
    sent: Vec<u8>,
}

impl Read for Recorder {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sent.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The startup packet of this role.
pub fn startup_packet(role: &str, database: &str) -> Vec<u8> {
    let body = [
        PROTOCOL.as_slice(),
        b"user\0",
        role.as_bytes(),
        b"\0database\0",
        database.as_bytes(),
        b"\0\0",
    ]
    .concat();
    let length = u32::try_from(body.len() + 4).expect("a startup packet is short");
    [&length.to_be_bytes(), body.as_slice()].concat()
}

/// The first message on a connection after the startup packet.
fn first_answer(stream: &mut (impl Read + ?Sized)) -> Answer {
    match message(stream) {
        Ok((b'R', body)) => {
            let kind = body.first_chunk().copied().unwrap_or([0xff; 4]);
            Answer::Authentication(u32::from_be_bytes(kind))
        }
        Ok((b'E', body)) => {
            let field = |wanted: u8| {
                body.split(|byte| *byte == 0)
                    .find(|field| field.first() == Some(&wanted))
                    .map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
            };
            Answer::Refused(LoginError {
                sqlstate: field(b'C'),
                message: field(b'M').unwrap_or_default(),
                detail: field(b'D'),
                hint: field(b'H'),
                tls_alert: None,
            })
        }
        Ok((kind, _)) => panic!("a server does not begin with {:?}", char::from(kind)),
        Err(error) => Answer::Refused(LoginError::from_error(&error)),
    }
}

fn message(stream: &mut (impl Read + ?Sized)) -> io::Result<(u8, Vec<u8>)> {
    let mut header = [0; 5];
    stream.read_exact(&mut header)?;
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
    let mut body = vec![0; length.saturating_sub(4) as usize];
    stream.read_exact(&mut body)?;
    Ok((header[0], body))
}
