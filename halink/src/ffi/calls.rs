//! Calls of the library, and which thread may make them.

use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use motr_sys as sys;

use super::{Context, callbacks};
use crate::convert;
use crate::entrypoint::EntrypointReply;
use crate::error::{Errno, Error};
use crate::failure_vec::FailureVec;
use crate::fid::Fid;
use crate::id::{LinkId, RequestId, Tag};
use crate::lifecycle::{Progress, Step};
use crate::nvec::NvecSet;
use crate::process::ProcessStatus;

/// The interface, owned by the thread that made it: the library wants `init`, `start`, `stop` and
/// `fini` from one thread, and the raw pointer makes this type neither `Send` nor `Sync`.
///
/// Dropping it finalises it.
pub(crate) struct Bridge {
    raw: NonNull<sys::hax_bridge>,
    /// From `Arc::into_raw`; the callbacks' until `fini` has returned.
    context: *const Context,
    progress: Progress,
}

impl Bridge {
    pub(crate) fn init(
        node_uuid: Option<&CStr>,
        queue_max: NonZeroU32,
        context: Context,
        progress: Progress,
    ) -> Result<Bridge, Error> {
        let context = Arc::into_raw(Arc::new(context));
        let callbacks = callbacks::table(context);
        let mut raw = ptr::null_mut();
        let uuid = node_uuid.map_or(ptr::null(), CStr::as_ptr);
        // SAFETY: `raw` is a place for the result, `uuid` is null or a string, and `callbacks` is
        // copied by the call. `context` lives until `fini` has returned, see `drop`.
        let result = Errno::check(unsafe { sys::hax_bridge_init(&mut raw, uuid, &callbacks) });
        match (result, NonNull::new(raw)) {
            (Ok(()), Some(raw)) => {
                let bridge = Bridge {
                    raw,
                    context,
                    progress,
                };
                // SAFETY: `context` came from `Arc::into_raw` and is not released yet.
                unsafe { &*context }.set_bridge(raw);
                // SAFETY: the interface is initialised, and this is its thread.
                let rc = unsafe { sys::hax_bridge_set_queue_max(raw.as_ptr(), queue_max.get()) };
                Errno::check(rc).map_err(Error::Init)?;
                bridge.progress.advance(Step::Initialize)?;
                Ok(bridge)
            }
            (result, _) => {
                // SAFETY: `init` has failed, so that C keeps no copy of the pointer; it is released
                // here and nowhere else.
                drop(unsafe { Arc::from_raw(context) });
                Err(match result {
                    Err(Errno::EBUSY) => Error::AlreadyOpen,
                    Err(errno) => Error::Init(errno),
                    Ok(()) => Error::Init(Errno::ENOMEM),
                })
            }
        }
    }

    /// Starts. Blocks until our own entrypoint request has been answered.
    pub(crate) fn start(
        &self,
        endpoint: &CStr,
        process: Fid,
        ha_service: Fid,
        rm_service: Fid,
    ) -> Result<(), Error> {
        self.progress.advance(Step::Start)?;
        let [process, ha, rm] = [process, ha_service, rm_service].map(convert::raw_fid);
        // SAFETY: the interface is initialised and not started (the step was legal), this is the
        // thread that initialised it, and all arguments outlive the call.
        let rc = unsafe {
            sys::hax_bridge_start(self.raw.as_ptr(), endpoint.as_ptr(), &process, &ha, &rm)
        };
        let result = Errno::check(rc);
        if result.is_ok() {
            // SAFETY: from `Arc::into_raw` in `init`, and released in `drop` only.
            unsafe { &*self.context }.started();
        }
        self.progress.advance_start(result)?;
        result.map_err(|errno| Error::Start {
            endpoint: endpoint.to_string_lossy().into_owned(),
            errno,
        })
    }

    /// Stops. No callback comes after it has returned.
    pub(crate) fn stop(&self) -> Result<(), Error> {
        self.progress.advance(Step::Stop)?;
        // SAFETY: the interface is started (the step was legal), and this is the thread that
        // started it.
        unsafe { sys::hax_bridge_stop(self.raw.as_ptr()) };
        self.progress.advance(Step::StopComplete)?;
        Ok(())
    }

