//! Paths, queries and bodies, made into what they mean.

use std::fmt::Display;
use std::str::FromStr;

use axum::body::Body;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::super::Limits;
use super::super::body;
use super::super::reply::Refusal;
use super::super::router::Shared;
use crate::fence::By;

/// Bytes of a body.
const BODY_MAX: usize = 16 << 10;
/// Bytes of a name of who asks.
const WHO_MAX: usize = 128;
/// Bytes of a reason.
const REASON_MAX: usize = 512;

/// Text for people: one line, not empty, at most so many bytes. It ends up in records, logs and terminals.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Line<const MAX: usize>(String);

/// Who asks. Nobody checks it; it is only recorded.
pub(super) type Who = Line<WHO_MAX>;
/// Why.
pub(super) type Reason = Line<REASON_MAX>;

impl<const MAX: usize> TryFrom<String> for Line<MAX> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("is empty; say it in a few words".to_owned());
        }
        if text.len() > MAX {
            return Err(format!("is longer than {MAX} bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err("has a control character, or a second line".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl<const MAX: usize> From<Line<MAX>> for String {
    fn from(line: Line<MAX>) -> Self {
        line.0
    }
}

/// The body of most commands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ByBody {
    pub(super) who: Who,
    pub(super) reason: Reason,
}

impl From<ByBody> for By {
    fn from(body: ByBody) -> Self {
        Self {
            who: body.who.into(),
            reason: body.reason.into(),
        }
    }
}

/// A part of the path.
pub(super) fn name<T: FromStr<Err: Display>>(text: &str) -> Result<T, Refusal> {
    text.parse()
        .map_err(|error: T::Err| Refusal::Invalid(error.to_string()))
}

/// The query; a key that is not known is refused.
pub(super) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Refusal> {
    let Query(query) =
        query.map_err(|error| Refusal::Invalid(format!("the query: {}", error.body_text())))?;
    Ok(query)
}

/// A whole body; where one is optional, an empty one is `{}`.
pub(super) async fn json<T: DeserializeOwned, B>(
    shared: &Shared<B>,
    body: Body,
    empty_is_object: bool,
) -> Result<T, Refusal> {
    let limits = Limits {
        body: shared.limits.body.min(BODY_MAX),
        ..(*shared.limits).clone()
    };
    let received = body::read(body, &limits, &shared.budget).await;
    let received = received.map_err(|refusal| match refusal {
        Refusal::TooLarge { limit } => Refusal::FenceTooLarge(limit),
        other => other,
    })?;
    let bytes = match received.bytes() {
        [] if empty_is_object => b"{}",
        bytes => bytes,
    };
    // Serde would take a list of the values, too.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        let what = "is not a JSON object".to_owned();
        let path = "the body".to_owned();
        return Err(Refusal::InvalidPayload { path, what });
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = match error.path().to_string() {
            root if root == "." => "the body".to_owned(),
            path => path,
        };
        let what = error.inner().to_string();
        match error.inner().classify() {
            Category::Data => Refusal::InvalidPayload { path, what },
            _ => Refusal::MalformedJson(what),
        }
    })?;
    json.end()
        .map_err(|error| Refusal::MalformedJson(error.to_string()))?;
    Ok(parsed)
}
