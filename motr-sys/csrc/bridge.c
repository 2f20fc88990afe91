/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bridge.h on top of m0_halon_interface.  The only file that includes Motr's
 * headers and calls the library; it is the same for every backend.
 *
 * The library trusts its caller: a call for a link or a message that is gone
 * is an assertion there.  So every link and every undelivered message is kept
 * here, and each call first takes a reference to the link:
 *
 * - `lock` protects everything in struct hax_bridge and is never held across a
 *   call into the library or a callback, because the library runs callbacks
 *   inside its calls;
 * - a link is given back to the library (m0_halon_interface_disconnect) once
 *   the user has agreed and the last reference is dropped, by whoever drops it;
 * - a message leaves the table before the library hears that it is delivered.
 */
#include "bridge.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conf/ha.h"
#include "fid/fid.h"
#include "ha/halon/interface.h"
#include "ha/link.h"
#include "ha/msg.h"
#include "ha/note.h"
#include "lib/thread.h"
#include "lib/types.h"

#include "backend.h"
#include "map.h"

#ifndef HAX_BACKEND
#error "HAX_BACKEND is the name of the backend, a string: see build.rs"
#endif
#ifndef HAX_BACKEND_VERSION
#error "HAX_BACKEND_VERSION is the version of the backend, a string: see build.rs"
#endif

enum {
	/** Links alive; every incarnation of a process leaves one behind. */
	LINKS_MAX    = 65536,
	/** Entrypoint requests not answered yet. */
	REQUESTS_MAX = 131072,
	/** Messages received and not yet delivered, of one link. */
	RECEIVED_MAX = 65536,
	/** Messages sent and not yet delivered, of one link. */
	SENT_MAX     = 1024,
	LOG_LINE_MAX = 512,
};

_Static_assert(sizeof(struct hax_note) == sizeof(struct m0_ha_note),
	       "hax_note and m0_ha_note are one layout");
_Static_assert(offsetof(struct hax_note, object) ==
	       offsetof(struct m0_ha_note, no_id), "object");
_Static_assert(offsetof(struct hax_note, state) ==
	       offsetof(struct m0_ha_note, no_state), "state");
_Static_assert(sizeof(struct hax_fid) == sizeof(struct m0_fid) &&
	       offsetof(struct hax_fid, container) ==
	       offsetof(struct m0_fid, f_container) &&
	       offsetof(struct hax_fid, key) == offsetof(struct m0_fid, f_key),
	       "hax_fid and m0_fid are one layout");
_Static_assert(HAX_NOTES_MAX == M0_HA_STATE_UPDATE_LIMIT, "notes in a message");
_Static_assert(HAX_ENDPOINT_MAX > M0_NET_IP_STRLEN_MAX, "endpoint");
_Static_assert((int)HAX_MSG_STOB_IOQ == (int)M0_HA_MSG_STOB_IOQ &&
	       (int)HAX_MSG_NVEC == (int)M0_HA_MSG_NVEC &&
	       (int)HAX_MSG_FAILURE_VEC_REQ == (int)M0_HA_MSG_FAILURE_VEC_REQ &&
	       (int)HAX_MSG_FAILURE_VEC_REP == (int)M0_HA_MSG_FAILURE_VEC_REP &&
	       (int)HAX_MSG_KEEPALIVE_REQ == (int)M0_HA_MSG_KEEPALIVE_REQ &&
	       (int)HAX_MSG_KEEPALIVE_REP == (int)M0_HA_MSG_KEEPALIVE_REP &&
	       (int)HAX_MSG_EVENT_PROCESS == (int)M0_HA_MSG_EVENT_PROCESS &&
	       (int)HAX_MSG_EVENT_SERVICE == (int)M0_HA_MSG_EVENT_SERVICE &&
	       (int)HAX_MSG_EVENT_RPC == (int)M0_HA_MSG_EVENT_RPC &&
	       (int)HAX_MSG_BE_IO_ERR == (int)M0_HA_MSG_BE_IO_ERR &&
	       (int)HAX_MSG_SNS_ERR == (int)M0_HA_MSG_SNS_ERR,
	       "message types");
_Static_assert((int)HAX_NVEC_SET == (int)M0_HA_NVEC_SET &&
	       (int)HAX_NVEC_GET == (int)M0_HA_NVEC_GET, "nvec types");

enum link_state {
	/** Connected. */
	LINK_ACTIVE,
	/** The library wants to drop it; it can still be used. */
	LINK_DISCONNECTING,
	/** The user has agreed: no new reference is taken. */
	LINK_LEAVING,
};

struct link {
	struct hax_map_node by_number;
	struct hax_map_node by_pointer;
	uint64_t            number;
	struct m0_ha_link  *hl;
	enum link_state     state;
	/** m0_halon_interface_disconnect() has been called. */
	bool                disconnected;
	/** Out of the tables: freed with the last reference. */
	bool                gone;
	/** Calls of the library under way for this link. */
	uint32_t            refs;
	/** Messages sent, of which the library has not reported the end. */
	uint32_t            sent;
	/** struct received, by tag. */
	struct hax_map      received;
	struct hax_fid      process;
	char                endpoint[HAX_ENDPOINT_MAX];
};

