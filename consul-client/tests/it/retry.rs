use std::time::Duration;

use consul_client::{Error, RetryPolicy};
use tokio::time::Instant;

use crate::fake::{Fake, failure, ok};
use crate::harness::{PATIENCE, soon};

const QUICK: RetryPolicy = RetryPolicy {
    min_delay: Duration::from_millis(1),
    max_delay: Duration::from_millis(5),
};

#[tokio::test]
async fn retryable_failures_are_repeated() {
    let fake = Fake::start(vec![
        failure("500 Internal Server Error", "No cluster leader"),
        failure("429 Too Many Requests", ""),
        ok(1, "\"127.0.0.1:8300\""),
    ])
    .await;
    let client = fake.client();
    let deadline = Instant::now() + PATIENCE;
    let leader = QUICK
        .run(deadline, async || client.status().leader().await)
        .await;
    assert_eq!(leader.unwrap().as_deref(), Some("127.0.0.1:8300"));
    assert_eq!(fake.more_requests(), 3);
}

#[tokio::test]
async fn final_failures_are_not() {
    let fake = Fake::start(vec![failure("403 Forbidden", "Permission denied")]).await;
    let client = fake.client();
    let deadline = Instant::now() + PATIENCE;
    let result = QUICK
        .run(deadline, async || client.status().leader().await)
        .await;
    assert!(
        matches!(result, Err(Error::Permission { .. })),
        "{result:?}"
    );
    assert_eq!(fake.more_requests(), 1);
}

#[tokio::test]
async fn the_deadline_ends_it_with_the_last_error() {
    let script = (0..3)
        .map(|_| failure("503 Service Unavailable", "busy"))
        .collect();
    let fake = Fake::start(script).await;
    let client = fake.client();
    let attempts = QUICK.run(Instant::now(), async || client.status().leader().await);
    let result = soon("the deadline", attempts).await;
    assert!(
        matches!(result, Err(Error::Status { status: 503, .. })),
        "{result:?}"
    );
    assert_eq!(fake.more_requests(), 1);
}
