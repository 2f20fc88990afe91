//! Values written as text: durations, sizes, endpoints, addresses, fids.
//!
//! Each parser answers with the reason when it refuses, in words an operator can act on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use axum::http::Uri;
use halink::{Fid, FidType};

use super::model::{ConsulAddress, Endpoint, LogDirectives, SecretFile};

/// Bytes of an endpoint, without its final NUL (Motr, `net/ip.h`).
const ENDPOINT_MAX: usize = 255;
/// Bytes of a Unix socket's path, without its final NUL (`unix(7)`).
const UNIX_PATH_MAX: usize = 107;
/// Bytes of a Consul name that appears in keys.
const NAME_MAX: usize = 255;

/// Splits `250ms` into 250 and `ms`.
fn number_and_unit(text: &str) -> Result<(u64, &str), String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(format!("{text:?} does not start with a whole number"));
    }
    let number = number
        .parse()
        .map_err(|_| format!("{text:?} is too large"))?;
    Ok((number, unit))
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = number_and_unit(text)?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" => return Err(format!("{text:?} has no unit; use ms, s, m or h")),
        _ => return Err(format!("{text:?} has an unknown unit; use ms, s, m or h")),
    };
    let ms = number
        .checked_mul(unit_ms)
        .ok_or_else(|| format!("{text:?} is too large"))?;
    Ok(Duration::from_millis(ms))
}

pub(super) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = number_and_unit(text)?;
    let unit_bytes: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "" => return Err(format!("{text:?} has no unit; use B, KiB, MiB or GiB")),
        _ => {
            return Err(format!(
                "{text:?} has an unknown unit; use B, KiB, MiB or GiB"
            ));
        }
    };
    number
        .checked_mul(unit_bytes)
        .ok_or_else(|| format!("{text:?} is too large"))
}

fn graphic(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn node_name(text: &str) -> Result<String, String> {
    match text {
        "" => Err("is empty".to_owned()),
        _ if text.len() > NAME_MAX => Err(format!("is longer than {NAME_MAX} bytes")),
        _ if !graphic(text) || text.contains('/') => Err(format!(
            "{text:?} has a space, a `/` or a character that is not printable ASCII"
        )),
        _ => Ok(text.to_owned()),
    }
}

pub(super) fn datacenter(text: &str) -> Result<String, String> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match text {
        "" => Err("is empty; leave the key out for the agent's own datacenter".to_owned()),
        _ if text.len() > NAME_MAX => Err(format!("is longer than {NAME_MAX} bytes")),
        _ if !text.bytes().all(fine) => Err(format!(
            "{text:?} has a character other than letters, digits, `-` and `_`"
        )),
        _ => Ok(text.to_owned()),
    }
}

/// Only the two forms hax itself gives a meaning are looked into: what else libmotr
/// takes depends on its transports.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text.len() > ENDPOINT_MAX {
        return Err(format!("is longer than {ENDPOINT_MAX} bytes"));
    }
    if !graphic(text) {
        return Err(format!(
            "{text:?} has a space or a character that is not printable ASCII"
        ));
    }
    if let Some(path) = text.strip_prefix("unix:") {
        if !path.starts_with('/') {
            return Err(format!("{text:?} needs an absolute path after `unix:`"));
        }
        if path.len() > UNIX_PATH_MAX {
            return Err(format!(
                "the socket's path is longer than {UNIX_PATH_MAX} bytes"
            ));
        }
    } else if let Some(address) = text.strip_prefix("inet:tcp:") {
        let port = address
            .rsplit_once('@')
            .filter(|(host, _)| !host.is_empty());
        let port = port.and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) {
            return Err(format!(
                "{text:?} is not `inet:tcp:IP@PORT` with a port from 1 to 65535"
            ));
        }
    }
    Ok(Endpoint(text.to_owned()))
}

pub(super) fn fid(text: &str, wanted: FidType) -> Result<Fid, String> {
    let fid = Fid::from_str(text).map_err(|error| error.to_string())?;
    if fid.fid_type() == Some(wanted) {
        return Ok(fid);
    }
    let found = fid
        .fid_type()
        .map_or("of no known type".to_owned(), |found| {
            format!("a {found:?}")
        });
    Err(format!(
        "{text:?} is {found}; a {wanted:?} is wanted (type letter {:?})",
        char::from(wanted.letter())
    ))
}

/// Never quotes the text: it may carry a password.
pub(super) fn consul_address(text: &str) -> Result<ConsulAddress, String> {
    const FORM: &str = "is not `http://host:port` or `https://host:port`";
    let uri = Uri::from_str(text).map_err(|_| FORM.to_owned())?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(FORM.to_owned()),
    };
    let Some(authority) = uri
        .authority()
        .filter(|authority| !authority.host().is_empty())
    else {
        return Err(FORM.to_owned());
    };
    if authority.as_str().contains('@') {
        return Err("carries a user name; put an ACL token into consul.token_file".to_owned());
    }
    let port = authority
        .as_str()
        .strip_prefix(authority.host())
        .unwrap_or_default();
    let valid = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(valid) {
        return Err("has no valid port; ports are 1 to 65535".to_owned());
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() || text.contains('#') {
        return Err("carries a path or a query; only scheme, host and port belong here".to_owned());
    }
    Ok(ConsulAddress {
        url: format!("{}://{authority}", if tls { "https" } else { "http" }),
        tls,
    })
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| format!("{text:?} is not `IP:PORT`, such as 127.0.0.1:8008 or [::1]:8008"))?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "{text:?} is not a loopback address; the server has no authentication, \
             so it listens on 127.0.0.0/8 or [::1] only"
        ));
    }
    Ok(address)
}

/// Existence is not checked here: whoever opens the file says what is wrong with it.
pub(super) fn file(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("is empty; leave the key out if there is no such file".to_owned()),
        _ if text.contains('\0') => Err("has a NUL character".to_owned()),
        _ => Ok(PathBuf::from(text)),
    }
}

/// The daemon's working directory is nobody's business.
pub(super) fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = file(text)?;
    if !path.is_absolute() {
        return Err(format!("{text:?} is not an absolute path"));
    }
    Ok(path)
}

pub(super) fn secret_file(text: &str) -> Result<SecretFile, String> {
    file(text).map(SecretFile)
}

/// `EnvFilter` takes a misspelt level for the name of a module, and then logs nothing:
/// a directive without `=` must be a level.
pub(super) fn log_directives(text: &str) -> Result<LogDirectives, String> {
    const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    for directive in text.split(',') {
        let level = directive
            .rsplit_once('=')
            .map_or(directive, |(_, level)| level)
            .trim();
        if !is_level(level) {
            return Err(format!(
                "{level:?} is not a level; levels are {}",
                LEVELS.join(", ")
            ));
        }
    }
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(LogDirectives(text.to_owned())),
        Err(error) => Err(format!("{text:?} is not a log filter: {error}")),
    }
}
