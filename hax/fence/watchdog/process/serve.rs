//! The loop of the watchdog process.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::act::{AGAIN, SYSRQ, act};
use super::feed::Feed;
use super::hold::Held;
use super::log::Log;
use super::state::{Due, State};
use super::wire::{Act, Order, Report, Standing, VERSION};
use crate::death::Proc;
use crate::fence::executor::BootInstant;

/// Longest sleep: `poll` does not count the time in which the machine is suspended.
const NAP: Duration = Duration::from_millis(500);

/// How long it stays when nobody counts on it, nothing is held, and no daemon is there.
const IDLE: Duration = Duration::from_secs(20);

/// All that it knows.
#[derive(Debug)]
pub(super) struct Server {
    listener: UnixListener,
    feed: Option<Feed>,
    /// The daemon has said hello.
    known: bool,
    state: State,
    held: Held,
    missing: Vec<String>,
    stop_max: Duration,
    action: Act,
    sysrq: PathBuf,
    proc: Proc,
    log: Log,
}

impl Server {
    pub(super) fn new(listener: UnixListener, log: Log) -> Self {
        Self {
            listener,
            feed: None,
            known: false,
            state: State::default(),
            held: Held::default(),
            missing: Vec::new(),
            stop_max: Duration::ZERO,
            action: Act::Nothing,
            sysrq: PathBuf::from(SYSRQ),
            proc: Proc::default(),
            log,
        }
    }

    /// Serves until nobody needs it any more.
    pub(super) fn run(mut self) {
        let mut needed = Instant::now();
        loop {
            if let Some(due) = self.state.due(now()) {
                self.act(due);
            }
            if self.feed.is_some() || self.state.is_armed() || self.held.is_alive() {
                needed = Instant::now();
            } else if needed.elapsed() > IDLE {
                return self.log.say("nobody needs it any more".to_owned());
            }
            let nap = self.state.left(now()).map(Duration::from_millis);
            if let Err(error) = self.listen(nap.unwrap_or(NAP).min(NAP)) {
                self.log.say(format!("it cannot listen: {error}"));
                std::thread::park_timeout(AGAIN);
            }
        }
    }

    /// Waits for daemons, and does what they say.
    fn listen(&mut self, nap: Duration) -> io::Result<()> {
        // A millisecond more: what is over at the next look is over.
        let nap = nap + Duration::from_millis(1);
        let timeout = Timespec {
            tv_sec: i64::try_from(nap.as_secs()).unwrap_or(0),
            tv_nsec: nap.subsec_nanos().into(),
        };
        let mut fds = vec![PollFd::from_borrowed_fd(
            self.listener.as_fd(),
            PollFlags::IN,
        )];
        let feed = self.feed.as_ref();
        fds.extend(feed.map(|feed| PollFd::from_borrowed_fd(feed.fd(), PollFlags::IN)));
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |fd: Option<&PollFd<'_>>| fd.is_some_and(|fd| !fd.revents().is_empty());
        let (called, told) = (ready(fds.first()), ready(fds.get(1)));
        if told {
            self.read();
        }
        if called {
            // The newest daemon counts: the one before it hangs, or has gone.
            self.feed = Some(Feed::accept(&self.listener)?);
            self.known = false;
        }
        Ok(())
    }

    fn read(&mut self) {
        let Some(feed) = &mut self.feed else {
            return;
        };
        match feed.read() {
            Ok(orders) => orders.into_iter().for_each(|order| self.order(order)),
            Err(error) => {
                let armed = self.state.is_armed();
                self.log
                    .say(format!("the daemon has gone ({error}); armed: {armed}"));
                self.feed = None;
            }
        }
    }

    fn order(&mut self, order: Order) {
        if let Order::Hello {
            version,
            stop_max_ms,
            action,
        } = order
        {
            self.known = version == VERSION;
            if self.known {
                self.stop_max = Duration::from_millis(stop_max_ms);
                self.action = action;
            }
            return self.stand(false);
        }
        if !self.known {
            return;
        }
        let mut is_clear = false;
        match order {
            Order::Hello { .. } => {}
            Order::Beat {
                sent,
                deadline,
                clear,
            } => is_clear = self.state.beat(sent, deadline) && clear,
            Order::Processes(known) => {
                self.missing = self.held.add(&self.proc, &known);
                if self.state.has_acted() && self.held.is_alive() {
                    self.end_processes();
                }
            }
            Order::Strike(why) => self.state.strike(why),
            Order::Disarm => self.state.disarm(),
        }
        self.stand(is_clear);
    }

    /// The action is for a node whose watchdog was armed: before that nobody counts on it, and a node that
    /// starts while Consul is away must not reset itself again and again.
    fn act(&mut self, due: Due) {
        let Due { why, armed } = due;
        self.log
            .say(format!("THE WATCHDOG ACTS: {why} (armed: {armed})"));
        self.say(&Report::Acts { why, armed });
        self.end_processes();
        if armed {
            act(&self.action, &self.sysrq, &self.log);
        }
        self.state.has_done(now());
        self.stand(false);
    }

    /// Kills all processes, again and again until every one is known to have ended or the time is over.
    fn end_processes(&mut self) {
        let end = Instant::now() + self.stop_max;
        loop {
            let mut said = Vec::new();
            let none_left = self.held.kill(end, |words| said.push(words));
            let over = none_left || Instant::now() + AGAIN >= end;
            for words in said {
                self.log.say(words.clone());
                self.say(&Report::Did(words));
            }
            if over {
                let words = match none_left {
                    true => "no Motr process that was held is left",
                    false => "NOT ALL MOTR PROCESSES HAVE ENDED IN TIME",
                };
                self.log.say(words.to_owned());
                return self.say(&Report::Did(words.to_owned()));
            }
            std::thread::park_timeout(AGAIN);
        }
    }

    fn stand(&mut self, clear: bool) {
        let standing = Standing {
            version: VERSION,
            armed: self.state.is_armed(),
            acted: self.state.has_acted(),
            clear,
            missing: self.missing.clone(),
        };
        self.say(&Report::State(standing));
    }

    fn say(&mut self, report: &Report) {
        let said = self.feed.as_mut().map(|feed| feed.say(report));
        if let Some(Err(error)) = said {
            self.log.say(format!("the daemon does not listen: {error}"));
            self.feed = None;
        }
    }
}

fn now() -> u64 {
    BootInstant::now().millis()
}
