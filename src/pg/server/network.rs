//! Host names and addresses, asked of the operating system as the server asks for the rules of
//! `pg_hba.conf`.
//!
//! The system's resolver cannot be interrupted, here or in the server's own login. Between two
//! look-ups there is a look whether to go on, and each name is looked up once, so a cancel waits
//! for one look-up: as long as `resolv.conf` says.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int};
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

use pgtls_core::login::access::Network;
use pgtls_core::work;

use crate::pg::datum::cstr;

/// The system's resolver and interfaces; each name is looked up once.
#[derive(Default)]
pub(crate) struct System {
    names: RefCell<HashMap<IpAddr, Option<Vec<u8>>>>,
    addresses: RefCell<HashMap<Vec<u8>, Vec<IpAddr>>>,
}

impl Network for System {
    fn name_of(&self, address: IpAddr) -> Option<Vec<u8>> {
        work::between();
        self.names.borrow_mut().entry(address).or_insert_with(|| name_of(address)).clone()
    }

    fn addresses_of(&self, name: &[u8]) -> Vec<IpAddr> {
        work::between();
        let mut known = self.addresses.borrow_mut();
        known.entry(name.to_vec()).or_insert_with(|| addresses_of(name)).clone()
    }

    fn interfaces(&self) -> Vec<(IpAddr, IpAddr)> {
        interfaces()
    }
}

/// The address in a socket address; `None` if it is of another family.
///
/// # Safety
/// `address` is null, or a socket address as long as its family says.
pub(in crate::pg) unsafe fn ip_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: the caller's contract; socket addresses of one family are laid out alike, and a read
    // need not be aligned.
    unsafe {
        match c_int::from((*address).sa_family) {
            libc::AF_INET => {
                let address = address.cast::<libc::sockaddr_in>().read_unaligned();
                Some(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)).into())
            }
            libc::AF_INET6 => {
                let address = address.cast::<libc::sockaddr_in6>().read_unaligned();
                Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
}

/// The name of a host (`getnameinfo`), not its address in digits.
fn name_of(address: IpAddr) -> Option<Vec<u8>> {
    // SAFETY: all bits zero is a value of these plain C structs.
    let (mut v4, mut v6): (libc::sockaddr_in, libc::sockaddr_in6) = unsafe { mem::zeroed() };
    let (pointer, size): (*const libc::sockaddr, usize) = match address {
        IpAddr::V4(address) => {
            v4.sin_family = libc::AF_INET as libc::sa_family_t;
            v4.sin_addr.s_addr = u32::from(address).to_be();
            ((&raw const v4).cast(), mem::size_of_val(&v4))
        }
        IpAddr::V6(address) => {
            v6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            v6.sin6_addr.s6_addr = address.octets();
            ((&raw const v6).cast(), mem::size_of_val(&v6))
        }
    };
    let size = libc::socklen_t::try_from(size).ok()?;
    let mut name: [c_char; libc::NI_MAXHOST as usize] = [0; libc::NI_MAXHOST as usize];
    // SAFETY: `pointer` is a socket address of `size` bytes, `name` has room for `NI_MAXHOST`.
    let code = unsafe {
        libc::getnameinfo(
            pointer,
            size,
            name.as_mut_ptr(),
            libc::NI_MAXHOST,
            ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    give_up_without_memory(code);
    // SAFETY: on success there is a NUL-terminated name.
    let name = (code == 0).then(|| unsafe { cstr::bytes(name.as_ptr()) })?;
    name.map(<[u8]>::to_vec)
}

/// Raises an error if the system could not look for want of memory: then what it says is no answer.
fn give_up_without_memory(code: c_int) {
    if code == libc::EAI_MEMORY {
        work::out_of_memory();
    }
}

/// The addresses of a host (`getaddrinfo`).
fn addresses_of(name: &[u8]) -> Vec<IpAddr> {
    let Ok(name) = CString::new(name) else { return Vec::new() };
    let mut list: *mut libc::addrinfo = ptr::null_mut();
    // SAFETY: a NUL-terminated name, no service, no hints, and a place for the result.
    let code = unsafe { libc::getaddrinfo(name.as_ptr(), ptr::null(), ptr::null(), &mut list) };
    give_up_without_memory(code);
    if code != 0 {
        return Vec::new();
    }
    let mut addresses = Vec::new();
    let mut entry = list;
    while !entry.is_null() {
        // SAFETY: entries of the list are live until it is freed below, and each has an address of
        // its family.
        unsafe {
            addresses.extend(ip_of((*entry).ai_addr));
            entry = (*entry).ai_next;
        }
    }
    // SAFETY: the list that was handed out above, freed once.
    unsafe { libc::freeaddrinfo(list) };
    addresses
}

/// The addresses of this machine with the masks of their networks; where there is no mask, that of
/// a single host.
fn interfaces() -> Vec<(IpAddr, IpAddr)> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: a place for the result.
    if unsafe { libc::getifaddrs(&mut list) } != 0 {
        return Vec::new();
    }
    let mut interfaces = Vec::new();
    let mut entry = list;
    while !entry.is_null() {
        // SAFETY: entries of the list are live until it is freed below; address and mask are null
        // or socket addresses.
        unsafe {
            if let Some(address) = ip_of((*entry).ifa_addr) {
                let mask = ip_of((*entry).ifa_netmask)
                    .filter(|mask| mask.is_ipv4() == address.is_ipv4() && !mask.is_unspecified());
                interfaces.push((address, mask.unwrap_or_else(|| host_mask(address))));
            }
            entry = (*entry).ifa_next;
        }
    }
    // SAFETY: the list that was handed out above, freed once.
    unsafe { libc::freeifaddrs(list) };
    interfaces
}

fn host_mask(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Ipv4Addr::BROADCAST.into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(u128::MAX).into(),
    }
}