/** A message that the user has not delivered yet. */
struct received {
	struct hax_map_node     by_tag;
	const struct m0_ha_msg *msg;
};

/** An entrypoint request that has not been answered yet. */
struct request {
	struct hax_map_node by_id;
	struct m0_uint128   id;
	/** The answer is on its way into the library. */
	bool                replying;
	struct hax_fid      process;
	char                endpoint[HAX_ENDPOINT_MAX];
};

struct hax_bridge {
	struct m0_halon_interface *hi;
	struct hax_callbacks       cb;
	pthread_mutex_t            lock;
	/** `calls` has become 0. */
	pthread_cond_t             idle;
	/** Calls of the library under way, besides start and stop. */
	uint64_t                   calls;
	bool                       stopping;
	struct hax_fid             process;
	struct hax_map             links;
	struct hax_map             pointers;
	struct hax_map             requests;
};

struct hax_thread {
	struct m0_thread thread;
};

/*
 * The library's callbacks carry nothing of ours, and it allows one interface
 * in a process: `instance` is set before the library can call back and cleared
 * after it has stopped.
 */
static pthread_mutex_t    instance_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hax_bridge *instance;
/* Goes on over fini and init, so that a number is never used twice. */
static uint64_t           link_number_last;

__attribute__((format(printf, 3, 4)))
static void say(struct hax_bridge *b, enum hax_log_level level,
		const char *fmt, ...)
{
	char    line[LOG_LINE_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof line, fmt, args);
	va_end(args);
	b->cb.log(b->cb.ctx, level, line);
}

static void backend_log(void *ctx, int level, const char *text)
{
	struct hax_bridge *b = ctx;

	b->cb.log(b->cb.ctx, (enum hax_log_level)level, text);
}

static struct hax_fid fid_in(const struct m0_fid *fid)
{
	return (struct hax_fid){ fid->f_container, fid->f_key };
}

static struct m0_fid fid_out(const struct hax_fid *fid)
{
	return (struct m0_fid){ .f_container = fid->container,
				.f_key = fid->key };
}

/* Links, messages and requests: with b->lock held. */

static struct link *link_by_number(struct hax_bridge *b, uint64_t number)
{
	struct hax_map_node *node = hax_map_find(&b->links, number);

	return node == NULL ? NULL
			    : HAX_CONTAINER_OF(node, struct link, by_number);
}

static struct link *link_by_pointer(struct hax_bridge *b,
				    const struct m0_ha_link *hl)
{
	struct hax_map_node *node = hax_map_find(&b->pointers, (uintptr_t)hl);

	return node == NULL ? NULL
			    : HAX_CONTAINER_OF(node, struct link, by_pointer);
}

static void link_free(struct link *link)
{
	struct hax_map_node *node;

	while ((node = hax_map_any(&link->received)) != NULL) {
		hax_map_remove(&link->received, node);
		free(HAX_CONTAINER_OF(node, struct received, by_tag));
	}
	hax_map_fini(&link->received);
	free(link);
}

static void link_get(struct hax_bridge *b, struct link *link)
{
	link->refs++;
	b->calls++;
}

/* Drops and takes the lock again when the link has to be given back. */
static void link_put(struct hax_bridge *b, struct link *link)
{
	if (link->refs == 1 && link->state == LINK_LEAVING &&
	    !link->disconnected && !link->gone) {
		struct m0_ha_link *hl = link->hl;

		link->disconnected = true;
		pthread_mutex_unlock(&b->lock);
		m0_halon_interface_disconnect(b->hi, hl);
		pthread_mutex_lock(&b->lock);
	}
	if (--link->refs == 0 && link->gone)
		link_free(link);
	if (--b->calls == 0)
		pthread_cond_broadcast(&b->idle);
}

static int link_add(struct hax_bridge *b, struct link *link)
{
	int rc;

	if (b->links.nr >= LINKS_MAX)
		return -ENOSPC;
	link->number = link_number_last + 1;
	rc = hax_map_insert(&b->links, &link->by_number, link->number);
	if (rc != 0)
		return rc;
	rc = hax_map_insert(&b->pointers, &link->by_pointer,
			    (uintptr_t)link->hl);
	if (rc != 0) {
		hax_map_remove(&b->links, &link->by_number);
		return rc;
	}
	link_number_last++;
	return 0;
}

/* The caller has a reference, which keeps the memory. */
static void link_del(struct hax_bridge *b, struct link *link)
{
	hax_map_remove(&b->links, &link->by_number);
	hax_map_remove(&b->pointers, &link->by_pointer);
	link->gone = true;
}

static uint64_t request_key(const struct m0_uint128 *id)
{
	return id->u_lo ^ (id->u_hi * UINT64_C(0x9e3779b97f4a7c15));
}

