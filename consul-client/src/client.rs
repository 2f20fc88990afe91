//! The client: connection pool, request and reply.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Certificate, Identity, Method, StatusCode, redirect};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::blocking::{MAX_WAIT, WatchOptions, Watcher};
use crate::config::{ClientIdentity, Config, Token, parse_address};
use crate::error::Error;
use crate::{Agent, Catalog, Events, Health, Kv, Lock, Session, Status, Txn};

/// A Consul client. Clones share the connection pool.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    base: String,
    token: Option<HeaderValue>,
    datacenter: Option<String>,
    request_timeout: Duration,
    max_body: usize,
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
    /// Longest time to wait, up to [`MAX_WAIT`]. Consul adds up to a sixteenth.
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

/// One request under construction. The path is already percent-encoded.
pub(crate) struct Request<'c> {
    client: &'c Client,
    method: Method,
    path: String,
    query: Vec<(&'static str, Cow<'c, str>)>,
    body: Vec<u8>,
    limit: Duration,
}

impl<'c> Request<'c> {
    fn new(client: &'c Client, method: Method, path: String) -> Self {
        let mut request = Self {
            client,
            method,
            path,
            query: Vec::new(),
            body: Vec::new(),
            limit: client.inner.request_timeout,
        };
        if let Some(datacenter) = &client.inner.datacenter {
            request.query.push(("dc", datacenter.into()));
        }
        request
    }

    pub(crate) fn query(mut self, name: &'static str, value: impl Into<Cow<'c, str>>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn flag(self, name: &'static str) -> Self {
        self.query(name, "")
    }

    pub(crate) fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self, Error> {
        self.body = serde_json::to_vec(body).map_err(|e| Error::InvalidArgument {
            what: "request body",
            reason: e.to_string(),
        })?;
        Ok(self)
    }

    pub(crate) fn body_len(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn read_options(mut self, options: ReadOptions) -> Self {
        match options.consistency {
            Consistency::Default => {}
            Consistency::Consistent => self = self.flag("consistent"),
            Consistency::Stale => self = self.flag("stale"),
        }
        if let Some(wait) = options.wait {
            let at_most = wait.at_most.clamp(Duration::from_millis(1), MAX_WAIT);
            // Consul spreads the wake-ups over up to a sixteenth of the wait time.
            self.limit += at_most + at_most / 16;
            self = self
                .query("index", wait.index.to_string())
                .query("wait", format!("{}ms", at_most.as_millis()));
        }
        self
    }

    fn url(&self) -> String {
        let mut url = format!("{}{}", self.client.inner.base, self.path);
        for (n, (name, value)) in self.query.iter().enumerate() {
            url.push(if n == 0 { '?' } else { '&' });
            url.push_str(name);
            if !value.is_empty() {
                url.push('=');
                encode_into(&mut url, value, false);
            }
        }
        url
    }

    /// Sends the request and reads the whole reply, whatever its status.
    pub(crate) async fn send(self) -> Result<Reply, Error> {
        let limit = self.limit;
        let path = self.path.clone();
        match tokio::time::timeout(limit, self.exchange()).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { path, limit }),
        }
    }

    async fn exchange(self) -> Result<Reply, Error> {
        let url = self.url();
        let Self {
            client,
            method,
            path,
            body,
            limit,
            ..
        } = self;
        let inner = &client.inner;
        let fail = |e| Error::from_http(&path, limit, e);
        let mut request = inner.http.request(method.clone(), url);
        if let Some(token) = &inner.token {
            request = request.header("X-Consul-Token", token.clone());
        }
        if !body.is_empty() {
            request = request.body(body);
        }
        let mut response = request.send().await.map_err(fail)?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let too_large = || Error::ReplyTooLarge {
            path: path.clone(),
            limit: inner.max_body,
        };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(fail)? {
            if chunk.len() > inner.max_body - body.len() {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        tracing::trace!(%method, path, status = status.as_u16(), bytes = body.len(), "consul");
        Ok(Reply {
            path,
            status,
            headers,
            body,
        })
    }

    /// Sends the request; the reply must be a success with a JSON body.
    pub(crate) async fn fetch<T: DeserializeOwned>(self) -> Result<Response<T>, Error> {
        self.send().await?.success()?.response()
    }

    /// Like `fetch`, where a 404 of Consul itself stands for "nothing there". A 404 without an
    /// index comes from something else on the way and is an error.
    pub(crate) async fn fetch_optional<T: DeserializeOwned>(
        self,
    ) -> Result<Response<Option<T>>, Error> {
        let reply = self.send().await?;
        if reply.status == StatusCode::NOT_FOUND && reply.headers.contains_key("X-Consul-Index") {
            return reply.meta(None);
        }
        Ok(reply.success()?.response()?.map(Some))
    }

    /// Sends the request; a success is all that matters.
    pub(crate) async fn execute(self) -> Result<(), Error> {
        self.send().await?.success().map(drop)
    }
}

/// A complete reply.
pub(crate) struct Reply {
    pub(crate) path: String,
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    pub(crate) fn success(self) -> Result<Self, Error> {
        if self.status.is_success() {
            Ok(self)
        } else {
            Err(self.error())
        }
    }

    pub(crate) fn error(&self) -> Error {
        Error::from_status(&self.path, self.status, &self.body)
    }

    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|e| Error::decode(&self.path, e))
    }

