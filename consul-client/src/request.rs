//! One request and its reply.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::blocking::MAX_WAIT;
use crate::client::{Client, Consistency, Index, ReadOptions, Response};
use crate::error::Error;

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
    pub(crate) fn new(client: &'c Client, method: Method, path: String) -> Self {
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
        if reply.is_nothing() {
            return reply.meta(None);
        }
        Ok(reply.success()?.response()?.map(Some))
    }

    /// Like `fetch_optional`, with the body as it came.
    pub(crate) async fn fetch_raw(self) -> Result<Response<Option<Vec<u8>>>, Error> {
        let reply = self.send().await?;
        if reply.is_nothing() {
            return reply.meta(None);
        }
        let mut reply = reply.success()?;
        let body = std::mem::take(&mut reply.body);
        reply.meta(Some(body))
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

    /// Whether Consul itself says that there is nothing.
    fn is_nothing(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && self.headers.contains_key("X-Consul-Index")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

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