static struct request *request_find(struct hax_bridge *b,
				    const struct m0_uint128 *id)
{
	struct hax_map_node *node = hax_map_find(&b->requests, request_key(id));

	for (; node != NULL; node = hax_map_same(node)) {
		struct request *req =
			HAX_CONTAINER_OF(node, struct request, by_id);

		if (req->id.u_hi == id->u_hi && req->id.u_lo == id->u_lo)
			return req;
	}
	return NULL;
}

static void request_del(struct hax_bridge *b, struct request *req)
{
	hax_map_remove(&b->requests, &req->by_id);
	free(req);
}

/* Callbacks of the library. */

static void reply_again(struct hax_bridge *b, const struct m0_uint128 *id)
{
	m0_halon_interface_entrypoint_reply(b->hi, id, -EAGAIN, 0, NULL, NULL,
					    0, NULL, NULL);
}

static void on_entrypoint_request(struct m0_halon_interface *hi,
				  const struct m0_uint128 *req_id,
				  const char *remote_rpc_endpoint,
				  const struct m0_fid *process_fid,
				  const char *git_rev_id, uint64_t pid,
				  bool first_request)
{
	struct hax_bridge            *b = instance;
	struct request               *req = calloc(1, sizeof *req);
	struct hax_entrypoint_request up;
	int                           rc = req == NULL ? -ENOMEM : 0;
	bool                          stopping;

	(void)hi;
	if (remote_rpc_endpoint == NULL)
		remote_rpc_endpoint = "";
	pthread_mutex_lock(&b->lock);
	stopping = b->stopping;
	if (stopping)
		rc = -ESHUTDOWN;
	else if (b->requests.nr >= REQUESTS_MAX)
		rc = -ENOSPC;
	if (rc == 0) {
		req->id = *req_id;
		req->process = fid_in(process_fid);
		snprintf(req->endpoint, sizeof req->endpoint, "%s",
			 remote_rpc_endpoint);
		rc = hax_map_insert(&b->requests, &req->by_id,
				    request_key(req_id));
	}
	pthread_mutex_unlock(&b->lock);
	if (rc != 0) {
		free(req);
		if (!stopping)
			say(b, HAX_LOG_ERROR, "entrypoint request of %s is "
			    "turned away: %s", remote_rpc_endpoint,
			    strerror(-rc));
		reply_again(b, req_id);
		return;
	}
	up = (struct hax_entrypoint_request){
		.req_id          = { req_id->u_hi, req_id->u_lo },
		.remote_endpoint = remote_rpc_endpoint,
		.process         = fid_in(process_fid),
		.git_rev_id      = git_rev_id == NULL ? "" : git_rev_id,
		.pid             = pid,
		.first           = first_request,
	};
	b->cb.entrypoint_request(b->cb.ctx, &up);
}

static uint32_t notes_nr(struct hax_bridge *b, uint64_t nr)
{
	if (nr <= HAX_NOTES_MAX)
		return (uint32_t)nr;
	say(b, HAX_LOG_WARN, "message claims %llu notes: %d are taken",
	    (unsigned long long)nr, HAX_NOTES_MAX);
	return HAX_NOTES_MAX;
}

static void msg_in(struct hax_bridge *b, const struct m0_ha_msg *msg,
		   struct hax_msg *up)
{
	const struct m0_ha_msg_data *d = &msg->hm_data;

