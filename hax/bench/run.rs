//! The course of a measurement.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Resource, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use super::agent::{Agent, STORAGE};
use super::args::{Args, Group};
use super::daemon::{Daemon, DeathWatch};
use super::figures::Figures;
use super::loader::Loader;
use super::table;
use super::tree::{Shape, Tree};
use crate::version;

/// Links of the largest measurements.
pub(super) const LINKS_MAX: usize = 1_000;
/// Files a program has open beside its links.
const FILES_BESIDE: u64 = 100;

/// Measures. SIGINT and SIGTERM end it and everything it has started.
pub async fn run(args: Args) -> ExitCode {
    let json = args.json;
    match until_signal(measure(args)).await {
        Ok(figures) => {
            let text = if json {
                serde_json::to_string(&figures).map_err(anyhow::Error::from)
            } else {
                Ok(table::of(&figures))
            };
            let printed = text.and_then(|text| Ok(writeln!(std::io::stdout(), "{text}")?));
            printed.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("hax bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Dropping the work ends what it has started.
async fn until_signal(work: impl Future<Output = Result<Figures>>) -> Result<Figures> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        result = work => result,
        _ = terminate.recv() => bail!("ended by SIGTERM"),
        _ = interrupt.recv() => bail!("ended by SIGINT"),
    }
}

/// Everything that runs, and what is known so far.
pub(super) struct Bench {
    pub(super) args: Args,
    pub(super) tree: Tree,
    pub(super) loader: Loader,
    pub(super) daemon: Daemon,
    pub(super) agent: Agent,
    pub(super) figures: Figures,
    pub(super) hax: PathBuf,
    pub(super) directory: TempDir,
    pub(super) links_max: usize,
}

async fn measure(args: Args) -> Result<Figures> {
    if version::is_libmotr() {
        bail!(
            "this program is linked with libmotr, whose ha_link the load does not speak; \
             build it without the feature `libmotr`"
        );
    }
    let begun = Instant::now();
    let mut bench = Bench::start(args).await?;
    if cfg!(debug_assertions) {
        eprintln!("hax bench: this is a debug build; its figures say little");
    }
    bench.measure().await?;
    let mut figures = bench.finish().await?;
    figures.seconds = begun.elapsed().as_secs_f64();
    Ok(figures)
}

impl Bench {
    async fn start(args: Args) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("hax-bench-").tempdir();
        let directory = directory.context("a directory for temporary files")?;
        let hax = match &args.hax {
            Some(hax) => std::path::absolute(hax)?,
            None => std::env::current_exe().context("where this program is")?,
        };
        let tree = match &args.tree {
            Some(file) => Tree::read(file)?,
            None => Tree::made_up(Shape::LARGE)?,
        };
        let links_max = allow_links()?;
        say("starting consul and a bridge");
        let agent = Agent::start(directory.path(), &tree).await?;
        let daemon = Daemon::start(&hax, directory.path(), &agent, &tree, DeathWatch::On).await?;
        let loader = Loader::start(directory.path(), &daemon)?;
        let figures = Figures {
            tree_objects: tree.objects.len(),
            consul_version: agent.version().await?,
            consul_storage: STORAGE,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            quick: args.quick,
            debug_build: cfg!(debug_assertions),
            ..Figures::default()
        };
        Ok(Self {
            args,
            tree,
            loader,
            daemon,
            agent,
            figures,
            hax,
            directory,
            links_max,
        })
    }

    /// Links come to stay, so what needs few of them comes first.
    async fn measure(&mut self) -> Result<()> {
        let wants = |group| self.args.wants(group);
        let [idle, broadcast, death, nvec, events, outage, entrypoint] = [
            Group::Idle,
            Group::Broadcast,
            Group::Death,
            Group::Nvec,
            Group::Events,
            Group::Outage,
            Group::Entrypoint,
        ]
        .map(wants);
        if idle {
            self.idle().await?;
        }
        if broadcast {
            for links in [1, 10] {
                self.broadcast(links).await?;
            }
        }
        if death {
            self.death().await?;
        }
        if broadcast {
            self.broadcast(100).await?;
            self.broadcast_by_notes().await?;
        }
        if nvec {
            self.nvec().await?;
        }
        if events {
            self.events().await?;
        }
        if outage {
            self.outage().await?;
        }
        if entrypoint {
            self.entrypoint().await?;
        }
        if (broadcast || idle) && self.links_max >= LINKS_MAX {
            self.link_memory().await?;
        }
        if broadcast && self.links_max >= LINKS_MAX {
            self.broadcast(LINKS_MAX).await?;
        }
        if broadcast {
            self.broadcast_small_tree().await?;
        }
        // Last: it has Consul watch and check from then on.
        if death {
            self.death_by_check().await?;
        }
        Ok(())
    }

    /// Ends the bridge and its load; another bridge takes their place.
    pub(super) async fn restart(&mut self) -> Result<()> {
        self.restart_with(DeathWatch::On).await
    }

    /// The same with another death watch.
    pub(super) async fn restart_with(&mut self, death_watch: DeathWatch) -> Result<()> {
        let directory = self.directory.path();
        // The old ones are dropped, and killed, once the new ones are there; but the endpoint is
        // one's only.
        self.daemon.stop().await?;
        self.daemon =
            Daemon::start(&self.hax, directory, &self.agent, &self.tree, death_watch).await?;
        self.loader = Loader::start(directory, &self.daemon)?;
        Ok(())
    }

    async fn finish(self) -> Result<Figures> {
        let Self {
            mut daemon,
            figures,
            ..
        } = self;
        daemon.stop().await?;
        Ok(figures)
    }

    /// A short time in a quick run, a longer one else.
    pub(super) fn either<T>(&self, quick: T, full: T) -> T {
        if self.args.quick { quick } else { full }
    }
}

/// Raises the limit of open files, which the programs started inherit. Returns the links that the
/// hard limit allows.
fn allow_links() -> Result<usize> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("raising the limit of open files")?;
    let files = limit.maximum.unwrap_or(u64::MAX);
    let links = usize::try_from(files.saturating_sub(FILES_BESIDE)).unwrap_or(usize::MAX);
    if links < 300 {
        return Err(anyhow!(
            "the hard limit of open files is {files}; 400 are the least (ulimit -Hn)"
        ));
    }
    if links < LINKS_MAX {
        eprintln!(
            "hax bench: the hard limit of open files is {files} (ulimit -Hn): nothing is measured \
             on {LINKS_MAX} links"
        );
    }
    Ok(links.min(LINKS_MAX))
}

/// Says on a terminal what is going on.
pub(super) fn say(what: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("{what} …");
    }
}

/// Rounds of a measurement: at least `min`, then until `time` is over or there are `max`.
#[derive(Debug)]
pub(super) struct Rounds {
    end: Instant,
    min: usize,
    max: usize,
    done: usize,
}

impl Rounds {
    pub(super) fn new(min: usize, max: usize, time: Duration) -> Self {
        Self {
            end: Instant::now() + time,
            min,
            max,
            done: 0,
        }
    }

    /// Whether there is another one.
    pub(super) fn again(&mut self) -> bool {
        let again = self.done < self.min || (self.done < self.max && Instant::now() < self.end);
        self.done += usize::from(again);
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_have_a_least_and_a_largest_number() {
        let count =
            |mut rounds: Rounds| std::iter::from_fn(|| rounds.again().then_some(())).count();
        assert_eq!(count(Rounds::new(3, 10, Duration::ZERO)), 3);
        assert_eq!(count(Rounds::new(3, 10, Duration::from_secs(3_600))), 10);
    }
}
