//! From replies of Consul to the parts of a snapshot.

use consul_client::{CheckStatus, Error, HealthCheck, Listing, SERF_HEALTH};

use super::{ConfTree, ConfTreeBuilder, Failing, ProcessTable, process_of_service_id};

/// Replies up to this size, in bytes, are decoded where they arrive. Beyond, it would keep a thread
/// of the runtime from everything else for longer than a millisecond or so.
const INLINE_MAX: usize = 64 * 1024;

/// Decodes a listing, a large one beside the runtime.
///
/// # Errors
/// [`Error::Decode`], also when the runtime is being stopped.
pub(crate) async fn decode<T: Send + 'static>(
    listing: Listing,
    decoder: fn(&Listing) -> Result<T, Error>,
) -> Result<T, Error> {
    if listing.size() <= INLINE_MAX {
        return decoder(&listing);
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "it cannot be cancelled, but it only computes, for a time bounded by the size \
                  limit of replies"
    )]
    let task = tokio::task::spawn_blocking(move || decoder(&listing));
    task.await.unwrap_or_else(|error| {
        Err(Error::Decode {
            path: "/v1/kv/".to_owned(),
            reason: error.to_string(),
        })
    })
}

pub(super) fn tree(listing: &Listing) -> Result<ConfTree, Error> {
    build(ConfTree::builder(), listing)
}

pub(super) fn related_tree(listing: &Listing) -> Result<ConfTree, Error> {
    build(ConfTreeBuilder::with_relations(), listing)
}

fn build(mut builder: ConfTreeBuilder, listing: &Listing) -> Result<ConfTree, Error> {
    listing.for_each(|pair| builder.add(pair.key, pair.value))?;
    Ok(builder.build())
}

pub(super) fn table(listing: &Listing) -> Result<ProcessTable, Error> {
    let mut table = ProcessTable::default();
    listing.for_each(|pair| table.add(pair.key, pair.value, pair.modify_index.0))?;
    Ok(table)
}

pub(super) fn failing(checks: &[HealthCheck]) -> Failing {
    let mut failing = Failing::default();
    for check in checks
        .iter()
        .filter(|check| check.status >= CheckStatus::Critical)
    {
        if let Some(process) = process_of_service_id(&check.service_id) {
            let index = failing.processes.entry(process).or_default();
            *index = check.modify_index.0.max(*index);
        } else if check.check_id == SERF_HEALTH {
            let index = failing.nodes.entry(check.node.clone()).or_default();
            *index = check.modify_index.0.max(*index);
        }
    }
    failing
}