    pub(crate) fn response<T: DeserializeOwned>(self) -> Result<Response<T>, Error> {
        let value = self.decode()?;
        self.meta(value)
    }

    fn meta<T>(self, value: T) -> Result<Response<T>, Error> {
        Ok(Response {
            value,
            index: Index(self.number("X-Consul-Index")?),
            known_leader: self
                .headers
                .get("X-Consul-Knownleader")
                .is_none_or(|v| v.as_bytes() != b"false"),
            last_contact: Duration::from_millis(self.number("X-Consul-Lastcontact")?),
            reset: false,
        })
    }

    fn number(&self, header: &'static str) -> Result<u64, Error> {
        let Some(value) = self.headers.get(header) else {
            return Ok(0);
        };
        value
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Error::decode(&self.path, format!("header {header}: {value:?}")))
    }
}

/// Percent-encodes everything that is not unreserved in RFC 3986; with `path` the slash stays.
fn encode_into(out: &mut String, text: &str, path: bool) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b'/' if path => out.push('/'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

/// `prefix` followed by a key, whose slashes separate path segments.
pub(crate) fn key_path(prefix: &str, key: &str) -> String {
    let mut path = String::with_capacity(prefix.len() + key.len());
    path.push_str(prefix);
    encode_into(&mut path, key, true);
    path
}

/// `prefix` followed by a name as one path segment.
///
/// # Errors
/// [`Error::InvalidArgument`] for a name that cannot be sent as a segment.
pub(crate) fn name_path(prefix: &str, what: &'static str, name: &str) -> Result<String, Error> {
    // Dot segments are resolved and double slashes removed on the way, even when encoded.
    if name.is_empty() || name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Error::InvalidArgument {
            what,
            reason: format!("{name:?} is empty or not usable in a path"),
        });
    }
    let mut path = prefix.to_owned();
    encode_into(&mut path, name, false);
    Ok(path)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_percent_encoded() {
        assert_eq!(
            key_path("/v1/kv/", "processes/0x7200000000000001:0x4"),
            "/v1/kv/processes/0x7200000000000001%3A0x4"
        );
        assert_eq!(
            key_path("/v1/kv/", "a b?#%&é"),
            "/v1/kv/a%20b%3F%23%25%26%C3%A9"
        );
    }

    #[test]
    fn names_that_would_change_the_path_are_refused() {
        assert_eq!(name_path("/p/", "node", "a/b").unwrap(), "/p/a%2Fb");
        for name in ["", ".", "..", "a/../b", "a//b", "/a"] {
            assert!(name_path("/p/", "node", name).is_err(), "{name}");
        }
    }

    #[test]
    fn blocking_query_leaves_room_for_jitter() {
        let client = Client::new(&Config::new("127.0.0.1:1")).unwrap();
        let options = ReadOptions::stale().waiting(Index(7), Duration::from_secs(16));
        let request = client.get("/v1/x".into()).read_options(options);
        assert_eq!(request.limit, Duration::from_secs(10 + 16 + 1));
        assert_eq!(
            request.url(),
            "http://127.0.0.1:1/v1/x?stale&index=7&wait=16000ms"
        );
    }
}