	*up = (struct hax_msg){
		.type           = d->hed_type,
		.fid            = fid_in(&msg->hm_fid),
		.source_process = fid_in(&msg->hm_source_process),
		.source_service = fid_in(&msg->hm_source_service),
		.time           = msg->hm_time,
		.epoch          = msg->hm_epoch,
	};
	switch (d->hed_type) {
	case M0_HA_MSG_STOB_IOQ: {
		const struct m0_stob_ioq_error *e = &d->u.hed_stob_ioq;

		up->u.stob_ioq = (struct hax_stob_ioq_error){
			.conf_sdev   = fid_in(&e->sie_conf_sdev),
			.stob_domain = fid_in(&e->sie_stob_id.si_domain_fid),
			.stob        = fid_in(&e->sie_stob_id.si_fid),
			.fd          = e->sie_fd,
			.opcode      = e->sie_opcode,
			.rc          = e->sie_rc,
			.offset      = e->sie_offset,
			.size        = e->sie_size,
			.bshift      = e->sie_bshift,
		};
		break;
	}
	case M0_HA_MSG_NVEC: {
		const struct m0_ha_msg_nvec *n = &d->u.hed_nvec;

		up->u.nvec = (struct hax_nvec){
			.type              = n->hmnv_type,
			.id_of_get         = n->hmnv_id_of_get,
			.ignore_same_state = n->hmnv_ignore_same_state,
			.nr                = notes_nr(b, n->hmnv_nr),
			.notes             = (const struct hax_note *)
						n->hmnv_arr.hmna_arr,
		};
		break;
	}
	case M0_HA_MSG_FAILURE_VEC_REQ: {
		const struct m0_ha_msg_failure_vec_req *r = &d->u.hed_fvec_req;

		up->u.failure_vec = (struct hax_failure_vec){
			.pool   = fid_in(&r->mfq_pool),
			.cookie = { r->mfq_cookie.co_addr,
				    r->mfq_cookie.co_generation },
		};
		break;
	}
	case M0_HA_MSG_FAILURE_VEC_REP: {
		const struct m0_ha_msg_failure_vec_rep *r = &d->u.hed_fvec_rep;

		up->u.failure_vec = (struct hax_failure_vec){
			.pool   = fid_in(&r->mfp_pool),
			.cookie = { r->mfp_cookie.co_addr,
				    r->mfp_cookie.co_generation },
			.nr     = notes_nr(b, r->mfp_nr),
		};
		break;
	}
	case M0_HA_MSG_KEEPALIVE_REQ:
		up->u.keepalive.id = (struct hax_uint128){
			d->u.hed_keepalive_req.kaq_id.u_hi,
			d->u.hed_keepalive_req.kaq_id.u_lo };
		break;
	case M0_HA_MSG_KEEPALIVE_REP:
		up->u.keepalive = (struct hax_keepalive){
			.id = { d->u.hed_keepalive_rep.kap_id.u_hi,
				d->u.hed_keepalive_rep.kap_id.u_lo },
			.counter = d->u.hed_keepalive_rep.kap_counter,
		};
		break;
	case M0_HA_MSG_EVENT_PROCESS:
		up->u.event = (struct hax_conf_event){
			.event = d->u.hed_event_process.chp_event,
			.type  = d->u.hed_event_process.chp_type,
			.pid   = d->u.hed_event_process.chp_pid,
		};
		break;
	case M0_HA_MSG_EVENT_SERVICE:
		up->u.event = (struct hax_conf_event){
			.event = d->u.hed_event_service.chs_event,
			.type  = d->u.hed_event_service.chs_type,
			.pid   = d->u.hed_event_service.chs_pid,
		};
		break;
	case M0_HA_MSG_EVENT_RPC:
		up->u.rpc = (struct hax_rpc_event){
			.attempts = d->u.hed_event_rpc.hmr_attempts,
			.state    = d->u.hed_event_rpc.hmr_state,
		};
		break;
	case M0_HA_MSG_BE_IO_ERR:
		up->u.be_io_err = (struct hax_be_io_err){
			.errcode   = d->u.hed_be_io_err.ber_errcode,
			.location  = d->u.hed_be_io_err.ber_location,
			.io_opcode = d->u.hed_be_io_err.ber_io_opcode,
		};
		break;
	case M0_HA_MSG_SNS_ERR:
		up->u.sns_err = (struct hax_sns_err){
			.errcode = d->u.hed_ha_sns_err.hse_errcode,
			.opcode  = d->u.hed_ha_sns_err.hse_opcode,
		};
		break;
	default:
		break;
	}
}

static void on_msg_received(struct m0_halon_interface *hi,
			    struct m0_ha_link *hl, const struct m0_ha_msg *msg,
			    uint64_t tag)
{
	struct hax_bridge *b = instance;
	struct received   *rec = calloc(1, sizeof *rec);
	struct link       *link;
	struct hax_msg     up;
	uint64_t           number = 0;
	int                rc = rec == NULL ? -ENOMEM : 0;

	pthread_mutex_lock(&b->lock);
	link = link_by_pointer(b, hl);
	if (link == NULL)
		rc = -ENOENT;
	else if (link->received.nr >= RECEIVED_MAX)
		rc = -ENOSPC;
	if (rc == 0) {
		number = link->number;
		rec->msg = msg;
		if (hax_map_find(&link->received, tag) != NULL)
			rc = -EEXIST;
		else
			rc = hax_map_insert(&link->received, &rec->by_tag, tag);
	}
	pthread_mutex_unlock(&b->lock);
	if (rc != 0) {
		/* A message nobody can name again would stay for ever. */
		free(rec);
		say(b, HAX_LOG_ERROR, "message %llu of link %llu is dropped: %s",
		    (unsigned long long)tag, (unsigned long long)number,
		    strerror(-rc));
		m0_halon_interface_delivered(hi, hl, msg);
		return;
	}
	msg_in(b, msg, &up);
	b->cb.msg_received(b->cb.ctx, number, tag, &up);
}

static void sent_end(struct m0_ha_link *hl, uint64_t tag,
		     void (*report)(void *ctx, uint64_t link, uint64_t tag))
{
	struct hax_bridge *b = instance;
	struct link       *link;
	uint64_t           number = 0;

	pthread_mutex_lock(&b->lock);
	link = link_by_pointer(b, hl);
	if (link != NULL) {
		number = link->number;
		if (link->sent > 0)
			link->sent--;
	}
	pthread_mutex_unlock(&b->lock);
	if (number != 0)
		report(b->cb.ctx, number, tag);
}

static void on_msg_is_delivered(struct m0_halon_interface *hi,
				struct m0_ha_link *hl, uint64_t tag)
{
	(void)hi;
	sent_end(hl, tag, instance->cb.msg_is_delivered);
}

