//! What the handling of requests says to Motr.

use halink::{Ack, EntrypointReply, Fid, LinkId, Note, ReplyError, RequestId};

use super::lane::Lane;
use super::outbox::Outbox;
use super::state_tree::Written;

/// Motr, as the handling of requests sees it.
pub trait Replies: Send + Sync + 'static {
    /// What acknowledges a message. Dropped, it leaves the message unacknowledged.
    type Ack: Send + Sync + 'static;

    /// Acknowledges a message.
    fn delivered(&self, ack: Self::Ack) -> impl Future<Output = ()> + Send;

    /// Answers an entrypoint request.
    fn entrypoint(
        &self,
        request: RequestId,
        reply: &EntrypointReply,
    ) -> impl Future<Output = Result<(), ReplyError>> + Send;

    /// Answers an entrypoint request with EAGAIN.
    fn again(&self, request: RequestId) -> impl Future<Output = Result<(), ReplyError>> + Send;

    /// Answers an NVEC GET.
    fn nvec(
        &self,
        link: LinkId,
        id_of_get: u64,
        notes: Vec<Note>,
    ) -> impl Future<Output = ()> + Send;

    /// Drops every link a process has now.
    fn retire(&self, process: Fid, why: &str) -> impl Future<Output = ()> + Send;

    /// Drops the link of a process that has stopped, in time.
    fn retire_stopped(&self, link: LinkId, process: Fid) -> impl Future<Output = ()> + Send;

    /// Tells what came of a status that has been written.
    fn tell(&self, process: Fid, written: Written) -> impl Future<Output = ()> + Send;
}

/// The links of the bridge.
#[derive(Debug, Clone)]
pub struct Motr {
    /// Replies.
    pub outbox: Outbox,
    /// Broadcasts.
    pub lane: Lane,
}

impl Replies for Motr {
    type Ack = Ack;

    async fn delivered(&self, ack: Ack) {
        ack.delivered().await;
    }

    async fn entrypoint(
        &self,
        request: RequestId,
        reply: &EntrypointReply,
    ) -> Result<(), ReplyError> {
        self.outbox.handle().entrypoint_reply(request, reply).await
    }

    async fn again(&self, request: RequestId) -> Result<(), ReplyError> {
        self.outbox.handle().entrypoint_again(request).await
    }

    async fn nvec(&self, link: LinkId, id_of_get: u64, notes: Vec<Note>) {
        self.outbox.answer_nvec(link, id_of_get, notes).await;
    }

    async fn retire(&self, process: Fid, why: &str) {
        self.outbox.retire(process, why).await;
    }

    async fn retire_stopped(&self, link: LinkId, process: Fid) {
        self.outbox.retire_stopped(link, process).await;
    }

    async fn tell(&self, process: Fid, written: Written) {
        self.lane.written(process, written).await;
    }
}