    /// The interface as another thread may use it, for as long as this borrow.
    pub(crate) fn remote(&self) -> Remote<'_> {
        Remote {
            raw: self.raw,
            bridge: PhantomData,
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // A started interface is here only if its thread panicked.
        if self.progress.advance(Step::Stop).is_ok() {
            // SAFETY: as in `stop`.
            unsafe { sys::hax_bridge_stop(self.raw.as_ptr()) };
            let _ = self.progress.advance(Step::StopComplete);
        }
        if let Err(error) = self.progress.advance(Step::Finalize) {
            tracing::error!(%error, "the HA interface is left as it is");
            return;
        }
        // SAFETY: the interface is initialised and not started, or stopped (the step was legal), and
        // every borrow of `self`, hence every adopted thread, is gone.
        unsafe { sys::hax_bridge_fini(self.raw.as_ptr()) };
        // SAFETY: from `Arc::into_raw` in `init`; no callback comes after `fini`, and `drop` runs
        // once.
        drop(unsafe { Arc::from_raw(self.context) });
    }
}

/// An interface that a thread can adopt itself to.
pub(crate) struct Remote<'a> {
    raw: NonNull<sys::hax_bridge>,
    bridge: PhantomData<&'a Bridge>,
}

// SAFETY: the only thing that can be done with it is `adopt`, which may be called from any thread
// while the interface exists; the lifetime says that it does.
unsafe impl Send for Remote<'_> {}

impl<'a> Remote<'a> {
    /// Lets the calling thread call the library, until the result is dropped.
    pub(crate) fn adopt(self) -> Result<Adopted<'a>, Errno> {
        let mut thread = ptr::null_mut();
        // SAFETY: the interface exists as long as 'a, and `thread` is a place for the result.
        let rc = unsafe { sys::hax_bridge_thread_adopt(self.raw.as_ptr(), &mut thread) };
        Errno::check(rc)?;
        let thread = NonNull::new(thread).ok_or(Errno::ENOMEM)?;
        Ok(Adopted {
            raw: self.raw,
            thread,
            bridge: PhantomData,
        })
    }
}

/// The calling thread's right to call the library. Neither `Send` nor `Sync`.
pub(crate) struct Adopted<'a> {
    raw: NonNull<sys::hax_bridge>,
    thread: NonNull<sys::hax_thread>,
    bridge: PhantomData<&'a Bridge>,
}

impl Drop for Adopted<'_> {
    fn drop(&mut self) {
        // SAFETY: adopted in `adopt`, on this very thread, and shunned nowhere else.
        unsafe { sys::hax_bridge_thread_shun(self.thread.as_ptr()) };
    }
}

impl Adopted<'_> {
    pub(crate) fn entrypoint_reply(
        &self,
        req_id: RequestId,
        reply: &EntrypointReply,
    ) -> Result<(), Errno> {
        // SAFETY: the interface exists, and this thread is adopted.
        unsafe { entrypoint_reply(self.raw, req_id, reply) }
    }

    /// Answers with EAGAIN.
    pub(crate) fn entrypoint_again(&self, req_id: RequestId) -> Result<(), Errno> {
        let req_id = raw_request_id(req_id);
        let rc = -Errno::EAGAIN.raw();
        let nil = convert::raw_fid(Fid::NIL);
        // SAFETY: the interface exists, this thread is adopted, there are no confds to read, and
        // the other arguments outlive the call.
        Errno::check(unsafe {
            sys::hax_bridge_entrypoint_reply(
                self.raw.as_ptr(),
                &req_id,
                rc,
                0,
                ptr::null(),
                ptr::null(),
                0,
                &nil,
                c"".as_ptr(),
            )
        })
    }

    pub(crate) fn send_nvec(&self, link: LinkId, nvec: &NvecSet) -> Result<Tag, Errno> {
        let notes = convert::raw_notes(&nvec.notes);
        let raw = raw_nvec_set(nvec, &notes);
        let mut tag = 0;
        // SAFETY: the interface exists, this thread is adopted, `raw` names as many notes as there
        // are, and all of it is copied by the call.
        let rc = unsafe { sys::hax_bridge_send_nvec(self.raw.as_ptr(), link.0, &raw, &mut tag) };
        Errno::check(rc).map(|()| Tag(tag))
    }

    /// One message to many links: its tag on each of them, in their order.
    pub(crate) fn broadcast_nvec(
        &self,
        links: &[LinkId],
        nvec: &NvecSet,
    ) -> Vec<(LinkId, Result<Tag, Errno>)> {
        let notes = convert::raw_notes(&nvec.notes);
        let raw = raw_nvec_set(nvec, &notes);
        let to = |link: &LinkId| sys::hax_broadcast_link {
            link: link.0,
            tag: 0,
            rc: 0,
        };
        let mut links: Vec<_> = links.iter().map(to).collect();
        let result = u32::try_from(links.len())
            .map_err(|_| Errno::EINVAL)
            .and_then(|nr| {
                // SAFETY: the interface exists, this thread is adopted, `raw` names as many notes as
                // there are, `links` has `nr` elements, and the message is copied by the call.
                Errno::check(unsafe {
                    sys::hax_bridge_broadcast_nvec(self.raw.as_ptr(), &raw, links.as_mut_ptr(), nr)
                })
            });
        let tag = |sent: sys::hax_broadcast_link| {
            let tag = result
                .and_then(|()| Errno::check(sent.rc))
                .map(|()| Tag(sent.tag));
            (LinkId(sent.link), tag)
        };
        links.into_iter().map(tag).collect()
    }

    pub(crate) fn send_failure_vec(&self, link: LinkId, vector: &FailureVec) -> Result<Tag, Errno> {
        let pool = convert::raw_fid(vector.pool);
        let notes = convert::raw_notes(&vector.notes);
        let nr = u32::try_from(notes.len()).map_err(|_| Errno::EINVAL)?;
        let mut tag = 0;
        // SAFETY: the interface exists, this thread is adopted, the cookie has its two elements and
        // the vector `nr`, and all of it is copied by the call.
        let rc = unsafe {
            sys::hax_bridge_send_failure_vec_rep(
                self.raw.as_ptr(),
                link.0,
                &pool,
                vector.cookie.as_ptr(),
                notes.as_ptr(),
                nr,
                &mut tag,
            )
        };
        Errno::check(rc).map(|()| Tag(tag))
    }

    pub(crate) fn send_process_event(
        &self,
        link: LinkId,
        process: Fid,
        status: &ProcessStatus,
    ) -> Result<Tag, Errno> {
        let process = convert::raw_fid(process);
        let event = convert::raw_process_event(status);
        let mut tag = 0;
        // SAFETY: the interface exists, this thread is adopted, and the arguments are copied.
        let rc = unsafe {
            sys::hax_bridge_send_process_event(
                self.raw.as_ptr(),
                link.0,
                &process,
                &event,
                &mut tag,
            )
        };
        Errno::check(rc).map(|()| Tag(tag))
    }

    pub(crate) fn delivered(&self, link: LinkId, tag: Tag) -> Result<(), Errno> {
        // SAFETY: the interface exists, and this thread is adopted.
        Errno::check(unsafe { sys::hax_bridge_delivered(self.raw.as_ptr(), link.0, tag.0) })
    }
}

