//! Endpoints of Motr processes, and how the Consul catalog holds them.
//!
//! The catalog has an address and a port, an endpoint is one text. The last number of
//! the endpoint is the port, what stands before it the address, and
//! `Meta.transport_type` tells which character was between them: `:` for lnet, `@` else.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Bytes of an endpoint, without its final NUL (Motr, `net/ip.h`).
const ENDPOINT_MAX: usize = 255;

/// How processes talk to each other: `Meta.transport_type` in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// `inet:tcp:HOST@PORT`
    Libfab,
    /// `inet:stream:HOST@PORT`
    Sock,
    /// `IP@NETWORK:PID:PORTAL:TMID`
    Lnet,
}

impl Transport {
    /// The value of `Meta.transport_type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Libfab => "libfab",
            Transport::Sock => "sock",
            Transport::Lnet => "lnet",
        }
    }
}

/// An endpoint that an address and a port in the catalog can hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    transport: Transport,
    address: String,
    port: u16,
}

impl Endpoint {
    /// The libfabric endpoint at a port of a host.
    pub fn libfab(host: IpAddr, port: u16) -> Endpoint {
        Endpoint {
            transport: Transport::Libfab,
            address: format!("inet:tcp:{host}"),
            port,
        }
    }

    /// How it is reached.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// `Address` in the catalog.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `Port` in the catalog: from 1, as Consul takes 0 for none. For lnet the last
    /// number of the endpoint, its transfer machine.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.transport == Transport::Lnet {
            ':'
        } else {
            '@'
        };
        write!(f, "{}{separator}{}", self.address, self.port)
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Endpoint, String> {
        let refuse = || {
            format!(
                "{text:.300?} is no endpoint: inet:tcp:IP@PORT (libfabric), \
                 inet:stream:IP@PORT (sock) or IP@tcp:12345:PORTAL:TMID (lnet), \
                 with a last number from 1 to 65535"
            )
        };
        if text.len() > ENDPOINT_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refuse());
        }
        let (transport, split) = if text.starts_with("inet:tcp:") {
            (Transport::Libfab, text.rsplit_once('@'))
        } else if text.starts_with("inet:stream:") {
            (Transport::Sock, text.rsplit_once('@'))
        } else {
            (
                Transport::Lnet,
                text.rsplit_once(':')
                    .filter(|(address, _)| is_lnet(address)),
            )
        };
        let (address, port) = split.ok_or_else(refuse)?;
        // `parse` alone would take a sign and leading zeros, and give another text back.
        let port = port
            .parse()
            .ok()
            .filter(|number: &u16| *number > 0 && number.to_string() == port);
        let port = port.ok_or_else(refuse)?;
        let host = address
            .rsplit(':')
            .next()
            .filter(|_| transport != Transport::Lnet);
        if host.is_some_and(str::is_empty) {
            return Err(refuse());
        }
        Ok(Endpoint {
            transport,
            address: address.to_owned(),
            port,
        })
    }
}

/// `IP@NETWORK:PID:PORTAL`
fn is_lnet(address: &str) -> bool {
    let Some((nid, numbers)) = address.split_once(':') else {
        return false;
    };
    let network = nid.split_once('@').filter(|(host, network)| {
        host.parse::<IpAddr>().is_ok() && network.starts_with(|c: char| c.is_ascii_alphabetic())
    });
    let mut numbers = numbers.split(':');
    let mut number = || {
        numbers
            .next()
            .is_some_and(|text| text.parse::<u32>().is_ok())
    };
    network.is_some() && number() && number() && numbers.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_come_apart_and_together() {
        let table = [
            (
                "inet:tcp:192.57.12.140@22001",
                "libfab",
                "inet:tcp:192.57.12.140",
                22001,
            ),
            (
                "inet:stream:127.0.0.1@1",
                "sock",
                "inet:stream:127.0.0.1",
                1,
            ),
            (
                "inet:tcp:ssu1.example@65535",
                "libfab",
                "inet:tcp:ssu1.example",
                65535,
            ),
            (
                "192.168.180.162@tcp:12345:44:101",
                "lnet",
                "192.168.180.162@tcp:12345:44",
                101,
            ),
            (
                "10.0.0.1@o2ib1:12345:34:1",
                "lnet",
                "10.0.0.1@o2ib1:12345:34",
                1,
            ),
        ];
        for (text, transport, address, port) in table {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.transport().as_str(), transport);
            assert_eq!((endpoint.address(), endpoint.port()), (address, port));
            assert_eq!(endpoint.to_string(), text);
        }
        let host = "127.0.0.1".parse().unwrap();
        assert_eq!(
            Endpoint::libfab(host, 22001),
            "inet:tcp:127.0.0.1@22001".parse().unwrap()
        );
    }

    #[test]
    fn what_the_catalog_cannot_hold_is_refused() {
        for text in [
            "",
            "unix:/run/hax.sock",
            "inet:tcp:127.0.0.1",
            "inet:tcp:@22001",
            "inet:tcp:127.0.0.1@0",
            "inet:tcp:127.0.0.1@65536",
            "inet:tcp:127.0.0.1@+1",
            "inet:tcp:127.0.0.1@01",
            "inet:tcp:127.0. 0.1@1",
            "192.168.180.162@tcp:12345:44",
            "192.168.180.162:12345:44:101",
            "192.168.180.162@tcp:12345:44:101:5",
            "@tcp:12345:44:101",
            "host@tcp:12345:44:101",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
