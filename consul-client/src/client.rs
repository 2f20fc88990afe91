//! The client: connection pool, and what a read is asked and answers.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Certificate, Identity, Method, redirect};
use serde::{Deserialize, Serialize};

use crate::blocking::{WatchOptions, Watcher};
use crate::config::{ClientIdentity, Config, Token, parse_address};
use crate::error::Error;
use crate::request::Request;
use crate::{Agent, Catalog, Events, Health, Kv, Lock, Session, Status, Txn};

/// A Consul client. Clones share the connection pool.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
    pub(crate) token: Option<HeaderValue>,
    pub(crate) datacenter: Option<String>,
    pub(crate) request_timeout: Duration,
    pub(crate) max_body: usize,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.inner.base)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Builds a client. Opens no connection, but reads the TLS files, so it belongs into a
    /// program's start.
    ///
    /// # Errors
    /// [`Error::Config`] for an unusable setting, [`Error::File`] for a file that cannot be read.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let base = parse_address(&config.address)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("consul-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.connect_timeout)
            .pool_max_idle_per_host(config.pool_size)
            // Consul redirects only to clean a path; following would act on another key.
            .redirect(redirect::Policy::none())
            // The agent is local; a proxy from the environment would receive the token.
            .no_proxy();
        if base.tls {
            if let Some(path) = &config.ca_file {
                builder = builder.tls_certs_only(read_authorities(path)?);
            }
            if let Some(identity) = &config.identity {
                builder = builder.identity(read_identity(identity)?);
            }
        } else {
            // Plain HTTP needs no authorities: do not load the system's.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|e| Error::Config {
            setting: if config.identity.is_some() {
                "identity"
            } else {
                "ca_file"
            },
            reason: describe_tls_files(config, &e),
        })?;
        Ok(Self {
            inner: Arc::new(Inner {
                http,
                base: base.url,
                token: config.token.as_ref().map(token_header).transpose()?,
                datacenter: config.datacenter.clone(),
                request_timeout: config.request_timeout,
                max_body: config.max_body,
            }),
        })
    }

    /// Key/value store.
    pub fn kv(&self) -> Kv<'_> {
        Kv::new(self)
    }

    /// Transactions on the key/value store.
    pub fn txn(&self) -> Txn<'_> {
        Txn::new(self)
    }

    /// Sessions.
    pub fn session(&self) -> Session<'_> {
        Session::new(self)
    }

    /// Locks on keys.
    pub fn lock(&self) -> Lock<'_> {
        Lock::new(self)
    }

    /// Catalog of nodes and services.
    pub fn catalog(&self) -> Catalog<'_> {
        Catalog::new(self)
    }

    /// Health checks as the servers know them.
    pub fn health(&self) -> Health<'_> {
        Health::new(self)
    }

    /// The local agent: its services and checks.
    pub fn agent(&self) -> Agent<'_> {
        Agent::new(self)
    }

    /// State of the server cluster.
    pub fn status(&self) -> Status<'_> {
        Status::new(self)
    }

    /// User events.
    pub fn event(&self) -> Events<'_> {
        Events::new(self)
    }

    /// Streams of changes.
    pub fn watch(&self, options: WatchOptions) -> Watcher {
        Watcher::new(self.clone(), options)
    }

    pub(crate) fn get(&self, path: String) -> Request<'_> {
        Request::new(self, Method::GET, path)
    }

    pub(crate) fn put(&self, path: String) -> Request<'_> {
        Request::new(self, Method::PUT, path)
    }

    pub(crate) fn delete(&self, path: String) -> Request<'_> {
        Request::new(self, Method::DELETE, path)
    }
}

