//! Whether Consul keeps a lost node in its catalog long enough to be fenced (`rfc/12-fencing.md`,
//! "Triggers").

use std::time::Duration;

use consul_client::Client;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Between two tries to ask.
const AGAIN: Duration = Duration::from_secs(30);

/// Asks Consul until it answers, and warns if it takes servers that have failed out of the catalog. Ends
/// when it is cancelled.
pub async fn look(consul: Client, cancel: CancellationToken) {
    loop {
        let asked = consul.status();
        let Some(answer) = cancel
            .run_until_cancelled(asked.cleans_up_dead_servers())
            .await
        else {
            return;
        };
        match answer {
            Ok(false) => return cancel.cancelled().await,
            Ok(true) => {
                warn!(
                    "Consul takes a server that has failed out of the catalog, and its node may then \
                     not be fenced: run `consul operator autopilot set-config \
                     -cleanup-dead-servers=false`"
                );
                return cancel.cancelled().await;
            }
            // Without `operator:read` it is never said, and does no harm.
            Err(error) => debug!(%error, "Consul does not say whether it keeps dead servers"),
        }
        let pause = cancel.run_until_cancelled(tokio::time::sleep(AGAIN));
        if pause.await.is_none() {
            return;
        }
    }
}
