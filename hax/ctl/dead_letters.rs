//! `haxctl dead-letters`.

use std::fmt::Write as _;

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::args::{DeadLetters, LetterAction};
use super::bridge::Bridge;
use super::failure::Failure;

#[derive(Debug, Deserialize)]
struct List {
    dead_letters: Vec<Letter>,
}

#[derive(Debug, Deserialize)]
struct Letter {
    id: u64,
    what: String,
    event: Option<String>,
    link: u64,
    refused_at: u64,
    error: String,
}

#[derive(Debug, Deserialize)]
struct Replayed {
    replayed: Vec<u64>,
}

/// Does what is asked; returns the text to print.
///
/// # Errors
/// The bridge cannot be reached, or has no such letter.
pub(super) async fn run(args: &DeadLetters) -> Result<String, Failure> {
    let bridge = Bridge::new(args.hax.as_deref())?;
    match &args.action {
        None => list(&bridge, args.json).await,
        Some(LetterAction::Replay { ids, .. }) => replay(&bridge, ids, args.json).await,
        Some(LetterAction::Discard { ids }) => discard(&bridge, ids, args.json).await,
    }
}

async fn list(bridge: &Bridge, json: bool) -> Result<String, Failure> {
    const PATH: &str = "/v1/dead-letters";
    if json {
        let letters: Value = bridge.request(Method::GET, PATH).await?;
        return Ok(format!("{letters:#}\n"));
    }
    let letters: List = bridge.request(Method::GET, PATH).await?;
    Ok(table(&letters.dead_letters))
}

fn table(letters: &[Letter]) -> String {
    if letters.is_empty() {
        return "no dead letters\n".to_owned();
    }
    let mut text = String::new();
    for letter in letters {
        let event = letter.event.as_deref().unwrap_or("-");
        let _ = writeln!(
            text,
            "{:>4}  {}  {event}  link {}, refused at {} s since the epoch",
            letter.id, letter.what, letter.link, letter.refused_at
        );
        let _ = writeln!(text, "      {}", letter.error);
    }
    text
}

async fn replay(bridge: &Bridge, ids: &[u64], json: bool) -> Result<String, Failure> {
    let paths = match ids {
        [] => vec!["/v1/dead-letters/replay".to_owned()],
        ids => ids
            .iter()
            .map(|id| format!("/v1/dead-letters/{id}/replay"))
            .collect(),
    };
    let mut replayed = Vec::new();
    for path in paths {
        let answer: Replayed = bridge.request(Method::POST, &path).await?;
        replayed.extend(answer.replayed);
    }
    Ok(done("replayed", &replayed, json))
}

async fn discard(bridge: &Bridge, ids: &[u64], json: bool) -> Result<String, Failure> {
    for id in ids {
        let path = format!("/v1/dead-letters/{id}");
        let _: Value = bridge.request(Method::DELETE, &path).await?;
    }
    Ok(done("discarded", ids, json))
}

fn done(what: &str, ids: &[u64], json: bool) -> String {
    if json {
        return format!("{:#}\n", serde_json::json!({ what: ids }));
    }
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    match ids.as_slice() {
        [] => format!("nothing {what}\n"),
        ids => format!("{what}: {}\n", ids.join(" ")),
    }
}
