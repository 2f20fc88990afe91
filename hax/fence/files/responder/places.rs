//! The requests that are served at one time: each has a place, and gives it back however its task ends.

use std::collections::{BTreeSet, HashMap};

use tokio::task::{Id, JoinSet};
use tracing::error;

use super::super::name::FileName;

/// The tasks of requests.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    tasks: JoinSet<()>,
    names: HashMap<Id, FileName>,
    /// Requests whose task has panicked: they are on disk, and are tried again, but not at once.
    faulty: BTreeSet<FileName>,
}

impl Places {
    /// For this many requests at one time.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            tasks: JoinSet::new(),
            names: HashMap::new(),
            faulty: BTreeSet::new(),
        }
    }

    /// How many more there is place for.
    pub(super) fn room(&self) -> usize {
        self.max.saturating_sub(self.names.len())
    }

    /// Those that are served, or not to be served yet.
    pub(super) fn known(&self) -> BTreeSet<FileName> {
        self.names.values().chain(&self.faulty).cloned().collect()
    }

    /// Serves a request, if there is place and it is not known.
    pub(super) fn serve<F>(&mut self, name: &FileName, work: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let served = self.names.values().any(|it| it == name);
        if self.room() > 0 && !served && !self.faulty.contains(name) {
            let task = self.tasks.spawn(work());
            self.names.insert(task.id(), name.clone());
        }
    }

    /// Until one is over; for ever if there is none.
    pub(super) async fn next_over(&mut self) {
        let (id, fault) = match self.tasks.join_next_with_id().await {
            None => return std::future::pending().await,
            Some(Ok((id, ()))) => (id, None),
            Some(Err(error)) => (error.id(), Some(error)),
        };
        let name = self.names.remove(&id);
        if let (Some(name), Some(error)) = (name, fault) {
            error!(request = %name, %error, "a request file is not served, and is tried again later");
            self.faulty.insert(name);
        }
    }

    /// Requests whose task has panicked may be tried again.
    pub(super) fn forgive(&mut self) {
        self.faulty.clear();
    }

    /// Until all are over.
    pub(super) async fn all_over(mut self) {
        while !self.tasks.is_empty() {
            self.next_over().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::model::OpId;

    #[tokio::test]
    async fn a_task_that_panics_gives_its_place_back() {
        let name = || FileName::new("ssu1".parse().unwrap(), OpId::new()).unwrap();
        let (good, bad, third) = (name(), name(), name());
        let mut places = Places::new(2);
        places.serve(&bad, || async { panic!("on purpose") });
        places.serve(&good, std::future::pending);
        places.serve(&third, || async { unreachable!("there was no place") });
        assert_eq!(places.room(), 0);
        places.next_over().await;
        assert_eq!(places.room(), 1);
        assert_eq!(places.known(), [good.clone(), bad.clone()].into());
        // It does not panic over and over, and the others have the place.
        places.serve(&bad, || async { unreachable!("too soon") });
        places.serve(&good, || async { unreachable!("twice") });
        assert_eq!(places.room(), 1);
        places.serve(&third, || async {});
        places.next_over().await;
        assert_eq!(places.known(), [good.clone(), bad.clone()].into());
        places.forgive();
        places.serve(&bad, || async {});
        places.next_over().await;
        assert_eq!(places.known(), [good].into());
    }
}
