/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flat C API between hax and Motr's HA interface (m0_halon_interface).
 *
 * bindgen wraps this header and nothing else, so the bindings are the same
 * whichever backend is linked: libmotr, or the embedded implementation in
 * motr-sys/embedded.  No type of Motr crosses this header.
 *
 * Links and received messages are named by numbers, never by pointers: the
 * library asserts (and takes the process down) when it is called for a link or
 * a message that is gone, so bridge.c looks every number up and answers
 * -ENOENT instead of calling the library.
 *
 * Threads
 * - init, start, stop and fini come from one thread, the interface thread.
 * - Every other function may be called from the interface thread, from inside a
 *   callback, or from a thread between hax_bridge_thread_adopt() and
 *   hax_bridge_thread_shun().
 * - Callbacks run on threads of the library, and `link` with kind CONNECTED,
 *   REUSED or ABSENT also on the thread that calls
 *   hax_bridge_entrypoint_reply(), before that call returns.  A callback must
 *   not block: no disk, no network, no lock that is held across such work.
 */
#ifndef HAX_MOTR_SYS_BRIDGE_H
#define HAX_MOTR_SYS_BRIDGE_H

#include <stdbool.h>
#include <stdint.h>

/** Notes in one message at most (M0_HA_STATE_UPDATE_LIMIT in ha/note.h). */
#define HAX_NOTES_MAX 1024
/** Bytes of an endpoint with its final NUL at most (net/ip.h). */
#define HAX_ENDPOINT_MAX 256
/** Confds in one entrypoint reply at most. */
#define HAX_CONFD_MAX 64

/** Fid: m0_fid of fid/fid.h. */
struct hax_fid {
	uint64_t container;
	uint64_t key;
};

/** m0_uint128 of lib/types.h. */
struct hax_uint128 {
	uint64_t hi;
	uint64_t lo;
};

/** One object and its HA state: m0_ha_note of ha/note.h, same memory layout. */
struct hax_note {
	struct hax_fid object;
	/** M0_NC_* of ha/note.h. */
	uint32_t       state;
	uint32_t       reserved;
};

/** M0_HA_MSG_* of ha/msg.h, same numbers. */
enum hax_msg_type {
	HAX_MSG_INVALID         = 0,
	HAX_MSG_STOB_IOQ        = 1,
	HAX_MSG_NVEC            = 2,
	HAX_MSG_FAILURE_VEC_REQ = 3,
	HAX_MSG_FAILURE_VEC_REP = 4,
	HAX_MSG_KEEPALIVE_REQ   = 5,
	HAX_MSG_KEEPALIVE_REP   = 6,
	HAX_MSG_EVENT_PROCESS   = 7,
	HAX_MSG_EVENT_SERVICE   = 8,
	HAX_MSG_EVENT_RPC       = 9,
	HAX_MSG_BE_IO_ERR       = 10,
	HAX_MSG_SNS_ERR         = 11,
};

/** M0_HA_NVEC_* of ha/note.h, same numbers. */
enum hax_nvec_type {
	HAX_NVEC_SET = 0,
	HAX_NVEC_GET = 1,
};

/** M0_HA_MSG_NVEC. */
struct hax_nvec {
	/** HAX_NVEC_SET or HAX_NVEC_GET. */
	uint64_t               type;
	/** Names the GET; the SET that answers it carries the same value. */
	uint64_t               id_of_get;
	/** Non-zero: the receiver wakes waiters of changed objects only. */
	uint64_t               ignore_same_state;
	/** Notes, at most HAX_NOTES_MAX. */
	uint64_t               nr;
	const struct hax_note *notes;
};

/** M0_HA_MSG_STOB_IOQ: a failed I/O of a storage object (stob/ioq_error.h). */
struct hax_stob_ioq_error {
	struct hax_fid conf_sdev;
	struct hax_fid stob_domain;
	struct hax_fid stob;
	int64_t        fd;
	int64_t        opcode;
	int64_t        rc;
	uint64_t       offset;
	uint64_t       size;
	uint32_t       bshift;
};

/** M0_HA_MSG_FAILURE_VEC_REQ and _REP without the vector (ha/failvec.h). */
struct hax_failure_vec {
	struct hax_fid pool;
	/** m0_cookie: {address, generation}.  A reply echoes the request's. */
	uint64_t       cookie[2];
	/** Notes of the vector; 0 in a request. */
	uint32_t       nr;
};

/** M0_HA_MSG_EVENT_PROCESS, M0_HA_MSG_EVENT_SERVICE (conf/ha.h). */
struct hax_conf_event {
	/** M0_CONF_HA_PROCESS_* or M0_CONF_HA_SERVICE_* event. */
	uint64_t event;
	/** Process type, or m0_conf_service_type. */
	uint64_t type;
	/** 0 for a process in the kernel. */
	uint64_t pid;
};

/** M0_HA_MSG_EVENT_RPC (rpc/ha.h). */
struct hax_rpc_event {
	uint64_t attempts;
	uint64_t state;
};

