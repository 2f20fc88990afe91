//! The words of the watchdog process. Whoever reads them may hang: a thread of their own writes them.

use std::sync::mpsc::{SyncSender, sync_channel};

/// Lines that wait to be written at most; more are lost.
const LINES_MAX: usize = 256;

/// Where words go.
#[derive(Debug)]
pub(super) struct Log(Option<SyncSender<String>>);

impl Log {
    /// Starts the thread that writes; without it nothing is said.
    pub(super) fn start() -> Self {
        let (words, written) = sync_channel::<String>(LINES_MAX);
        let thread = std::thread::Builder::new().name("log".to_owned());
        let spawned = thread.spawn(move || {
            use std::io::Write;
            for line in written {
                // There is nobody to tell that nobody reads.
                let _ = writeln!(std::io::stderr(), "hax fence-watchdog: {line}");
            }
        });
        Self(spawned.is_ok().then_some(words))
    }

    /// Says it, or loses it.
    pub(super) fn say(&self, line: String) {
        if let Some(words) = &self.0 {
            let _ = words.try_send(line);
        }
    }
}