static void on_msg_is_not_delivered(struct m0_halon_interface *hi,
				    struct m0_ha_link *hl, uint64_t tag)
{
	(void)hi;
	sent_end(hl, tag, instance->cb.msg_is_not_delivered);
}

/* The caller has a reference to the link, or is the only one to know it. */
static void report_link(struct hax_bridge *b, enum hax_link_event_kind kind,
			const struct link *link,
			const struct m0_uint128 *req_id)
{
	struct hax_link_event event = {
		.kind            = kind,
		.link            = link == NULL ? 0 : link->number,
		.remote_endpoint = link == NULL ? "" : link->endpoint,
	};

	if (link != NULL)
		event.process = link->process;
	if (req_id != NULL)
		event.req_id = (struct hax_uint128){ req_id->u_hi,
						     req_id->u_lo };
	b->cb.link(b->cb.ctx, &event);
}

static void link_end(struct hax_bridge *b, struct m0_ha_link *hl)
{
	struct link *link;

	pthread_mutex_lock(&b->lock);
	link = link_by_pointer(b, hl);
	if (link != NULL) {
		link_get(b, link);
		link_del(b, link);
	}
	pthread_mutex_unlock(&b->lock);
	if (link == NULL)
		return;
	report_link(b, HAX_LINK_DISCONNECTED, link, NULL);
	pthread_mutex_lock(&b->lock);
	link_put(b, link);
	pthread_mutex_unlock(&b->lock);
}

static void on_link_connected(struct m0_halon_interface *hi,
			      const struct m0_uint128 *req_id,
			      struct m0_ha_link *hl)
{
	struct hax_bridge *b = instance;
	struct link       *link = calloc(1, sizeof *link);
	struct request    *req;
	bool               known;
	int                rc = -ENOMEM;

	(void)hi;
	pthread_mutex_lock(&b->lock);
	known = link_by_pointer(b, hl) != NULL;
	pthread_mutex_unlock(&b->lock);
	if (known) {
		say(b, HAX_LOG_WARN, "a link ended without being reported");
		link_end(b, hl);
	}
	if (link != NULL) {
		link->hl = hl;
		m0_ha_link_rpc_endpoint(hl, link->endpoint,
					sizeof link->endpoint);
		link->endpoint[sizeof link->endpoint - 1] = '\0';
		pthread_mutex_lock(&b->lock);
		req = request_find(b, req_id);
		if (req != NULL) {
			link->process = req->process;
			if (req->endpoint[0] != '\0')
				memcpy(link->endpoint, req->endpoint,
				       sizeof link->endpoint);
		}
		rc = link_add(b, link);
		if (rc == 0)
			link_get(b, link);
		pthread_mutex_unlock(&b->lock);
	}
	if (rc != 0) {
		say(b, HAX_LOG_ERROR, "link of %s cannot be kept: %s",
		    link == NULL ? "a process" : link->endpoint, strerror(-rc));
		free(link);
		return;
	}
	report_link(b, HAX_LINK_CONNECTED, link, req_id);
	pthread_mutex_lock(&b->lock);
	link_put(b, link);
	pthread_mutex_unlock(&b->lock);
}

static void on_link_reused(struct m0_halon_interface *hi,
			   const struct m0_uint128 *req_id,
			   struct m0_ha_link *hl)
{
	struct hax_bridge *b = instance;
	struct link       *link;

	(void)hi;
	pthread_mutex_lock(&b->lock);
	link = link_by_pointer(b, hl);
	if (link != NULL)
		link_get(b, link);
	pthread_mutex_unlock(&b->lock);
	if (link == NULL) {
		say(b, HAX_LOG_WARN, "a link that is not kept was reused");
		return;
	}
	report_link(b, HAX_LINK_REUSED, link, req_id);
	pthread_mutex_lock(&b->lock);
	link_put(b, link);
	pthread_mutex_unlock(&b->lock);
}

static void on_link_absent(struct m0_halon_interface *hi,
			   const struct m0_uint128 *req_id)
{
	(void)hi;
	report_link(instance, HAX_LINK_ABSENT, NULL, req_id);
}

static void on_link_is_disconnecting(struct m0_halon_interface *hi,
				     struct m0_ha_link *hl)
{
	struct hax_bridge *b = instance;
	struct link       *link;

	pthread_mutex_lock(&b->lock);
	link = link_by_pointer(b, hl);
	if (link != NULL) {
		link_get(b, link);
		if (link->state == LINK_ACTIVE)
			link->state = LINK_DISCONNECTING;
	}
	pthread_mutex_unlock(&b->lock);
	if (link == NULL) {
		/* Nobody else can agree to its end. */
		m0_halon_interface_disconnect(hi, hl);
		return;
	}
	report_link(b, HAX_LINK_DISCONNECTING, link, NULL);
	pthread_mutex_lock(&b->lock);
	link_put(b, link);
	pthread_mutex_unlock(&b->lock);
}

static void on_link_disconnected(struct m0_halon_interface *hi,
				 struct m0_ha_link *hl)
{
	(void)hi;
	link_end(instance, hl);
}



const char *hax_bridge_backend(void)
{
	return HAX_BACKEND;
}

