//! What the handling of requests says to Motr.

use halink::{Ack, EntrypointReply, Fid, LinkId, Note, ReplyError, RequestId};

use super::outbox::Outbox;

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
}

impl Replies for Outbox {
    type Ack = Ack;

    async fn delivered(&self, ack: Ack) {
        ack.delivered().await;
    }

    async fn entrypoint(
        &self,
        request: RequestId,
        reply: &EntrypointReply,
    ) -> Result<(), ReplyError> {
        self.handle().entrypoint_reply(request, reply).await
    }

    async fn again(&self, request: RequestId) -> Result<(), ReplyError> {
        self.handle().entrypoint_again(request).await
    }

    async fn nvec(&self, link: LinkId, id_of_get: u64, notes: Vec<Note>) {
        self.answer_nvec(link, id_of_get, notes).await;
    }

    async fn retire(&self, process: Fid, why: &str) {
        Outbox::retire(self, process, why).await;
    }

    async fn retire_stopped(&self, link: LinkId, process: Fid) {
        Outbox::retire_stopped(self, link, process).await;
    }
}
