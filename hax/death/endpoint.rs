//! Where a Motr endpoint listens, as far as its text tells.

use std::net::{IpAddr, UdpSocket};

/// The address in an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// `inet:tcp:IP@PORT`, `inet:stream:IP@PORT`; without a port `IP@tcp:12345:44:101`.
    Ip(IpAddr, Option<u16>),
    /// `unix:/path`.
    Unix(String),
    /// Anything else.
    Unknown,
}

impl Address {
    /// The address of an endpoint. Names are not looked up.
    pub(super) fn of(endpoint: &str) -> Self {
        if let Some(path) = endpoint.strip_prefix("unix:") {
            return Self::Unix(path.to_owned());
        }
        let Some((host, port)) = endpoint.rsplit_once('@') else {
            return Self::Unknown;
        };
        let (host, port) = match host.strip_prefix("inet:").and_then(|h| h.split_once(':')) {
            Some((_, host)) => match port.parse() {
                Ok(port) => (host, Some(port)),
                Err(_) => return Self::Unknown,
            },
            None => (host, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host.parse().map_or(Self::Unknown, |ip| Self::Ip(ip, port))
    }

    /// Whether the address is one of this machine, in our own network namespace.
    pub(super) fn is_local(&self) -> bool {
        match self {
            // Only an address of the machine can be bound. Nothing is sent.
            Self::Ip(ip, _) => !ip.is_unspecified() && UdpSocket::bind((*ip, 0)).is_ok(),
            Self::Unix(_) => true,
            Self::Unknown => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_endpoints_of_motr() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (endpoint, address) in [
            (
                "inet:tcp:192.168.180.162@21002",
                Address::Ip(ip("192.168.180.162"), Some(21002)),
            ),
            (
                "inet:stream:127.0.0.1@1",
                Address::Ip(ip("127.0.0.1"), Some(1)),
            ),
            ("inet:tcp:[::1]@7", Address::Ip(ip("::1"), Some(7))),
            ("inet6:tcp:::1@7", Address::Unknown),
            (
                "10.0.0.1@tcp:12345:44:101",
                Address::Ip(ip("10.0.0.1"), None),
            ),
            ("unix:/run/m0d", Address::Unix("/run/m0d".to_owned())),
            ("inet:tcp:host@21002", Address::Unknown),
            ("inet:tcp:127.0.0.1@port", Address::Unknown),
            ("inet:tcp:127.0.0.1@70000", Address::Unknown),
            ("", Address::Unknown),
        ] {
            assert_eq!(Address::of(endpoint), address, "{endpoint}");
        }
    }

    #[test]
    fn only_addresses_of_this_machine_are_local() {
        for (endpoint, local) in [
            ("inet:tcp:127.0.0.1@21002", true),
            ("unix:/run/m0d", true),
            // RFC 5737: nobody has these.
            ("inet:tcp:192.0.2.7@21002", false),
            ("203.0.113.9@tcp:12345:44:101", false),
            ("inet:tcp:0.0.0.0@21002", false),
            ("inet:tcp:host@21002", false),
        ] {
            assert_eq!(Address::of(endpoint).is_local(), local, "{endpoint}");
        }
    }
}
