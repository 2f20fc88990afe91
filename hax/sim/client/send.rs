//! Messages of every kind that a process sends.

use std::sync::atomic::Ordering;

use halink::{Fid, ProcessEvent, ProcessType, ServiceEvent};
use tokio::sync::{oneshot, watch};

use super::command::{Answer, Command};
use super::{End, SimProcess, State, ended, now};
use crate::sim::link::draft;
use crate::sim::wire::{Body, ConfEvent, Frame, Msg, NVEC_GET, NVEC_SET, Note};

/// A message on its way.
#[derive(Debug)]
pub struct Delivery {
    /// Tag of the message.
    pub tag: u64,
    delivered: oneshot::Receiver<()>,
    state: watch::Receiver<State>,
}

impl Delivery {
    /// Waits until the bridge has delivered the message.
    ///
    /// # Errors
    /// The process ended first.
    pub async fn wait(mut self) -> Result<(), End> {
        match self.delivered.await {
            Ok(()) => Ok(()),
            Err(_) => Err(ended(&mut self.state).await),
        }
    }
}

impl SimProcess {
    /// Sends a message of any kind. Waits while 4,096 messages are not delivered.
    ///
    /// # Errors
    /// The process ended, or the message breaks a limit of 6/WIRE.
    pub async fn send(&self, msg: Msg) -> Result<Delivery, End> {
        self.send_for(msg, None).await
    }

    async fn send_for(&self, msg: Msg, answer: Option<Answer>) -> Result<Delivery, End> {
        let frame = Frame::Msg(msg);
        frame.encode(&mut Vec::new()).map_err(End::Unsendable)?;
        let Frame::Msg(msg) = frame else {
            return Err(End::Closed);
        };
        let Ok(permit) = self.room.acquire().await else {
            return Err(self.ended().await);
        };
        let (accepted, tag) = oneshot::channel();
        let (to, delivered) = oneshot::channel();
        self.command(Command::Send {
            msg: Box::new(msg),
            accepted,
            delivered: to,
            answer,
        })
        .await?;
        // The task gives it back when the message is delivered.
        permit.forget();
        let tag = self.or_end(tag).await?;
        Ok(Delivery {
            tag,
            delivered,
            state: self.state.clone(),
        })
    }

    /// Sends EVENT_PROCESS of the process itself.
    ///
    /// # Errors
    /// As [`SimProcess::send`].
    pub async fn process_event(
        &self,
        event: ProcessEvent,
        kind: ProcessType,
    ) -> Result<Delivery, End> {
        let body = ConfEvent {
            event: event.raw(),
            kind: kind.raw(),
            pid: self.identity.pid,
        };
        self.send(self.draft(self.fid(), Body::Process(body))).await
    }

    /// Sends EVENT_SERVICE; `kind` is Motr's `m0_conf_service_type`, and the fid of a
    /// built-in service is [`Fid::NIL`].
    ///
    /// # Errors
    /// As [`SimProcess::send`].
    pub async fn service_event(
        &self,
        service: Fid,
        event: ServiceEvent,
        kind: u64,
    ) -> Result<Delivery, End> {
        let body = ConfEvent {
            event: event.raw(),
            kind,
            pid: self.identity.pid,
        };
        let body = Body::Service(body);
        self.send(draft(service, self.fid(), service, now(), body))
            .await
    }

    /// Asks for the states of objects and waits for the SET that answers.
    ///
    /// # Errors
    /// As [`SimProcess::send`].
    pub async fn nvec_get(&self, objects: &[Fid]) -> Result<Vec<Note>, End> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let notes = objects
            .iter()
            .map(|&object| Note { object, state: 0 })
            .collect();
        let body = Body::Nvec {
            kind: NVEC_GET,
            id_of_get: id,
            ignore_same_state: 0,
            notes,
        };
        let (to, answer) = oneshot::channel();
        self.send_for(self.draft(Fid::NIL, body), Some(Answer::Get { id, to }))
            .await?;
        self.or_end(answer).await
    }

    /// Tells the bridge states of objects.
    ///
    /// # Errors
    /// As [`SimProcess::send`].
    pub async fn nvec_set(&self, notes: Vec<Note>) -> Result<Delivery, End> {
        let body = Body::Nvec {
            kind: NVEC_SET,
            id_of_get: 0,
            ignore_same_state: 1,
            notes,
        };
        self.send(self.draft(Fid::NIL, body)).await
    }

    /// Asks for the failure vector of a pool and waits for it.
    ///
    /// # Errors
    /// As [`SimProcess::send`].
    pub async fn failure_vec(&self, pool: Fid) -> Result<Vec<Note>, End> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let cookie = [id, self.identity.pid];
        let (to, answer) = oneshot::channel();
        let wanted = Answer::FailureVec { cookie, to };
        let body = Body::FailureVecReq { pool, cookie };
        self.send_for(self.draft(Fid::NIL, body), Some(wanted))
            .await?;
        self.or_end(answer).await
    }

    /// A message that names no source, as most of Motr's do.
    pub fn draft(&self, fid: Fid, body: Body) -> Msg {
        draft(fid, Fid::NIL, Fid::NIL, now(), body)
    }
}
