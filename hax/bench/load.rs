//! `hax bench-load`: the process that plays many Motr processes, told on standard input what to do.

mod command;
mod link;

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::future::try_join_all;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;

pub(super) use command::{Command, Expected, Outcome};
use link::Link;

use super::args::LoadArgs;
use super::clock;
use super::patience::Wait;
use crate::sim::endpoint::Endpoint;

/// Links that connect at the same time.
const CONNECTING: usize = 64;
/// How often it is looked whether the bridge has said something.
const LOOK: Duration = Duration::from_secs(1);

/// Runs until standard input ends. Each line is a [`Command`], answered by a line with an
/// [`Outcome`] or an error.
pub async fn run(args: LoadArgs) -> ExitCode {
    match serve(&args.ha).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hax bench-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(ha: &Endpoint) -> Result<()> {
    let input = std::io::stdin().as_fd().try_clone_to_owned()?;
    let input = Receiver::from_owned_fd(input).context("standard input is no pipe")?;
    let mut lines = BufReader::new(input).lines();
    let mut links = Vec::new();
    let heard = Arc::default();
    while let Some(line) = lines.next_line().await? {
        let command = serde_json::from_str(&line).context("a command")?;
        let awaits = matches!(command, Command::Await { .. });
        let outcome = tokio::select! {
            outcome = obey(ha, &mut links, &heard, command) => outcome,
            // What is awaited has a patience of its own.
            error = silence(&heard), if !awaits => Err(error),
            // Whoever gave the command has gone.
            _ = lines.next_line() => return Ok(()),
        };
        say(&outcome.map_err(|error| format!("{error:#}")))?;
    }
    Ok(())
}

fn say(outcome: &Result<Outcome, String>) -> Result<()> {
    let mut line = serde_json::to_vec(outcome)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    out.flush()?;
    Ok(())
}

/// Ends when the bridge has said nothing on any link for long.
async fn silence(heard: &AtomicU64) -> anyhow::Error {
    let mut wait = Wait::new("answers of the bridge");
    loop {
        let frames = heard.load(Ordering::Relaxed);
        if let Err(error) = wait.look(frames, || format!("{frames} frames until now")) {
            return error;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn obey(
    ha: &Endpoint,
    links: &mut Vec<Link>,
    heard: &Arc<AtomicU64>,
    command: Command,
) -> Result<Outcome> {
    match command {
        Command::Connect { first_key, count } => connect(ha, links, heard, first_key, count).await,
        Command::Entrypoint { links: n } => {
            let links = some(links, n)?;
            links.iter_mut().try_for_each(Link::ask)?;
            timed(links.iter_mut().map(Link::answered)).await
        }
        Command::Events { links: n, each } => {
            let links = some(links, n)?;
            for link in &mut *links {
                (0..each).try_for_each(|_| link.event())?;
            }
            timed(links.iter_mut().map(Link::all_delivered)).await
        }
        Command::EventsSerial { count } => serial(links, count, Link::event).await,
        Command::ServiceEvents { count } => serial(links, count, Link::service_event).await,
        Command::Nvec {
            links: n,
            window,
            each,
            objects,
        } => {
            let links = some(links, n)?;
            let gets = links
                .iter_mut()
                .map(|link| link.nvec(&objects, window, each));
            let start = clock::now();
            let samples = try_join_all(gets).await?.concat();
            Ok(Outcome {
                nanos: clock::now() - start,
                samples,
            })
        }
        Command::Await {
            links: n,
            expected,
            patience,
        } => {
            let links = some(links, n)?;
            links.iter_mut().for_each(|link| link.expect(expected));
            say(&Ok(Outcome::default()))?;
            let arrived = try_join_all(links.iter_mut().map(Link::arrived));
            let samples = timeout(patience, arrived).await.unwrap_or(Ok(Vec::new()))?;
            Ok(Outcome { nanos: 0, samples })
        }
    }
}

fn some(links: &mut [Link], count: usize) -> Result<&mut [Link]> {
    let there = links.len();
    match links.get_mut(..count) {
        Some(links) => Ok(links),
        None => bail!("{count} links of {there}"),
    }
}

/// The first link sends so many messages, each after the one before is delivered.
async fn serial(
    links: &mut [Link],
    count: usize,
    send: impl Fn(&mut Link) -> Result<()>,
) -> Result<Outcome> {
    let [link, ..] = some(links, 1)? else {
        bail!("no link");
    };
    let mut samples = Vec::with_capacity(count);
    let start = clock::now();
    for _ in 0..count {
        let start = clock::now();
        send(link)?;
        link.all_delivered().await?;
        samples.push(clock::now() - start);
    }
    Ok(Outcome {
        nanos: clock::now() - start,
        samples,
    })
}

async fn timed(work: impl Iterator<Item = impl Future<Output = Result<()>>>) -> Result<Outcome> {
    let work = try_join_all(work);
    let start = clock::now();
    work.await?;
    Ok(Outcome {
        nanos: clock::now() - start,
        samples: Vec::new(),
    })
}

/// Opens the connections, then has all of them ask at once for their entrypoints.
async fn connect(
    ha: &Endpoint,
    links: &mut Vec<Link>,
    heard: &Arc<AtomicU64>,
    first_key: u64,
    count: usize,
) -> Result<Outcome> {
    let Endpoint::Unix(path) = ha else {
        bail!("{ha} is no Unix socket");
    };
    let keys: Vec<u64> = (first_key..).take(count).collect();
    let mut new = Vec::new();
    for keys in keys.chunks(CONNECTING) {
        new.extend(try_join_all(keys.iter().map(|key| Link::open(path, *key, heard))).await?);
    }
    new.iter_mut().try_for_each(Link::ask)?;
    let outcome = timed(new.iter_mut().map(Link::answered)).await?;
    links.extend(new);
    Ok(outcome)
}
