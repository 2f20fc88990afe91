//! The watchdog process: it holds the Motr processes of this node, and ends them when the daemon cannot say
//! that the node may go on. It outlives the daemon (`rfc/12-fencing.md`, "Watchdog").
//!
//! ```text
//!   daemon ──abstract socket: beats, processes, strike, disarm──▶ watchdog process ──pidfds──▶ m0d
//! ```
//!
//! A process of its own, in a session of its own, with two threads, one of which only logs. It reaches for
//! nothing outside the machine. The next daemon finds it by the name of its socket and goes on feeding it.

mod act;
mod feed;
mod hold;
mod log;
mod serve;
mod state;
mod wire;

use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::setsid;
use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

use self::log::Log;
use self::serve::Server;
pub(super) use self::wire::{
    LINE_MAX, Order, Report, Standing, VERSION, address, check_peer, line, name_of,
};

/// `hax fence-watchdog`: started by the daemon, and by nobody else.
#[derive(Debug, clap::Args)]
pub struct WatchdogArgs {
    /// The name of the abstract socket on which it listens.
    #[arg(long)]
    name: String,
}

/// Runs `hax fence-watchdog`.
pub fn run(args: &WatchdogArgs) -> ExitCode {
    let log = Log::start();
    harden(&log);
    let listener = wire::address(&args.name).and_then(|address| {
        let listener = UnixListener::bind_addr(&address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    match listener {
        Ok(listener) => {
            Server::new(listener, log).run();
            ExitCode::SUCCESS
        }
        // Another one is there: that one is used.
        Err(error) => {
            eprintln!("hax fence-watchdog: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes it hard to end by accident. Only SIGKILL does; that of an operator, of a service manager that
/// ends all that is in the control group, and, without privileges, of the kernel that needs memory.
fn harden(log: &Log) {
    // Signals of a terminal, and those to the daemon's group, are not for it.
    if let Err(error) = setsid() {
        log.say(format!("it has no session of its own: {error}"));
    }
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM] {
        // What is set is never looked at: to have a handler is all that is wanted.
        let nobody = Arc::new(AtomicBool::new(false));
        if let Err(error) = signal_hook::flag::register(signal, nobody) {
            log.say(format!("signal {signal} ends it: {error}"));
        }
    }
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "-1000") {
        log.say(format!("it may be killed when memory is short: {error}"));
    }
    // Nothing is to be kept from being unmounted.
    let _ = std::env::set_current_dir("/");
}
