//! Who listens on an endpoint: `/proc/<pid>/net/{tcp,tcp6,unix}` (`proc(5)`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::endpoint::Address;
use super::procfs::Proc;

/// `TCP_LISTEN` of `net/tcp_states.h`.
const TCP_LISTEN: &str = "0A";

/// `__SO_ACCEPTCON` of `linux/net.h`: a Unix socket that listens.
const ACCEPTS: u32 = 1 << 16;

/// The inodes of the sockets that listen at an address, in the network namespace of a process.
pub(super) fn listeners(proc: &Proc, pid: u32, address: &Address) -> Vec<u64> {
    match address {
        Address::Ip(ip, Some(port)) => ["tcp", "tcp6"]
            .into_iter()
            // Those that listen come first, and there may be very many others
            // (`networking/proc_net_tcp.rst` of the kernel).
            .flat_map(|table| {
                proc.socket_table(pid, table)
                    .take_while(|line| listens(line))
            })
            .filter_map(|line| tcp_listener(&line, *ip, *port))
            .collect(),
        Address::Unix(path) => proc
            .socket_table(pid, "unix")
            .filter_map(|line| unix_listener(&line, path))
            .collect(),
        Address::Ip(_, None) | Address::Unknown => Vec::new(),
    }
}

fn listens(line: &str) -> bool {
    line.split_whitespace().nth(3) == Some(TCP_LISTEN)
}

/// Fields: slot, local address, remote address, state, queues, timer, retransmits, uid, timeout,
/// inode.
fn tcp_listener(line: &str, ip: IpAddr, port: u16) -> Option<u64> {
    let mut fields = line.split_whitespace();
    let (address, local_port) = fields.nth(1)?.split_once(':')?;
    if u16::from_str_radix(local_port, 16).ok()? != port {
        return None;
    }
    let local = hex_address(address)?.to_canonical();
    let takes = local == ip || local.is_unspecified();
    takes.then(|| fields.nth(7)?.parse().ok())?
}

/// Words of 32 bits in the byte order of the machine.
fn hex_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Some(IpAddr::V6(Ipv6Addr::from(
                <[u8; 16]>::try_from(words).ok()?,
            )))
        }
        _ => None,
    }
}

/// Fields: slot, reference count, protocol, flags, type, state, inode, path.
fn unix_listener(line: &str, path: &str) -> Option<u64> {
    let mut fields = line.split_whitespace();
    let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
    let inode = fields.nth(2)?.parse().ok()?;
    (flags & ACCEPTS != 0 && fields.next()? == path).then_some(inode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_found_by_address_and_port() {
        let line = |local: &str, state: &str| {
            format!(
                "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000 \
                 0 4711 1 0000000000000000 100 0 0 10 0"
            )
        };
        // As a little-endian machine writes them.
        if cfg!(target_endian = "big") {
            return;
        }
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let six = IpAddr::V6(Ipv6Addr::LOCALHOST);
        for (local, state, ip, port, found) in [
            ("0100007F:520A", "0A", loopback, 21002, true),
            ("0100007F:520A", "01", loopback, 21002, false),
            ("0100007F:520A", "0A", loopback, 21003, false),
            ("0200007F:520A", "0A", loopback, 21002, false),
            ("00000000:520A", "0A", loopback, 21002, true),
            (
                "00000000000000000000000001000000:520A",
                "0A",
                six,
                21002,
                true,
            ),
            (
                "00000000000000000000000000000000:520A",
                "0A",
                loopback,
                21002,
                true,
            ),
            (
                "0000000000000000FFFF00000100007F:520A",
                "0A",
                loopback,
                21002,
                true,
            ),
            ("0100007:520A", "0A", loopback, 21002, false),
        ] {
            let line = line(local, state);
            let got = tcp_listener(&line, ip, port).filter(|_| listens(&line));
            assert_eq!(got, found.then_some(4711), "{local} {state} {ip} {port}");
        }
        assert_eq!(tcp_listener("", loopback, 1), None);
    }

    #[test]
    fn a_listening_unix_socket_is_found_by_its_path() {
        let line = |flags: &str| format!("0000000000000000: 00000002 0 {flags} 0001 01 815 /run/x");
        assert_eq!(unix_listener(&line("00010000"), "/run/x"), Some(815));
        assert_eq!(unix_listener(&line("00000000"), "/run/x"), None);
        assert_eq!(unix_listener(&line("00010000"), "/run/y"), None);
    }
}
