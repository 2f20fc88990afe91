//! The daemon's tasks: each has an owner, and one that ends early does not go unnoticed.

use std::pin::Pin;
use std::task::Poll;

use tokio::task::{JoinError, JoinHandle};
use tracing::warn;

/// Running tasks by name.
#[derive(Debug, Default)]
pub struct Tasks(Vec<(&'static str, JoinHandle<()>)>);

impl Tasks {
    /// Takes a task over.
    pub fn add(&mut self, name: &'static str, task: JoinHandle<()>) {
        self.0.push((name, task));
    }

    /// Waits until any task ends, and says which.
    pub async fn ended(&mut self) -> (&'static str, Result<(), JoinError>) {
        let (place, result) = std::future::poll_fn(|context| {
            for (place, (_, task)) in self.0.iter_mut().enumerate() {
                if let Poll::Ready(result) = Pin::new(task).poll(context) {
                    return Poll::Ready((place, result));
                }
            }
            Poll::Pending
        })
        .await;
        (self.0.swap_remove(place).0, result)
    }

    /// Waits until the task of that name has ended, if it has not before.
    pub async fn join(&mut self, name: &str) {
        if let Some(place) = self.0.iter().position(|(task, _)| *task == name) {
            let (name, task) = self.0.swap_remove(place);
            if let Err(error) = task.await {
                warn!(task = name, %error, "a task did not end in order");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn the_task_that_ends_first_is_named() {
        let mut tasks = Tasks::default();
        let (_keep, stay) = oneshot::channel::<()>();
        tasks.add(
            "stays",
            tokio::spawn(async { stay.await.unwrap_or_default() }),
        );
        tasks.add("panics", tokio::spawn(async { panic!("on purpose") }));
        let (name, result) = tasks.ended().await;
        assert_eq!(name, "panics");
        assert!(result.unwrap_err().is_panic());
        tasks.join("panics").await;
        drop(_keep);
        tasks.join("stays").await;
        assert!(tasks.0.is_empty());
    }
}