/// Answers an entrypoint request with rc 0.
///
/// # Safety
///
/// The interface exists, and the calling thread may call the library.
pub(super) unsafe fn entrypoint_reply(
    bridge: NonNull<sys::hax_bridge>,
    req_id: RequestId,
    reply: &EntrypointReply,
) -> Result<(), Errno> {
    let string = |text: &str| CString::new(text).map_err(|_| Errno::EINVAL);
    let req_id = raw_request_id(req_id);
    let fids: Vec<_> = reply
        .confds
        .iter()
        .map(|confd| convert::raw_fid(confd.fid))
        .collect();
    let endpoints = reply
        .confds
        .iter()
        .map(|confd| string(&confd.endpoint))
        .collect::<Result<Vec<_>, _>>()?;
    let endpoints_raw: Vec<_> = endpoints.iter().map(|endpoint| endpoint.as_ptr()).collect();
    let nr = u32::try_from(fids.len()).map_err(|_| Errno::EINVAL)?;
    let rm = convert::raw_fid(reply.rm);
    let rm_endpoint = string(&reply.rm_endpoint)?;
    // SAFETY: the caller's promise; both arrays have `nr` elements, and all arguments, the strings
    // behind `endpoints_raw` among them, outlive the call.
    Errno::check(unsafe {
        sys::hax_bridge_entrypoint_reply(
            bridge.as_ptr(),
            &req_id,
            0,
            nr,
            fids.as_ptr(),
            endpoints_raw.as_ptr(),
            reply.quorum,
            &rm,
            rm_endpoint.as_ptr(),
        )
    })
}

/// The SET with its notes as C takes them; it points to them.
fn raw_nvec_set(nvec: &NvecSet, notes: &[sys::hax_note]) -> sys::hax_nvec {
    sys::hax_nvec {
        type_: sys::hax_nvec_type::HAX_NVEC_SET.0.into(),
        id_of_get: nvec.id_of_get,
        ignore_same_state: nvec.ignore_same_state.into(),
        nr: notes.len() as u64,
        notes: notes.as_ptr(),
    }
}

fn raw_request_id(req_id: RequestId) -> sys::hax_uint128 {
    sys::hax_uint128 {
        hi: req_id.hi,
        lo: req_id.lo,
    }
}
