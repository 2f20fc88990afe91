//! Where a bridge listens: the endpoint forms of 6/WIRE.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Bytes of the path of a Unix socket at most (`sun_path` of `unix(7)` with its NUL).
const UNIX_PATH_MAX: usize = 107;

/// An address a bridge listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `unix:/path`
    Unix(PathBuf),
    /// `inet:tcp:IP@PORT`
    Tcp(SocketAddr),
}

/// The text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("endpoint {text:?}: {reason}; the forms are `unix:/path` and `inet:tcp:IP@PORT`")]
pub struct EndpointError {
    text: String,
    reason: &'static str,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let error = |reason| EndpointError {
            text: text.chars().take(256).collect(),
            reason,
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                _ if !path.starts_with('/') => Err(error("the path is not absolute")),
                _ if path.len() > UNIX_PATH_MAX => Err(error("the path is above 107 bytes")),
                _ => Ok(Endpoint::Unix(path.into())),
            };
        }
        let rest = text
            .strip_prefix("inet:tcp:")
            .ok_or_else(|| error("unknown transport"))?;
        let (ip, port) = rest.split_once('@').ok_or_else(|| error("no @PORT"))?;
        let ip: IpAddr = ip.parse().map_err(|_| error("bad IP address"))?;
        match port.parse() {
            Ok(port) if port != 0 => Ok(Endpoint::Tcp(SocketAddr::new(ip, port))),
            _ => Err(error("bad port")),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
            Endpoint::Tcp(addr) => write!(f, "inet:tcp:{}@{}", addr.ip(), addr.port()),
        }
    }
}

/// A connected stream socket of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Endpoint {
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Endpoint::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Endpoint::Tcp(addr) => {
                let stream = TcpStream::connect(addr).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for text in [
            "unix:/run/hax.sock",
            "inet:tcp:127.0.0.1@22001",
            "inet:tcp:::1@1",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        let long = format!("unix:/{}", "x".repeat(107));
        let bad = [
            "",
            "unix:run",
            "unix:",
            "inet:tcp:127.0.0.1",
            "inet:tcp:127.0.0.1@0",
            &long,
            "inet:tcp:[::1]@1",
            "inet:tcp:localhost@1",
            "inet:udp:127.0.0.1@1",
            "127.0.0.1:80",
            "inet:tcp:127.0.0.1@65536",
        ];
        for text in bad {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
        let longest = format!("unix:/{}", "x".repeat(106));
        assert!(longest.parse::<Endpoint>().is_ok());
    }
}
