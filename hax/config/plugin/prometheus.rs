//! `[[prometheus]]`.

use std::net::{IpAddr, SocketAddr};

use super::model::PrometheusConfig;
use super::snippet_schema as keys;
use crate::config::build::duration;
use crate::config::reader::Reader;

/// Reads the table that has been entered.
pub(super) fn read(r: &mut Reader<'_>) -> Option<PrometheusConfig> {
    let address = r.text(&keys::ADDRESS, address);
    let allow_remote = r.boolean(&keys::ALLOW_REMOTE);
    let connections = r.number(&keys::CONNECTIONS);
    let timeout = duration(r, &keys::TIMEOUT);
    let enums = r.boolean(&keys::ENUMS);
    let address = address?;
    if allow_remote == Some(false) && !address.ip().is_loopback() {
        let why = format!(
            "{:?} can be reached by other machines, and there is no authentication; if that is meant, write \
             allow_remote = true",
            address.to_string()
        );
        r.refuse(&keys::ADDRESS, why);
    }
    allow_remote?;
    Some(PrometheusConfig {
        address,
        connections: usize::try_from(connections?).ok()?.try_into().ok()?,
        timeout: timeout?,
        enums: enums?,
    })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').or(text.strip_prefix("*:"));
    if let Some(port) = port.and_then(|port| port.parse::<u16>().ok()) {
        return Err(format!(
            "{text:?} names no address; write \"127.0.0.1:{port}\", or for all addresses \"0.0.0.0:{port}\" with \
             allow_remote = true"
        ));
    }
    let not = |_| format!("{text:?} is not `IP:PORT`, such as 127.0.0.1:9942 or [::1]:9942");
    text.parse().map_err(not)
}

/// Whether two cannot be listened on at once.
pub(super) fn collide(a: &SocketAddr, b: &SocketAddr) -> bool {
    // The unspecified address of IPv6 takes IPv4, too.
    let takes = |one: IpAddr, other: IpAddr| match one {
        IpAddr::V6(one) => one.is_unspecified(),
        IpAddr::V4(one) => one.is_unspecified() && other.is_ipv4(),
    };
    let (one, other) = (a.ip(), b.ip());
    let same = one == other || takes(one, other) || takes(other, one);
    // Port 0 is another one each time.
    a.port() == b.port() && a.port() != 0 && same
}