fn token_header(token: &Token) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(token.expose()).map_err(|_| Error::Config {
        setting: "token",
        reason: "contains characters that cannot be sent in a header".into(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|e| Error::File {
        path: path.to_owned(),
        source: Arc::new(e),
    })
}

fn read_authorities(path: &Path) -> Result<Vec<Certificate>, Error> {
    let invalid = |reason: String| Error::Config {
        setting: "ca_file",
        reason: format!("{}: {reason}", path.display()),
    };
    let authorities =
        Certificate::from_pem_bundle(&read(path)?).map_err(|e| invalid(e.to_string()))?;
    if authorities.is_empty() {
        return Err(invalid("holds no PEM certificate".into()));
    }
    Ok(authorities)
}

fn read_identity(files: &ClientIdentity) -> Result<Identity, Error> {
    let mut pem = read(&files.key_file)?;
    pem.push(b'\n');
    pem.extend(read(&files.cert_file)?);
    // The parser's message is left out: it may quote the key.
    Identity::from_pem(&pem).map_err(|_| Error::Config {
        setting: "identity",
        reason: format!(
            "{} and {} do not hold a PEM certificate and its key",
            files.cert_file.display(),
            files.key_file.display()
        ),
    })
}

fn describe_tls_files(config: &Config, error: &reqwest::Error) -> String {
    let mut text = String::new();
    for path in config.ca_file.iter().chain(
        config
            .identity
            .iter()
            .flat_map(|i| [&i.cert_file, &i.key_file]),
    ) {
        let _ = write!(text, "{}: ", path.display());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let _ = write!(text, "{cause}");
    text
}

/// A Raft index, as in `ModifyIndex` and `X-Consul-Index`. Zero means "unknown".
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Index(pub u64);

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which servers may answer a read (Consul API, "Consistency Modes").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// The leader answers; right after a change of leader it may be outdated for a moment.
    #[default]
    Default,
    /// The leader answers after asking a majority whether it still leads.
    Consistent,
    /// Any server answers, even without a leader. See [`Response::last_contact`].
    Stale,
}

/// A blocking query: answer when the index moves beyond `index`, or when the time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// The index already known.
    pub index: Index,
    /// Longest time to wait, up to [`MAX_WAIT`](crate::MAX_WAIT). Consul adds up to a sixteenth.
    pub at_most: Duration,
}

/// How to perform a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadOptions {
    /// Which servers may answer.
    pub consistency: Consistency,
    /// Whether to wait for a change.
    pub wait: Option<Wait>,
}

impl ReadOptions {
    /// A read that no newer write can have preceded.
    pub fn consistent() -> Self {
        Self {
            consistency: Consistency::Consistent,
            wait: None,
        }
    }

    /// A read any server may answer.
    pub fn stale() -> Self {
        Self {
            consistency: Consistency::Stale,
            wait: None,
        }
    }

    /// The same read, waiting for the index to move.
    pub fn waiting(self, index: Index, at_most: Duration) -> Self {
        Self {
            wait: Some(Wait { index, at_most }),
            ..self
        }
    }
}

/// The answer to a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<T> {
    /// What was read.
    pub value: T,
    /// Index of the last change of what was read (`X-Consul-Index`); zero where the API has none.
    pub index: Index,
    /// Whether the answering server knows a leader.
    pub known_leader: bool,
    /// Time since the answering server heard of the leader; zero from the leader itself.
    pub last_contact: Duration,
    /// Only from a [`Watch`](crate::Watch): the index went backwards, so changes may have been
    /// missed and everything derived from earlier items must be computed anew from this one.
    pub reset: bool,
}

impl<T> Response<T> {
    /// The same answer with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Response<U> {
        Response {
            value: f(self.value),
            index: self.index,
            known_leader: self.known_leader,
            last_contact: self.last_contact,
            reset: self.reset,
        }
    }
}

/// Gives a handle the method that sets its read options.
macro_rules! with_read_options {
    ($handle:ident) => {
        impl<'c> $handle<'c> {
            pub(crate) fn new(client: &'c crate::client::Client) -> Self {
                Self {
                    client,
                    read: crate::client::ReadOptions::default(),
                }
            }

            /// The same handle; its reads are performed with `options`.
            #[must_use]
            pub fn with(self, options: crate::client::ReadOptions) -> Self {
                Self {
                    read: options,
                    ..self
                }
            }
        }
    };
}
pub(crate) use with_read_options;
