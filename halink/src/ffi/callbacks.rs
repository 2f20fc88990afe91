//! Callbacks of the library.
//!
//! A callback copies what it is given into values of Rust, hands them over and returns. It takes no
//! lock that is held for longer than a few instructions, and no panic of it reaches C: the panic is
//! counted and logged, and a message whose callback panicked stays undelivered.

use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use motr_sys as sys;

use super::calls::entrypoint_reply;
use super::{Context, message, text};
use crate::convert;
use crate::delivery::DeliveryOutcome;
use crate::entrypoint::{EntrypointReply, EntrypointRequest};
use crate::error::Errno;
use crate::event::{Ack, Event, Received};
use crate::id::{Epoch, LinkId, RequestId, Tag};
use crate::link::Link;

/// The table of callbacks for `context`.
pub(super) fn table(context: *const Context) -> sys::hax_callbacks {
    sys::hax_callbacks {
        ctx: context.cast_mut().cast(),
        entrypoint_request: Some(on_entrypoint_request),
        msg_received: Some(on_msg_received),
        msg_is_delivered: Some(on_msg_is_delivered),
        msg_is_not_delivered: Some(on_msg_is_not_delivered),
        link: Some(on_link),
        log: Some(on_log),
    }
}

/// Runs the body of a callback.
///
/// # Safety
///
/// `ctx` is the context of an interface that is not yet finalised.
unsafe fn guard(ctx: *mut c_void, callback: &'static str, body: impl FnOnce(&Context)) {
    // SAFETY: the context is released only after `fini` has returned (the caller's promise), and
    // shared by all callbacks as `&Context`, which is `Sync`.
    let context = unsafe { &*ctx.cast_const().cast::<Context>() };
    if catch_unwind(AssertUnwindSafe(|| body(context))).is_err() {
        context
            .counters
            .callback_panics
            .fetch_add(1, Ordering::Relaxed);
        // Whatever panicked may have been the subscriber.
        let _ =
            catch_unwind(|| tracing::error!(callback, "a callback of the HA interface panicked"));
    }
}

fn request_id(raw: sys::hax_uint128) -> RequestId {
    RequestId {
        hi: raw.hi,
        lo: raw.lo,
    }
}

unsafe extern "C" fn on_entrypoint_request(
    ctx: *mut c_void,
    request: *const sys::hax_entrypoint_request,
) {
    let body = |context: &Context| {
        // SAFETY: the library lends the request, with its strings, for this call.
        let request = unsafe {
            let raw = &*request;
            EntrypointRequest {
                req_id: request_id(raw.req_id),
                endpoint: text(raw.remote_endpoint),
                process: convert::fid(raw.process),
                git_rev: text(raw.git_rev_id),
                pid: raw.pid,
                first: raw.first,
            }
        };
        if request.process == context.process && context.gate.requested(request.req_id) {
            give_up_start(context, request.req_id);
        } else {
            context.report_request(request);
        }
    };
    // SAFETY: `ctx` is what `init` was given.
    unsafe { guard(ctx, "entrypoint_request", body) }
}

/// Answers our own request without the user, who wants to stop.
fn give_up_start(context: &Context, req_id: RequestId) {
    let Some(bridge) = NonNull::new(context.bridge.load(Ordering::Acquire)) else {
        return;
    };
    // SAFETY: a callback runs, so the interface is not finalised; callbacks may call the library.
    if let Err(errno) = unsafe { entrypoint_reply(bridge, req_id, &EntrypointReply::of_nobody()) } {
        tracing::error!(%req_id, %errno, "cannot answer our own entrypoint request");
    }
}

unsafe extern "C" fn on_msg_received(
    ctx: *mut c_void,
    link: u64,
    tag: u64,
    msg: *const sys::hax_msg,
) {
    let body = |context: &Context| {
        let (link, tag) = (LinkId(link), Tag(tag));
        // SAFETY: the library lends the message, with all it points to, for this call.
        let (raw, message) = unsafe {
            let raw = &*msg;
            (raw, message::decode(raw))
        };
        context.events.send(Event::Message(Received {
            link,
            tag,
            fid: convert::fid(raw.fid),
            source_process: convert::fid(raw.source_process),
            source_service: convert::fid(raw.source_service),
            time: raw.time,
            epoch: Epoch(raw.epoch),
            message,
            ack: Ack::new(
                link,
                tag,
                context.commands.clone(),
                Arc::clone(&context.counters),
            ),
        }));
    };
    // SAFETY: `ctx` is what `init` was given.
    unsafe { guard(ctx, "msg_received", body) }
}

