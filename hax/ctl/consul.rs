//! The client of `haxctl`, set up as the `consul` program is.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use consul_client::{Client, ClientIdentity, Config, Error, RetryPolicy, Token};
use tokio::time::Instant;

use super::failure::Failure;
use super::input;

/// The environment variables, for `--help`.
pub const ENVIRONMENT: &str = "\
Environment, as the consul program takes it:
  CONSUL_HTTP_ADDR                          address where none is given
  CONSUL_HTTP_TOKEN, CONSUL_HTTP_TOKEN_FILE ACL token
  CONSUL_CACERT                             authorities of Consul's certificate
  CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY     certificate to show to Consul";

/// How long requests are repeated that fail for a passing reason, such as an election.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a token file.
const TOKEN_MAX: u64 = 4096;

/// A client for an address, or for the one of the environment.
///
/// # Errors
/// [`Failure::Usage`] for settings that cannot be used, [`Failure::NoInput`] for a token
/// file that cannot be read.
pub fn client(address: Option<&str>) -> Result<Client, Failure> {
    let variable = |name| {
        std::env::var(name)
            .ok()
            .filter(|value: &String| !value.is_empty())
    };
    let address = address
        .map(str::to_owned)
        .or_else(|| variable("CONSUL_HTTP_ADDR"));
    let mut config = Config::new(address.unwrap_or_else(|| "127.0.0.1:8500".to_owned()));
    config.token = match (
        variable("CONSUL_HTTP_TOKEN"),
        variable("CONSUL_HTTP_TOKEN_FILE"),
    ) {
        (Some(token), _) => Some(Token::new(token)),
        (None, Some(file)) => {
            let text = input::read(&PathBuf::from(file), TOKEN_MAX)?;
            Some(Token::new(text.trim()))
        }
        (None, None) => None,
    };
    config.ca_file = variable("CONSUL_CACERT").map(PathBuf::from);
    config.identity = match (
        variable("CONSUL_CLIENT_CERT"),
        variable("CONSUL_CLIENT_KEY"),
    ) {
        (Some(cert), Some(key)) => Some(ClientIdentity {
            cert_file: cert.into(),
            key_file: key.into(),
        }),
        (None, None) => None,
        _ => {
            let why = "CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY go together";
            return Err(Failure::Usage(why.to_owned()));
        }
    };
    Client::new(&config).map_err(|error| Failure::Usage(error.to_string()))
}

/// Runs a request until it succeeds or there is no point in repeating it. Only for
/// requests that may be applied twice.
///
/// # Errors
/// The last one, as it is.
pub(super) async fn patiently<T, F, Fut>(request: F) -> Result<T, Error>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Error>>,
{
    RetryPolicy::default()
        .run(Instant::now() + PATIENCE, request)
        .await
}

/// What a command ends with for an error of Consul.
pub(super) fn failure(error: &Error) -> Failure {
    if error.is_retryable() {
        Failure::Unavailable(format!("Consul is unavailable: {error}"))
    } else {
        Failure::Other(format!("Consul: {error}"))
    }
}
