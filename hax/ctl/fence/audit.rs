//! Checking audit files, without a bridge.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

use super::Done;
use crate::ctl::failure::Failure;
use crate::fence::audit::{Anchor, Chain, Hash, LINE_MAX, Why};

/// Takes the files in the order of their lines' numbers.
///
/// # Errors
/// A file cannot be read, or the chain is broken: then the first line that does not fit is named.
pub(super) fn verify(
    files: &[PathBuf],
    expect: Option<Hash>,
    as_json: bool,
) -> Result<Done, Failure> {
    let mut files: Vec<(u64, &PathBuf)> = files
        .iter()
        .map(|file| Ok((first_number(file)?, file)))
        .collect::<Result<_, Failure>>()?;
    files.sort();
    let mut chain = Chain {
        anchor: expect.map(|hash| Anchor { hash, seq: None }),
        ..Chain::default()
    };
    let mut lines = 0;
    for (_, file) in &files {
        lines += take(file, &mut chain)?;
    }
    let Some((seq, hash)) = chain.last else {
        return Err(Failure::AuditBroken("there is no line at all".to_owned()));
    };
    let first = chain.first.unwrap_or(seq);
    if let Some(Anchor { hash, seq: None }) = chain.anchor {
        let why = format!(
            "no line has the hash {hash}: lines were removed from the end, or all were written anew"
        );
        return Err(Failure::AuditBroken(why));
    }
    let expected = chain.anchor.and_then(|anchor| anchor.seq);
    if as_json {
        let report = json!({
            "lines": lines, "first": first, "last": seq, "hash": hash, "expected": expected,
        });
        return Ok(format!("{report:#}\n").into());
    }
    let mut text = format!("{lines} lines, {first} to {seq}: each follows the one before it\n");
    if first != 1 {
        text.push_str("what was before the first one is not in these files\n");
    }
    match expected {
        Some(line) => text.push_str(&format!("the expected hash is that of line {line}\n")),
        None => text.push_str(
            "whether lines were removed from the end shows only against a hash that was noted: --expect HASH\n",
        ),
    }
    text.push_str(&format!("last hash: {hash}\n"));
    Ok(text.into())
}

#[derive(Deserialize)]
struct Number {
    seq: u64,
}

/// Files whose first line cannot be read come first, and are named then.
fn first_number(path: &Path) -> Result<u64, Failure> {
    let mut line = Vec::new();
    let mut reader = open(path)?.take(LINE_MAX);
    let read = reader.read_until(b'\n', &mut line);
    read.map_err(|error| unreadable(path, &error.to_string()))?;
    let number = serde_json::from_slice::<Number>(&line);
    Ok(number.map_or(0, |number| number.seq))
}

/// Takes a file line by line. A file may be of any length, a line may not.
fn take(path: &Path, chain: &mut Chain) -> Result<u64, Failure> {
    let broken = |number: u64, why: Why| {
        let why = format!("{}:{number}: {why}", path.display());
        Failure::AuditBroken(why)
    };
    let mut reader = open(path)?;
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let mut limited = (&mut reader).take(LINE_MAX + 1);
        let read = limited.read_until(b'\n', &mut line);
        if read.map_err(|error| unreadable(path, &error.to_string()))? == 0 {
            return Ok(number);
        }
        number += 1;
        let Some(text) = line.strip_suffix(b"\n") else {
            return Err(broken(number, Why::Incomplete));
        };
        chain.take(text).map_err(|why| broken(number, why))?;
    }
}

fn open(path: &Path) -> Result<BufReader<File>, Failure> {
    let file = File::open(path).map_err(|error| unreadable(path, &error.to_string()))?;
    Ok(BufReader::new(file))
}

fn unreadable(path: &Path, why: &str) -> Failure {
    Failure::NoInput(format!("{}: {why}", path.display()))
}