/** M0_HA_MSG_KEEPALIVE_REQ, M0_HA_MSG_KEEPALIVE_REP (motr/keepalive.h). */
struct hax_keepalive {
	struct hax_uint128 id;
	/** 0 in a request. */
	uint64_t           counter;
};

/** M0_HA_MSG_BE_IO_ERR (be/ha.h). */
struct hax_be_io_err {
	uint32_t errcode;
	uint8_t  location;
	uint8_t  io_opcode;
};

/** M0_HA_MSG_SNS_ERR (sns/cm/ha.h). */
struct hax_sns_err {
	uint32_t errcode;
	uint8_t  opcode;
};

/** A received message.  Valid, with everything it points to, in the callback only. */
struct hax_msg {
	/** hax_msg_type; a value outside the enum comes through as it is. */
	uint64_t       type;
	struct hax_fid fid;
	struct hax_fid source_process;
	struct hax_fid source_service;
	/** m0_time_t: nanoseconds. */
	uint64_t       time;
	uint64_t       epoch;
	/** The member that `type` names; none for other types. */
	union {
		struct hax_stob_ioq_error stob_ioq;
		struct hax_nvec           nvec;
		struct hax_failure_vec    failure_vec;
		struct hax_keepalive      keepalive;
		struct hax_conf_event     event;
		struct hax_rpc_event      rpc;
		struct hax_be_io_err      be_io_err;
		struct hax_sns_err        sns_err;
	} u;
};

/** An entrypoint request.  Valid, with its strings, in the callback only. */
struct hax_entrypoint_request {
	struct hax_uint128 req_id;
	const char        *remote_endpoint;
	struct hax_fid     process;
	const char        *git_rev_id;
	uint64_t           pid;
	/** The first request of this incarnation of the process. */
	bool               first;
};

/** What became of a link: the link callbacks of m0_halon_interface_start(). */
enum hax_link_event_kind {
	/**
	 * A new link, made by the reply to `req_id`.  One for which there is no
	 * memory, or room beside 65,536 others, is logged instead, and nothing
	 * of it is reported or acknowledged.
	 */
	HAX_LINK_CONNECTED     = 0,
	/** `req_id` came from a process whose link is alive already. */
	HAX_LINK_REUSED        = 1,
	/** `req_id` came from a process whose link this interface has dropped. */
	HAX_LINK_ABSENT        = 2,
	/** The library drops the link: answer with hax_bridge_disconnect(). */
	HAX_LINK_DISCONNECTING = 3,
	/** The last event of a link: nothing else of it will be reported. */
	HAX_LINK_DISCONNECTED  = 4,
};

struct hax_link_event {
	enum hax_link_event_kind kind;
	/** Number of the link, never used twice, from 1; 0 if ABSENT. */
	uint64_t                 link;
	/** CONNECTED, REUSED, ABSENT: the request; otherwise zero. */
	struct hax_uint128       req_id;
	/** Process at the other end; zero if ABSENT. */
	struct hax_fid           process;
	/** Endpoint of the other end; empty if ABSENT. */
	const char              *remote_endpoint;
};

enum hax_log_level {
	HAX_LOG_ERROR = 1,
	HAX_LOG_WARN  = 2,
	HAX_LOG_INFO  = 3,
	HAX_LOG_DEBUG = 4,
};

/** Where events go.  Every member is set.  `ctx` is passed through. */
struct hax_callbacks {
	void *ctx;
	/** Answer with hax_bridge_entrypoint_reply(), exactly once. */
	void (*entrypoint_request)(void *ctx, const struct hax_entrypoint_request *req);
	/**
	 * Answer with hax_bridge_delivered(), once the message's effect is
	 * durable.  Messages of a link come in the order of sending.  One for
	 * which there is no memory, or for which 65,536 earlier ones of its link
	 * are not delivered, is withheld, and so is every later one of that
	 * link, to keep the order: it is neither reported nor acknowledged, so
	 * that the process keeps it for the next run of the bridge.  A line of
	 * log says so, once for a link.
	 */
	void (*msg_received)(void *ctx, uint64_t link, uint64_t tag, const struct hax_msg *msg);
	/**
	 * Exactly one of the two for each message sent.  It may come before the
	 * call that sent the message has returned its tag.
	 */
	void (*msg_is_delivered)(void *ctx, uint64_t link, uint64_t tag);
	void (*msg_is_not_delivered)(void *ctx, uint64_t link, uint64_t tag);
	void (*link)(void *ctx, const struct hax_link_event *event);
	/** A line of log, without its newline.  From any thread. */
	void (*log)(void *ctx, enum hax_log_level level, const char *text);
};

/** One interface.  There is at most one in a process at a time. */
struct hax_bridge;
/** A thread that was adopted. */
struct hax_thread;

/** "libmotr" or "embedded". */
const char *hax_bridge_backend(void);
/** Version of that backend, for people. */
const char *hax_bridge_version(void);

/** A link that a broadcast goes to, and what became of the message there. */
struct hax_broadcast_link {
	/** In. */
	uint64_t link;
	/** Out: of the message, if rc is 0. */
	uint64_t tag;
	/** Out: as of hax_bridge_send_nvec() for this link. */
	int      rc;
};

