//! The thread that executes all commands.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::delivery::{Deliveries, Delivery};
use crate::entrypoint::{EntrypointReply, StartGate};
use crate::error::{Errno, ReplyError, SendError};
use crate::ffi::Adopted;
use crate::handle::{Answer, Broadcast, Command, Outgoing};
use crate::id::{LinkId, RequestId, Tag};
use crate::nvec::NvecSet;

/// Executes commands in the order in which they were given, until it is told to shut down. Those
/// that still wait then are dropped, by which their callers learn that the interface is stopped.
pub(crate) fn run(
    library: &Adopted<'_>,
    mut commands: mpsc::Receiver<Command>,
    deliveries: &Arc<Deliveries>,
    gate: &StartGate,
) {
    while let Some(command) = commands.blocking_recv() {
        match command {
            Command::Reply {
                req_id,
                answer,
                done,
            } => {
                let _ = done.send(reply(library, gate, req_id, &answer));
            }
            Command::Send {
                link,
                outgoing,
                done,
            } => {
                // If the caller has gone, this drops the `Delivery`; the message is sent all the
                // same.
                let _ = done.send(send(library, deliveries, link, &outgoing));
            }
            Command::Broadcast { links, nvec, done } => {
                // As above.
                let _ = done.send(broadcast(library, deliveries, &links, &nvec));
            }
            Command::Delivered { link, tag } => delivered(library, link, tag),
            Command::Wake => {}
            Command::Shutdown => break,
        }
        if let Some(req_id) = gate.take_given_up() {
            give_up_start(library, req_id);
        }
    }
}

fn reply(
    library: &Adopted<'_>,
    gate: &StartGate,
    req_id: RequestId,
    answer: &Answer,
) -> Result<(), ReplyError> {
    let result = match answer {
        Answer::Entrypoint(reply) => library.entrypoint_reply(req_id, reply),
        Answer::Again => library.entrypoint_again(req_id),
    };
    if result.is_ok() {
        gate.answered(req_id);
    }
    result.map_err(|errno| ReplyError::new(req_id, errno))
}

fn send(
    library: &Adopted<'_>,
    deliveries: &Arc<Deliveries>,
    link: LinkId,
    outgoing: &Outgoing,
) -> Result<Delivery, SendError> {
    let sending = deliveries.sending([link]);
    let result = match outgoing {
        Outgoing::Nvec(nvec) => library.send_nvec(link, nvec),
        Outgoing::FailureVec(vector) => library.send_failure_vec(link, vector),
        Outgoing::Process(process, status) => library.send_process_event(link, *process, status),
    };
    let tag = result.map_err(|errno| SendError::new(link, errno))?;
    let delivery = sending.sent([(link, tag)]).pop();
    // One tag, one delivery.
    delivery.ok_or(SendError::Stopped)
}

fn broadcast(
    library: &Adopted<'_>,
    deliveries: &Arc<Deliveries>,
    links: &[LinkId],
    nvec: &NvecSet,
) -> Broadcast {
    let sending = deliveries.sending(links.iter().copied());
    let tags = library.broadcast_nvec(links, nvec);
    let sent = tags
        .iter()
        .filter_map(|(link, tag)| Some((*link, (*tag).ok()?)));
    let mut sent = sending.sent(sent).into_iter();
    let result = |(link, tag): (LinkId, Result<Tag, Errno>)| {
        let delivery = tag.map_err(|errno| SendError::new(link, errno));
        // As many deliveries as tags.
        let delivery = delivery.and_then(|_| sent.next().ok_or(SendError::Stopped));
        (link, delivery)
    };
    tags.into_iter().map(result).collect()
}

fn delivered(library: &Adopted<'_>, link: LinkId, tag: Tag) {
    match library.delivered(link, tag) {
        Ok(()) => {}
        Err(Errno::ENOENT) => tracing::debug!(%link, %tag, "delivered on a link that is gone"),
        Err(errno) => tracing::error!(%link, %tag, %errno, "cannot acknowledge a message"),
    }
}

fn give_up_start(library: &Adopted<'_>, req_id: RequestId) {
    match library.entrypoint_reply(req_id, &EntrypointReply::of_nobody()) {
        // Unknown: the user was faster.
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(errno) => tracing::error!(%req_id, %errno, "cannot answer our own entrypoint request"),
    }
}