const char *hax_bridge_version(void)
{
	return HAX_BACKEND_VERSION;
}

static bool callbacks_are_set(const struct hax_callbacks *cb)
{
	return cb->entrypoint_request != NULL && cb->msg_received != NULL &&
	       cb->msg_is_delivered != NULL &&
	       cb->msg_is_not_delivered != NULL && cb->link != NULL &&
	       cb->log != NULL;
}

int hax_bridge_init(struct hax_bridge **out, const char *node_uuid,
		    const struct hax_callbacks *callbacks)
{
	struct hax_bridge *b;
	int                rc;

	if (out == NULL || callbacks == NULL || !callbacks_are_set(callbacks))
		return -EINVAL;
	b = calloc(1, sizeof *b);
	if (b == NULL)
		return -ENOMEM;
	b->cb = *callbacks;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->idle, NULL);

	pthread_mutex_lock(&instance_lock);
	rc = instance == NULL ? 0 : -EBUSY;
	if (rc == 0)
		instance = b;
	pthread_mutex_unlock(&instance_lock);
	if (rc == 0) {
		hax_backend_set_log(backend_log, b);
		/* The versions need not be compared: we link what we found. */
		rc = m0_halon_interface_init(&b->hi, "", "",
					     "disable-compatibility-check",
					     node_uuid);
		if (rc != 0) {
			hax_backend_set_log(NULL, NULL);
			pthread_mutex_lock(&instance_lock);
			instance = NULL;
			pthread_mutex_unlock(&instance_lock);
		}
	}
	if (rc != 0) {
		pthread_cond_destroy(&b->idle);
		pthread_mutex_destroy(&b->lock);
		free(b);
		return rc;
	}
	*out = b;
	return 0;
}

/* Waits for calls on other threads, then forgets what the library forgot. */
static void settle(struct hax_bridge *b)
{
	struct hax_map_node *node;

	pthread_mutex_lock(&b->lock);
	while (b->calls > 0)
		pthread_cond_wait(&b->idle, &b->lock);
	while ((node = hax_map_any(&b->requests)) != NULL)
		request_del(b, HAX_CONTAINER_OF(node, struct request, by_id));
	hax_map_fini(&b->requests);
	while ((node = hax_map_any(&b->links)) != NULL) {
		struct link *link =
			HAX_CONTAINER_OF(node, struct link, by_number);

		pthread_mutex_unlock(&b->lock);
		link_end(b, link->hl);
		pthread_mutex_lock(&b->lock);
	}
	hax_map_fini(&b->links);
	hax_map_fini(&b->pointers);
	pthread_mutex_unlock(&b->lock);
}

int hax_bridge_start(struct hax_bridge *b, const char *endpoint,
		     const struct hax_fid *process,
		     const struct hax_fid *ha_service,
		     const struct hax_fid *rm_service)
{
	struct m0_fid process_fid;
	struct m0_fid ha_fid;
	struct m0_fid rm_fid;
	int           rc;

	if (b == NULL || endpoint == NULL || process == NULL ||
	    ha_service == NULL || rm_service == NULL)
		return -EINVAL;
	process_fid = fid_out(process);
	ha_fid = fid_out(ha_service);
	rm_fid = fid_out(rm_service);
	pthread_mutex_lock(&b->lock);
	b->process = *process;
	b->stopping = false;
	pthread_mutex_unlock(&b->lock);
	rc = m0_halon_interface_start(
		b->hi, endpoint, &process_fid, &ha_fid, &rm_fid,
		on_entrypoint_request, on_msg_received, on_msg_is_delivered,
		on_msg_is_not_delivered, on_link_connected, on_link_reused,
		on_link_absent, on_link_is_disconnecting, on_link_disconnected);
	if (rc != 0)
		settle(b);
	return rc;
}

/* The library does not stop while a process waits for its entrypoint. */
static void answer_the_waiting(struct hax_bridge *b)
{
	pthread_mutex_lock(&b->lock);
	b->stopping = true;
	for (size_t i = 0; i < b->requests.nr_buckets; i++) {
		struct hax_map_node *node = b->requests.buckets[i];

		while (node != NULL) {
			struct request *req =
				HAX_CONTAINER_OF(node, struct request, by_id);

			node = node->next;
			if (req->replying)
				continue;
			req->replying = true;
			b->calls++;
			pthread_mutex_unlock(&b->lock);
			reply_again(b, &req->id);
			pthread_mutex_lock(&b->lock);
			request_del(b, req);
			if (--b->calls == 0)
				pthread_cond_broadcast(&b->idle);
			/* Others may have answered meanwhile: look again. */
			node = b->requests.nr_buckets > i
				? b->requests.buckets[i] : NULL;
		}
	}
	pthread_mutex_unlock(&b->lock);
}

void hax_bridge_stop(struct hax_bridge *b)
{
	answer_the_waiting(b);
	m0_halon_interface_stop(b->hi);
	settle(b);
}