/**
 * Says where the library may leave files: trace files of 16 MiB, one for each
 * run.  It sets environment variables: before init, and while the process has
 * one thread.
 *
 * @param trace_dir  a directory that exists
 * @return 0; -EINVAL; -ENOMEM
 */
int hax_bridge_prepare(const char *trace_dir);

/**
 * Initialises the library for this process.
 *
 * @param node_uuid  textual UUID of the node, or NULL for none
 * @param callbacks  copied
 * @return 0; -EBUSY if an interface exists; -EINVAL; -ENOMEM; what the library says
 */
int hax_bridge_init(struct hax_bridge **out, const char *node_uuid,
		    const struct hax_callbacks *callbacks);

/**
 * Bounds what is received over all links and not yet delivered; before start.
 * The embedded backend stops reading links at the bound (rfc/6-wire.md);
 * libmotr has no flow control and ignores it.
 *
 * @param max  messages; one with more than 2 KiB of content counts as several
 * @return 0; -EINVAL; -EALREADY: started
 */
int hax_bridge_set_queue_max(struct hax_bridge *b, uint32_t max);

/**
 * Listens on `endpoint` and connects the process to itself.  Blocks until the
 * entrypoint request of this very process has been answered with rc 0: answer
 * it from the callback, or from a thread adopted before.
 *
 * @return 0 or a negative errno; after an error the interface can be started
 *         again or finalised.  -EINVAL: the endpoint has no form of the backend;
 *         -EPROTONOSUPPORT: libmotr lacks the transport that it needs;
 *         -EALREADY: it is started, and stays so
 */
int hax_bridge_start(struct hax_bridge *b, const char *endpoint,
		     const struct hax_fid *process,
		     const struct hax_fid *ha_service,
		     const struct hax_fid *rm_service);

/**
 * Stops.  Entrypoint requests not answered yet are answered with -EAGAIN, which
 * may still connect links.  Our own STOPPING and STOPPED events are reported, every message sent
 * and not yet delivered is reported as not delivered, every link as
 * disconnected; no callback runs after it returns.
 */
void hax_bridge_stop(struct hax_bridge *b);

/** Frees everything.  The interface is stopped, or was never started. */
void hax_bridge_fini(struct hax_bridge *b);

/** Lets the calling thread call the library, until shun. */
int  hax_bridge_thread_adopt(struct hax_bridge *b, struct hax_thread **out);
void hax_bridge_thread_shun(struct hax_thread *thread);

/**
 * Answers an entrypoint request.
 *
 * @param rc  0, or a negative errno, of which the process learns only that it
 *            must ask again, which it does at once: pace such replies
 * @return 0; -ENOENT: unknown or answered already; -EINVAL: too many confds, or
 *         an endpoint too long
 */
int hax_bridge_entrypoint_reply(struct hax_bridge *b,
				const struct hax_uint128 *req_id, int rc,
				uint32_t confd_nr,
				const struct hax_fid *confd_fids,
				const char *const *confd_endpoints,
				uint32_t confd_quorum,
				const struct hax_fid *rm_fid,
				const char *rm_endpoint);

/*
 * Sending.  The message is copied.  Each returns 0 and sets *tag;
 * -ENOENT: the link is gone or going; -EINVAL: bad argument; -ENOMEM;
 * -ENOBUFS: the peer has left too many messages undelivered.
 */
int hax_bridge_send_nvec(struct hax_bridge *b, uint64_t link,
			 const struct hax_nvec *nvec, uint64_t *tag);
int hax_bridge_send_failure_vec_rep(struct hax_bridge *b, uint64_t link,
				    const struct hax_fid *pool,
				    const uint64_t cookie[2],
				    const struct hax_note *notes, uint32_t nr,
				    uint64_t *tag);
int hax_bridge_send_process_event(struct hax_bridge *b, uint64_t link,
				  const struct hax_fid *process,
				  const struct hax_conf_event *event,
				  uint64_t *tag);

/**
 * hax_bridge_send_nvec() on each of `nr` links, in this order.  The message is
 * made once, with one time.  A link that it cannot be sent on keeps it from no
 * other.
 *
 * @return 0: see the rc of each link; -EINVAL; -ENOMEM: it was sent on none
 */
int hax_bridge_broadcast_nvec(struct hax_bridge *b,
			      const struct hax_nvec *nvec,
			      struct hax_broadcast_link *to, uint32_t nr);

/**
 * The peer need not send the message again.  Once for each message, in any order.
 *
 * @return 0; -ENOENT: unknown, delivered already, or its link is gone or going
 */
int hax_bridge_delivered(struct hax_bridge *b, uint64_t link, uint64_t tag);

/**
 * Agrees to the end of a link that is DISCONNECTING; nothing can be sent or
 * delivered on it from here on.  May be called from the `link` callback.
 *
 * @return 0; -ENOENT: unknown or gone; -EINVAL: the link is not disconnecting;
 *         -EALREADY
 */
int hax_bridge_disconnect(struct hax_bridge *b, uint64_t link);

#endif /* HAX_MOTR_SYS_BRIDGE_H */
