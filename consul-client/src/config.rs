//! Settings of a client.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::error::Error;

/// Settings of a [`Client`](crate::Client).
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the Consul agent listens: `host:port`, `http://host:port` or `https://host:port`.
    /// IPv6 hosts are written in brackets. The port is mandatory.
    pub address: String,
    /// ACL token sent in the `X-Consul-Token` header of every request.
    pub token: Option<Token>,
    /// PEM file with the certificate authorities that may sign Consul's certificate. Without it
    /// the system's authorities are used. Only meaningful with `https`.
    pub ca_file: Option<PathBuf>,
    /// Certificate this client shows to Consul. Only meaningful with `https`.
    pub identity: Option<ClientIdentity>,
    /// Datacenter to ask; the agent's own when absent.
    pub datacenter: Option<String>,
    /// Time limit of a whole request, connection and body included. A blocking query may take
    /// its wait time in addition.
    pub request_timeout: Duration,
    /// Time limit of opening a connection, TLS included.
    pub connect_timeout: Duration,
    /// Idle connections kept for reuse. Connections in use are not limited: each watch occupies
    /// one. A Consul agent serves 200 per client address by default (`http_max_conns_per_client`).
    pub pool_size: usize,
    /// Largest reply accepted, in bytes.
    pub max_body: usize,
}

impl Config {
    /// Settings for the agent at `address`, with defaults for the rest: no token, no TLS files,
    /// request timeout 10 s, connect timeout 2 s, 8 idle connections, replies up to 64 MiB.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            token: None,
            ca_file: None,
            identity: None,
            datacenter: None,
            request_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(2),
            pool_size: 8,
            max_body: 64 * 1024 * 1024,
        }
    }
}

/// The client's certificate and its private key, both PEM files.
#[derive(Debug, Clone)]
pub struct ClientIdentity {
    /// Certificate, followed by intermediate certificates if there are any.
    pub cert_file: PathBuf,
    /// Private key of the certificate, unencrypted.
    pub key_file: PathBuf,
}

/// A Consul ACL token. Neither `Debug` nor any error or log line shows it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// Wraps a token's secret id.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

impl From<String> for Token {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

/// The agent's address after validation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BaseUrl {
    /// Scheme, host and port, without a trailing slash.
    pub(crate) url: String,
    pub(crate) tls: bool,
}

pub(crate) fn parse_address(address: &str) -> Result<BaseUrl, Error> {
    let invalid = |reason: &str| Error::Config {
        setting: "address",
        reason: format!("{address:?}: {reason}"),
    };
    let (tls, rest) = match address.split_once("://") {
        None => (false, address),
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        Some(_) => return Err(invalid("the scheme must be http or https")),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('@') {
        // The text is not repeated: what stands before the @ may be a password.
        return Err(Error::Config {
            setting: "address",
            reason: "user names and passwords are not allowed".into(),
        });
    }
    if authority.contains(['/', '?', '#', '\\']) || authority.contains(char::is_whitespace) {
        return Err(invalid("only a host and a port are allowed"));
    }
    let (host, port) = authority
        .rsplit_once(':')
        .ok_or_else(|| invalid("the port is missing"))?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || (host.contains(':') && !bracketed) {
        return Err(invalid(
            "the host is missing, or is an IPv6 address without brackets",
        ));
    }
    match port.parse::<u16>() {
        Ok(port) if port != 0 => {}
        _ => return Err(invalid("the port must be a number from 1 to 65535")),
    }
    let scheme = if tls { "https" } else { "http" };
    let url = format!("{scheme}://{host}:{port}");
    reqwest::Url::parse(&url).map_err(|e| invalid(&e.to_string()))?;
    Ok(BaseUrl { url, tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_and_without_scheme() {
        for (text, url, tls) in [
            ("127.0.0.1:8500", "http://127.0.0.1:8500", false),
            ("http://consul:80", "http://consul:80", false),
            ("http://consul:8500/", "http://consul:8500", false),
            ("https://[::1]:8501", "https://[::1]:8501", true),
        ] {
            assert_eq!(
                parse_address(text).unwrap(),
                BaseUrl {
                    url: url.into(),
                    tls
                },
                "{text}"
            );
        }
    }

    #[test]
    fn wrong_addresses_are_refused() {
        for text in [
            "",
            ":8500",
            "localhost",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "::1:8500",
            "ftp://a:1",
            "http://a:1/v1",
            "http://a:1?x",
            "a b:1",
            "http://:8500",
            "[zz]:1",
        ] {
            let error = parse_address(text).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::Config {
                        setting: "address",
                        ..
                    }
                ),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let error = parse_address("http://user:s3cret@host:1").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"));
        let mut config = Config::new("127.0.0.1:8500");
        config.token = Some(Token::new("s3cret"));
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}