void hax_bridge_fini(struct hax_bridge *b)
{
	if (b == NULL)
		return;
	m0_halon_interface_fini(b->hi);
	free(b->hi);
	hax_backend_set_log(NULL, NULL);
	pthread_mutex_lock(&instance_lock);
	instance = NULL;
	pthread_mutex_unlock(&instance_lock);
	pthread_cond_destroy(&b->idle);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

int hax_bridge_thread_adopt(struct hax_bridge *b, struct hax_thread **out)
{
	struct hax_thread *thread;
	int                rc;

	if (b == NULL || out == NULL)
		return -EINVAL;
	thread = calloc(1, sizeof *thread);
	if (thread == NULL)
		return -ENOMEM;
	rc = m0_halon_interface_thread_adopt(b->hi, &thread->thread);
	if (rc != 0) {
		free(thread);
		return rc;
	}
	*out = thread;
	return 0;
}

void hax_bridge_thread_shun(struct hax_thread *thread)
{
	if (thread == NULL)
		return;
	m0_halon_interface_thread_shun();
	free(thread);
}

/* What any backend can carry: printable ASCII, shorter than HAX_ENDPOINT_MAX. */
static bool endpoint_is_valid(const char *endpoint)
{
	size_t len = strnlen(endpoint, HAX_ENDPOINT_MAX);

	if (len >= HAX_ENDPOINT_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (endpoint[i] < 0x20 || endpoint[i] > 0x7e)
			return false;
	return true;
}

int hax_bridge_entrypoint_reply(struct hax_bridge *b,
				const struct hax_uint128 *req_id, int rc,
				uint32_t confd_nr,
				const struct hax_fid *confd_fids,
				const char *const *confd_endpoints,
				uint32_t confd_quorum,
				const struct hax_fid *rm_fid,
				const char *rm_endpoint)
{
	struct m0_fid     fids[HAX_CONFD_MAX];
	const char       *endpoints[HAX_CONFD_MAX];
	struct m0_uint128 id;
	struct m0_fid     rm;
	struct request   *req;

	if (b == NULL || req_id == NULL || rc > 0 || confd_nr > HAX_CONFD_MAX ||
	    (confd_nr > 0 && (confd_fids == NULL || confd_endpoints == NULL)) ||
	    (rm_endpoint != NULL && !endpoint_is_valid(rm_endpoint)))
		return -EINVAL;
	for (uint32_t i = 0; i < confd_nr; i++) {
		if (confd_endpoints[i] == NULL ||
		    !endpoint_is_valid(confd_endpoints[i]))
			return -EINVAL;
		fids[i] = fid_out(&confd_fids[i]);
		endpoints[i] = confd_endpoints[i];
	}
	id = (struct m0_uint128){ .u_hi = req_id->hi, .u_lo = req_id->lo };
	rm = rm_fid == NULL ? (struct m0_fid){ 0 } : fid_out(rm_fid);

	pthread_mutex_lock(&b->lock);
	req = request_find(b, &id);
	if (req == NULL || req->replying) {
		pthread_mutex_unlock(&b->lock);
		return -ENOENT;
	}
	req->replying = true;
	b->calls++;
	pthread_mutex_unlock(&b->lock);

	m0_halon_interface_entrypoint_reply(
		b->hi, &id, rc, confd_nr, confd_nr == 0 ? NULL : fids,
		confd_nr == 0 ? NULL : endpoints, confd_quorum,
		rm_fid == NULL ? NULL : &rm, rm_endpoint);

	pthread_mutex_lock(&b->lock);
	request_del(b, req);
	if (--b->calls == 0)
		pthread_cond_broadcast(&b->idle);
	pthread_mutex_unlock(&b->lock);
	return 0;
}

static struct m0_ha_msg *msg_new(struct hax_bridge *b)
{
	struct m0_ha_msg *msg = calloc(1, sizeof *msg);
	struct timespec   now;

	if (msg == NULL)
		return NULL;
	clock_gettime(CLOCK_REALTIME, &now);
	msg->hm_time = (uint64_t)now.tv_sec * UINT64_C(1000000000) +
		       (uint64_t)now.tv_nsec;
	pthread_mutex_lock(&b->lock);
	msg->hm_source_process = fid_out(&b->process);
	pthread_mutex_unlock(&b->lock);
	return msg;
}

/* Consumes the message. */
static int msg_send(struct hax_bridge *b, uint64_t number,
		    struct m0_ha_msg *msg, uint64_t *tag)
{
	struct link *link;
	int          rc = 0;

	pthread_mutex_lock(&b->lock);
	link = link_by_number(b, number);
	if (link == NULL || link->state == LINK_LEAVING) {
		rc = -ENOENT;
	} else if (link->sent >= SENT_MAX) {
		rc = -ENOBUFS;
	} else {
		link_get(b, link);
		link->sent++;
	}
	pthread_mutex_unlock(&b->lock);
	if (rc == 0) {
		m0_halon_interface_send(b->hi, link->hl, msg, tag);
		pthread_mutex_lock(&b->lock);
		link_put(b, link);
		pthread_mutex_unlock(&b->lock);
	}
	free(msg);
	return rc;
}

static bool notes_are_valid(const struct hax_note *notes, uint64_t nr)
{
	return nr <= HAX_NOTES_MAX && (nr == 0 || notes != NULL);
}

int hax_bridge_send_nvec(struct hax_bridge *b, uint64_t link,
			 const struct hax_nvec *nvec, uint64_t *tag)
{
	struct m0_ha_msg      *msg;
	struct m0_ha_msg_nvec *n;

	if (b == NULL || nvec == NULL || tag == NULL ||
	    (nvec->type != HAX_NVEC_SET && nvec->type != HAX_NVEC_GET) ||
	    !notes_are_valid(nvec->notes, nvec->nr))
		return -EINVAL;
	msg = msg_new(b);
	if (msg == NULL)
		return -ENOMEM;
	msg->hm_data.hed_type = M0_HA_MSG_NVEC;
	n = &msg->hm_data.u.hed_nvec;
	n->hmnv_type = nvec->type;
	n->hmnv_id_of_get = nvec->id_of_get;
	n->hmnv_ignore_same_state = nvec->ignore_same_state;
	n->hmnv_nr = nvec->nr;
	if (nvec->nr > 0)
		memcpy(n->hmnv_arr.hmna_arr, nvec->notes,
		       nvec->nr * sizeof *nvec->notes);
	return msg_send(b, link, msg, tag);
}

int hax_bridge_send_failure_vec_rep(struct hax_bridge *b, uint64_t link,
				    const struct hax_fid *pool,
				    const uint64_t cookie[2],
				    const struct hax_note *notes, uint32_t nr,
				    uint64_t *tag)
{
	struct m0_ha_msg                 *msg;
	struct m0_ha_msg_failure_vec_rep *rep;

	if (b == NULL || pool == NULL || cookie == NULL || tag == NULL ||
	    !notes_are_valid(notes, nr))
		return -EINVAL;
	msg = msg_new(b);
	if (msg == NULL)
		return -ENOMEM;
	msg->hm_fid = fid_out(pool);
	msg->hm_data.hed_type = M0_HA_MSG_FAILURE_VEC_REP;
	rep = &msg->hm_data.u.hed_fvec_rep;
	rep->mfp_pool = fid_out(pool);
	rep->mfp_cookie.co_addr = cookie[0];
	rep->mfp_cookie.co_generation = cookie[1];
	rep->mfp_nr = nr;
	if (nr > 0)
		memcpy(rep->mfp_vec.hmna_arr, notes, nr * sizeof *notes);
	return msg_send(b, link, msg, tag);
}

int hax_bridge_send_process_event(struct hax_bridge *b, uint64_t link,
				  const struct hax_fid *process,
				  const struct hax_conf_event *event,
				  uint64_t *tag)
{
	struct m0_ha_msg *msg;

	if (b == NULL || process == NULL || event == NULL || tag == NULL)
		return -EINVAL;
	msg = msg_new(b);
	if (msg == NULL)
		return -ENOMEM;
	msg->hm_fid = fid_out(process);
	msg->hm_source_process = fid_out(process);
	msg->hm_data.hed_type = M0_HA_MSG_EVENT_PROCESS;
	msg->hm_data.u.hed_event_process = (struct m0_conf_ha_process){
		.chp_event = event->event,
		.chp_type  = event->type,
		.chp_pid   = event->pid,
	};
	return msg_send(b, link, msg, tag);
}

int hax_bridge_delivered(struct hax_bridge *b, uint64_t link, uint64_t tag)
{
	struct link         *l;
	struct hax_map_node *node = NULL;
	struct received     *rec;

	if (b == NULL)
		return -ENOENT;
	pthread_mutex_lock(&b->lock);
	l = link_by_number(b, link);
	if (l != NULL && l->state != LINK_LEAVING)
		node = hax_map_find(&l->received, tag);
	if (node == NULL) {
		pthread_mutex_unlock(&b->lock);
		return -ENOENT;
	}
	hax_map_remove(&l->received, node);
	link_get(b, l);
	pthread_mutex_unlock(&b->lock);

	rec = HAX_CONTAINER_OF(node, struct received, by_tag);
	m0_halon_interface_delivered(b->hi, l->hl, rec->msg);
	free(rec);

	pthread_mutex_lock(&b->lock);
	link_put(b, l);
	pthread_mutex_unlock(&b->lock);
	return 0;
}

int hax_bridge_disconnect(struct hax_bridge *b, uint64_t link)
{
	struct link *l;
	int          rc = 0;

	if (b == NULL)
		return -ENOENT;
	pthread_mutex_lock(&b->lock);
	l = link_by_number(b, link);
	if (l == NULL)
		rc = -ENOENT;
	else if (l->state == LINK_ACTIVE)
		rc = -EINVAL;
	else if (l->state == LINK_LEAVING)
		rc = -EALREADY;
	if (rc == 0) {
		link_get(b, l);
		l->state = LINK_LEAVING;
		link_put(b, l);
	}
	pthread_mutex_unlock(&b->lock);
	return rc;
}
