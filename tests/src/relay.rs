//! A relay, so that a client reaches the server from another address of this machine.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::thread;

use crate::cluster::Cluster;
use crate::sys;

/// Where relays listen: an address that no server listens on.
const LISTENS: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);

/// Hands connections on to a server, until the test binary ends.
pub struct Relay {
    address: IpAddr,
}

impl Relay {
    /// A relay whose connections reach the server from `source`.
    ///
    /// # Panics
    /// If the port is taken there.
    pub fn new(cluster: &Cluster, source: Ipv4Addr) -> Self {
        let server = SocketAddrV4::new(Ipv4Addr::LOCALHOST, cluster.port());
        let listener = TcpListener::bind((LISTENS, cluster.port())).expect("a free port");
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = sys::connect_from(source, server) else { continue };
                let (Ok(back), Ok(forth)) = (client.try_clone(), upstream.try_clone()) else {
                    continue;
                };
                thread::spawn(move || pump(client, forth));
                thread::spawn(move || pump(upstream, back));
            }
        });
        Self { address: LISTENS.into() }
    }

    /// Where clients connect to instead of the server's address; the port is the same.
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

/// Copies everything, then passes the end on.
fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
