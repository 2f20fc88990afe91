//! Following `fence/` and the nodes of the catalog.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use consul_client::{Client, WatchOptions};
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::cluster::decode;
use crate::fence::FenceView;
use crate::fence::model::{NodeName, keys};

/// After an answer that cannot be read.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The nodes of the catalog with their metadata.
pub(super) type Nodes = BTreeMap<NodeName, BTreeMap<String, String>>;

/// Keeps the view current until `cancel` is cancelled.
pub(super) async fn follow_view(
    consul: Client,
    views: watch::Sender<Arc<FenceView>>,
    cancel: CancellationToken,
) {
    let watch = || {
        consul
            .watch(WatchOptions::default())
            .kv_listing(keys::PREFIX)
    };
    let mut listings = watch();
    let mut malformed = BTreeMap::new();
    loop {
        let item = tokio::select! {
            () = cancel.cancelled() => return,
            item = listings.next() => item,
        };
        match item {
            Some(Ok(listing)) => {
                let read = decode(listing.value, FenceView::parse_listing);
                let view = match cancel.run_until_cancelled(read).await {
                    None => return,
                    Some(Ok(view)) => view,
                    Some(Err(error)) => {
                        // For the watch it was an answer: only a new one gets another without a change.
                        warn!(%error, "an answer about fence/ cannot be read");
                        if cancel.run_until_cancelled(sleep(TRY_AGAIN)).await.is_none() {
                            return;
                        }
                        listings = watch();
                        continue;
                    }
                };
                for (key, why) in &view.malformed {
                    if malformed.get(key) != Some(why) {
                        warn!(
                            key,
                            why, "a record of fencing cannot be read and is left alone"
                        );
                    }
                }
                malformed.clone_from(&view.malformed);
                views.send_replace(Arc::new(view));
            }
            Some(Err(error)) => debug!(%error, "the watch of fence/ has failed"),
            None => return,
        }
    }
}

/// Keeps the nodes current until `cancel` is cancelled.
pub(super) async fn follow_nodes(
    consul: Client,
    nodes: watch::Sender<Arc<Nodes>>,
    cancel: CancellationToken,
) {
    let mut found = consul.watch(WatchOptions::default()).nodes();
    loop {
        let item = tokio::select! {
            () = cancel.cancelled() => return,
            item = found.next() => item,
        };
        match item {
            Some(Ok(found)) => {
                let found = found.value.into_iter();
                // A name that no target can have cannot be fenced; nothing else is lost with it.
                let named = found.filter_map(|node| Some((node.name.parse().ok()?, node.meta)));
                let found: Nodes = named.collect();
                nodes.send_if_modified(|nodes| {
                    let changed = **nodes != found;
                    if changed {
                        *nodes = Arc::new(found);
                    }
                    changed
                });
            }
            Some(Err(error)) => debug!(%error, "the watch of the nodes has failed"),
            None => return,
        }
    }
}