unsafe extern "C" fn on_msg_is_delivered(ctx: *mut c_void, link: u64, tag: u64) {
    let body = |context: &Context| {
        context
            .deliveries
            .report(LinkId(link), Tag(tag), DeliveryOutcome::Delivered);
    };
    // SAFETY: `ctx` is what `init` was given.
    unsafe { guard(ctx, "msg_is_delivered", body) }
}

unsafe extern "C" fn on_msg_is_not_delivered(ctx: *mut c_void, link: u64, tag: u64) {
    let body = |context: &Context| {
        context
            .deliveries
            .report(LinkId(link), Tag(tag), DeliveryOutcome::NotDelivered);
    };
    // SAFETY: `ctx` is what `init` was given.
    unsafe { guard(ctx, "msg_is_not_delivered", body) }
}

unsafe extern "C" fn on_link(ctx: *mut c_void, event: *const sys::hax_link_event) {
    let body = |context: &Context| {
        // SAFETY: the library lends the event, with its string, for this call.
        let (raw, endpoint) = unsafe { (&*event, text((*event).remote_endpoint)) };
        let id = LinkId(raw.link);
        let req_id = request_id(raw.req_id);
        let link = || Link {
            id,
            req_id,
            process: convert::fid(raw.process),
            endpoint,
        };
        match raw.kind {
            sys::hax_link_event_kind::HAX_LINK_CONNECTED => {
                context.events.send(Event::LinkConnected(link()))
            }
            sys::hax_link_event_kind::HAX_LINK_REUSED => {
                context.events.send(Event::LinkReused(link()))
            }
            sys::hax_link_event_kind::HAX_LINK_ABSENT => {
                context.events.send(Event::LinkAbsent { req_id })
            }
            sys::hax_link_event_kind::HAX_LINK_DISCONNECTING => {
                context.events.send(Event::LinkDisconnecting(id));
                disconnect(context, id);
            }
            sys::hax_link_event_kind::HAX_LINK_DISCONNECTED => {
                context.deliveries.link_gone(id);
                context.events.send(Event::LinkDisconnected(id));
            }
            kind => tracing::error!(kind = kind.0, link = %id, "unknown event of a link"),
        }
    };
    // SAFETY: `ctx` is what `init` was given.
    unsafe { guard(ctx, "link", body) }
}

/// Agrees to the end of a link: the library wants it from the callback itself.
fn disconnect(context: &Context, link: LinkId) {
    let bridge = context.bridge.load(Ordering::Acquire);
    if bridge.is_null() {
        return;
    }
    // SAFETY: a callback runs, so the interface is not finalised; callbacks may call the library.
    if let Err(errno) = Errno::check(unsafe { sys::hax_bridge_disconnect(bridge, link.0) }) {
        tracing::error!(%link, %errno, "cannot disconnect");
    }
}

unsafe extern "C" fn on_log(ctx: *mut c_void, level: sys::hax_log_level, line: *const c_char) {
    let body = |_: &Context| {
        // SAFETY: the library lends the string for this call.
        let line = unsafe { text(line) };
        match level {
            sys::hax_log_level::HAX_LOG_ERROR => tracing::error!(target: "ha_link", "{line}"),
            sys::hax_log_level::HAX_LOG_WARN => tracing::warn!(target: "ha_link", "{line}"),
            sys::hax_log_level::HAX_LOG_INFO => tracing::info!(target: "ha_link", "{line}"),
            _ => tracing::debug!(target: "ha_link", "{line}"),
        }
    };
    // SAFETY: `ctx` is what `init` was given.
    unsafe { guard(ctx, "log", body) }
}

#[cfg(test)]
mod tests;
