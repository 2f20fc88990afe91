//! The Consul client of the daemon, from its configuration.

use anyhow::{Context, Result, bail};
use consul_client::{Client, ClientIdentity, Token};

use crate::config::ConsulConfig;

/// Bytes of a token file at most; Consul's tokens are UUIDs.
const TOKEN_MAX: u64 = 4_096;

/// Makes the client. Reads the files the configuration names; asks Consul nothing.
///
/// # Errors
/// A file that cannot be read or does not hold what it should.
pub fn client(config: &ConsulConfig) -> Result<Client> {
    Client::new(&settings(config)?).context("[consul]")
}

/// What a client is made from. Reads the files the configuration names.
///
/// # Errors
/// As [`client`].
pub fn settings(config: &ConsulConfig) -> Result<consul_client::Config> {
    let mut settings = consul_client::Config::new(config.address.as_str());
    if let Some(file) = &config.token_file {
        // The path may tell where secrets are kept, so errors name the key instead.
        let read = read_token(file.path()).context("consul.token_file")?;
        settings.token = Some(Token::new(read));
    }
    settings.ca_file.clone_from(&config.ca_file);
    settings.identity = config
        .client_certificate
        .as_ref()
        .map(|certificate| ClientIdentity {
            cert_file: certificate.cert_file.clone(),
            key_file: certificate.key_file.path().to_owned(),
        });
    settings.datacenter.clone_from(&config.datacenter);
    settings.request_timeout = config.timeout;
    settings.connect_timeout = config.connect_timeout;
    Ok(settings)
}

fn read_token(path: &std::path::Path) -> Result<String> {
    use std::io::Read;

    let mut token = String::new();
    std::fs::File::open(path)?
        .take(TOKEN_MAX)
        .read_to_string(&mut token)?;
    let token = token.trim();
    if token.is_empty() {
        bail!("the file is empty");
    }
    Ok(token.to_owned())
}
