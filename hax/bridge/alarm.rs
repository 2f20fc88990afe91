//! The alarm at `dispatch.queue_max` (`rfc/7-ordering.md`, "Memory").

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{info, warn};

use super::counters::Counters;

/// Says when more messages are held than `dispatch.queue_max`: once for an episode, which ends when
/// half of them have gone.
#[derive(Debug)]
pub struct QueueAlarm {
    max: usize,
    over: AtomicBool,
}

impl QueueAlarm {
    /// An alarm at so many messages.
    pub fn new(max: usize) -> Self {
        let over = AtomicBool::new(false);
        Self { max, over }
    }

    /// So many messages are held now. Returns whether an episode goes on.
    pub fn observe(&self, messages: usize, counters: &Counters) -> bool {
        if messages >= self.max {
            if !self.over.swap(true, Ordering::Relaxed) {
                counters.queue_over_bound.increment();
                warn!(
                    messages,
                    "as many messages wait as dispatch.queue_max allows: \
                     Consul is away or too slow"
                );
            }
        } else if messages <= self.max / 2 && self.over.swap(false, Ordering::Relaxed) {
            info!(messages, "fewer messages wait again");
        }
        self.over.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_is_counted_once_and_ends_at_half() {
        let counters = Counters::default();
        let alarm = QueueAlarm::new(10);
        let episode = [
            (9, false),
            (10, true),
            (11, true),
            (9, true),
            (10, true),
            (6, true),
            (5, false),
            (9, false),
        ];
        for count in 1..=2 {
            for (messages, over) in episode {
                assert_eq!(alarm.observe(messages, &counters), over, "{messages}");
            }
            assert_eq!(counters.queue_over_bound.get(), count);
        }
    }
}
