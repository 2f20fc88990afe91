//! The HTTP interface of a running bridge, as `haxctl` uses it.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::failure::Failure;
use super::fence::text::clean;

/// The environment variable, for `--help`.
pub const ENVIRONMENT: &str = "\
Environment:
  HAX_HTTP_ADDR  address of the bridge where none is given";

/// How long the bridge may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read at most.
const ANSWER_MAX: usize = 16 << 20;

/// Codes of fencing that is refused.
const REFUSALS: [&str; 8] = [
    "startup-grace",
    "unknown-target",
    "not-configured",
    "no-device",
    "no-peer",
    "inhibited",
    "quarantined",
    "ended",
];

/// A request.
#[derive(Debug)]
pub struct Call<'a> {
    /// Its method.
    pub method: Method,
    /// Its path, with a slash at the beginning. What is put into it has been parsed as a name.
    pub path: &'a str,
    /// Its query.
    pub query: Vec<(&'static str, String)>,
    /// Its body, sent as JSON.
    pub body: Option<Value>,
    /// How long the whole answer may take.
    pub patience: Duration,
}

impl<'a> Call<'a> {
    /// Without query and body, with the usual patience.
    pub fn new(method: Method, path: &'a str) -> Self {
        Self {
            method,
            path,
            query: Vec::new(),
            body: None,
            patience: PATIENCE,
        }
    }
}

/// A running bridge.
#[derive(Debug)]
pub struct Bridge {
    http: Client,
    base: Url,
}

impl Bridge {
    /// The bridge at an address, or at the one of the environment.
    ///
    /// # Errors
    /// [`Failure::Usage`] for an address that cannot be used.
    pub fn new(address: Option<&str>) -> Result<Self, Failure> {
        let variable = || {
            std::env::var("HAX_HTTP_ADDR")
                .ok()
                .filter(|text| !text.is_empty())
        };
        let address = address
            .map(str::to_owned)
            .or_else(variable)
            .unwrap_or_else(|| "127.0.0.1:8008".to_owned());
        let unusable = |why: String| {
            Failure::Usage(format!(
                "--hax: {address:?} is no address of a bridge: {why}"
            ))
        };
        let with_scheme = match address.contains("://") {
            true => address.clone(),
            false => format!("http://{address}"),
        };
        let base = Url::parse(&with_scheme).map_err(|error| unusable(error.to_string()))?;
        if base.scheme() != "http" || base.host().is_none() {
            return Err(unusable("give host:port or http://host:port".to_owned()));
        }
        let http = Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            .build()
            .map_err(|error| Failure::Other(error.to_string()))?;
        Ok(Self { http, base })
    }

    /// Makes a request whose path starts with a slash, and reads the JSON answer.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] if the bridge cannot be reached; [`Failure::Other`] with its own
    /// words if it refuses.
    pub async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
    ) -> Result<T, Failure> {
        self.ask(Call::new(method, path)).await
    }

    /// The same with a query, with a body, or with more patience.
    ///
    /// # Errors
    /// As of [`request`](Self::request); fencing that is refused is [`Failure::Refused`] or
    /// [`Failure::NoQuorum`].
    pub async fn ask<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Failure> {
        let path = call.path;
        let mut url = self.base.clone();
        url.set_path(path);
        let away = |error: reqwest::Error| {
            let cause = innermost(&error);
            Failure::Unavailable(format!("no answer of the bridge at {}: {cause}", self.base))
        };
        let changes = call.method != Method::GET;
        let mut request = self.http.request(call.method, url);
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        } else if changes {
            // Without it the bridge takes the request for one of a web page.
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.timeout(call.patience);
        let mut response = request.send().await.map_err(away)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_MAX {
                let why = format!("{path}: the answer is larger than {ANSWER_MAX} bytes");
                return Err(Failure::Other(why));
            }
        }
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| {
                Failure::Other(format!(
                    "{path}: the answer is not what was expected: {error}"
                ))
            });
        }
        Err(refused(status, path, &body))
    }
}

fn refused(status: StatusCode, path: &str, body: &[u8]) -> Failure {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = answer["error"].as_str().unwrap_or("");
    match answer["detail"].as_str().map(clean) {
        Some(detail) if matches!(code, "busy" | "stopping") => Failure::Unavailable(detail),
        Some(detail) if code == "no-quorum" => Failure::NoQuorum(detail),
        Some(detail) if REFUSALS.contains(&code) => Failure::Refused(detail),
        Some(detail) => Failure::Other(detail),
        None => Failure::Other(format!("{path}: HTTP status {status}")),
    }
}

/// The cause at the bottom: what is above it repeats the address.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
