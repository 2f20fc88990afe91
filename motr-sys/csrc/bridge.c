/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bridge.h on top of m0_halon_interface, the same for every backend.  This file
 * and broadcast.c alone call the library; they and msg.c alone include Motr's
 * headers.
 *
 * The library trusts its caller: a call for a link or a message that is gone
 * is an assertion there.  So the registry keeps every link and every
 * undelivered message, and each call first holds its link:
 *
 * - no lock is held across a call into the library or a callback, because the
 *   library runs callbacks inside its calls;
 * - a link is given back to the library (m0_halon_interface_disconnect) once
 *   the user has agreed and the last hold ends, by whoever ends it;
 * - a message leaves the registry before the library hears that it is
 *   delivered.
 */
#include "bridge.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fid/fid.h"
#include "ha/halon/interface.h"
#include "ha/link.h"
#include "ha/msg.h"
#include "lib/thread.h"
#include "lib/types.h"

#include "args.h"
#include "backend.h"
#include "interface.h"
#include "msg.h"
#include "registry.h"

#ifndef HAX_BACKEND
#error "HAX_BACKEND is the name of the backend, a string: see build.rs"
#endif
#ifndef HAX_BACKEND_VERSION
#error "HAX_BACKEND_VERSION is the version of the backend, a string: see build.rs"
#endif

enum { LOG_LINE_MAX = 512 };

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

static struct hax_uint128 id_in(const struct m0_uint128 *id)
{
	return (struct hax_uint128){ id->u_hi, id->u_lo };
}

/* Callbacks of the library. */

static void reply_again(struct hax_bridge *b, const struct hax_uint128 *req_id)
{
	const struct m0_uint128 id = { .u_hi = req_id->hi, .u_lo = req_id->lo };

	m0_halon_interface_entrypoint_reply(b->hi, &id, -EAGAIN, 0, NULL, NULL,
					    0, NULL, NULL);
}

static void on_entrypoint_request(struct m0_halon_interface *hi,
				  const struct m0_uint128 *req_id,
				  const char *remote_rpc_endpoint,
				  const struct m0_fid *process_fid,
				  const char *git_rev_id, uint64_t pid,
				  bool first_request)
{
	struct hax_bridge                  *b = instance;
	const struct hax_entrypoint_request up = {
		.req_id          = id_in(req_id),
		.remote_endpoint = remote_rpc_endpoint == NULL
					? "" : remote_rpc_endpoint,
		.process         = hax_fid_in(process_fid),
		.git_rev_id      = git_rev_id == NULL ? "" : git_rev_id,
		.pid             = pid,
		.first           = first_request,
	};
	int rc = hax_reg_request_add(&b->reg, &up.req_id, &up.process,
				     up.remote_endpoint);

	(void)hi;
	if (rc == 0) {
		b->cb.entrypoint_request(b->cb.ctx, &up);
		return;
	}
	if (rc != -ESHUTDOWN)
		say(b, HAX_LOG_ERROR, "entrypoint request of %s is turned "
		    "away: %s", up.remote_endpoint, strerror(-rc));
	reply_again(b, &up.req_id);
}

static void on_msg_received(struct m0_halon_interface *hi,
			    struct m0_ha_link *hl, const struct m0_ha_msg *msg,
			    uint64_t tag)
{
	struct hax_bridge *b = instance;
	struct hax_msg     up;
	uint64_t           number;

	switch (hax_reg_receive(&b->reg, hl, tag, msg, &number)) {
	case HAX_REG_REPORT:
		if (!hax_msg_in(msg, &up))
			say(b, HAX_LOG_WARN, "message %llu of link %llu claims "
			    "more than %d notes: so many are taken",
			    (unsigned long long)tag,
			    (unsigned long long)number, HAX_NOTES_MAX);
		b->cb.msg_received(b->cb.ctx, number, tag, &up);
		break;
	case HAX_REG_AGAIN:
		say(b, HAX_LOG_ERROR, "message %llu of link %llu came twice",
		    (unsigned long long)tag, (unsigned long long)number);
		m0_halon_interface_delivered(hi, hl, msg);
		break;
	case HAX_REG_WITHHOLD_FIRST:
		say(b, HAX_LOG_ERROR, "no room for message %llu of link %llu: "
		    "from here on its messages are neither reported nor "
		    "acknowledged", (unsigned long long)tag,
		    (unsigned long long)number);
		break;
	case HAX_REG_WITHHOLD:
		break;
	}
}

static void on_msg_is_delivered(struct m0_halon_interface *hi,
				struct m0_ha_link *hl, uint64_t tag)
{
	struct hax_bridge *b = instance;
	uint64_t           number = hax_reg_sent(&b->reg, hl);

	(void)hi;
	if (number != 0)
		b->cb.msg_is_delivered(b->cb.ctx, number, tag);
}

static void on_msg_is_not_delivered(struct m0_halon_interface *hi,
				    struct m0_ha_link *hl, uint64_t tag)
{
	struct hax_bridge *b = instance;
	uint64_t           number = hax_reg_sent(&b->reg, hl);

	(void)hi;
	if (number != 0)
		b->cb.msg_is_not_delivered(b->cb.ctx, number, tag);
}

/* Reports on a link that is held, and ends the hold. */
static void report_link(struct hax_bridge *b, enum hax_link_event_kind kind,
			struct hax_link *link, const struct m0_uint128 *req_id)
{
	struct hax_link_event event = {
		.kind            = kind,
		.link            = link->number,
		.process         = link->process,
		.remote_endpoint = link->endpoint,
	};

	if (req_id != NULL)
		event.req_id = id_in(req_id);
	b->cb.link(b->cb.ctx, &event);
	hax_reg_link_put(&b->reg, link);
}

static void on_link_connected(struct m0_halon_interface *hi,
			      const struct m0_uint128 *req_id,
			      struct m0_ha_link *hl)
{
	struct hax_bridge       *b = instance;
	const struct hax_uint128 id = id_in(req_id);
	char                     endpoint[HAX_ENDPOINT_MAX] = "";
	struct hax_link         *link = hax_reg_link_end(&b->reg, hl);
	int                      rc;

	(void)hi;
	if (link != NULL) {
		say(b, HAX_LOG_WARN, "a link ended without being reported");
		report_link(b, HAX_LINK_DISCONNECTED, link, NULL);
	}
	m0_ha_link_rpc_endpoint(hl, endpoint, sizeof endpoint);
	endpoint[sizeof endpoint - 1] = '\0';
	rc = hax_reg_link_add(&b->reg, hl, &id, endpoint, &link);
	if (rc == 0)
		report_link(b, HAX_LINK_CONNECTED, link, req_id);
	else
		say(b, HAX_LOG_ERROR, "link of %s cannot be kept: %s.  Nothing "
		    "of it is reported, and no message acknowledged",
		    endpoint, strerror(-rc));
}

static void on_link_reused(struct m0_halon_interface *hi,
			   const struct m0_uint128 *req_id,
			   struct m0_ha_link *hl)
{
	struct hax_bridge *b = instance;
	struct hax_link   *link = hax_reg_link_get(&b->reg, hl);

	(void)hi;
	if (link != NULL)
		report_link(b, HAX_LINK_REUSED, link, req_id);
	else
		say(b, HAX_LOG_WARN, "a link that is not kept was reused");
}

static void on_link_absent(struct m0_halon_interface *hi,
			   const struct m0_uint128 *req_id)
{
	struct hax_bridge          *b = instance;
	const struct hax_link_event event = {
		.kind            = HAX_LINK_ABSENT,
		.req_id          = id_in(req_id),
		.remote_endpoint = "",
	};

	(void)hi;
	b->cb.link(b->cb.ctx, &event);
}

static void on_link_is_disconnecting(struct m0_halon_interface *hi,
				     struct m0_ha_link *hl)
{
	struct hax_bridge *b = instance;
	struct hax_link   *link = hax_reg_link_drop(&b->reg, hl);

	if (link != NULL)
		report_link(b, HAX_LINK_DISCONNECTING, link, NULL);
	else
		/* Nobody else can agree to its end. */
		m0_halon_interface_disconnect(hi, hl);
}

static void on_link_disconnected(struct m0_halon_interface *hi,
				 struct m0_ha_link *hl)
{
	struct hax_bridge *b = instance;
	struct hax_link   *link = hax_reg_link_end(&b->reg, hl);

	(void)hi;
	if (link != NULL)
		report_link(b, HAX_LINK_DISCONNECTED, link, NULL);
}

/* Called by the user. */

const char *hax_bridge_backend(void)
{
	return HAX_BACKEND;
}

const char *hax_bridge_version(void)
{
	return HAX_BACKEND_VERSION;
}

static void give_back(void *ctx, void *handle)
{
	struct hax_bridge *b = ctx;

	m0_halon_interface_disconnect(b->hi, handle);
}

static void bridge_free(struct hax_bridge *b)
{
	hax_backend_set_log(NULL, NULL);
	pthread_mutex_lock(&instance_lock);
	instance = NULL;
	pthread_mutex_unlock(&instance_lock);
	hax_reg_fini(&b->reg);
	free(b);
}

int hax_bridge_init(struct hax_bridge **out, const char *node_uuid,
		    const struct hax_callbacks *callbacks)
{
	struct hax_bridge *b;
	bool               taken;
	int                rc;

	if (out == NULL || !hax_args_callbacks(callbacks))
		return -EINVAL;
	b = calloc(1, sizeof *b);
	if (b == NULL)
		return -ENOMEM;
	pthread_mutex_lock(&instance_lock);
	taken = instance != NULL;
	if (!taken)
		instance = b;
	pthread_mutex_unlock(&instance_lock);
	if (taken) {
		free(b);
		return -EBUSY;
	}
	b->cb = *callbacks;
	hax_reg_init(&b->reg, give_back, b);
	hax_backend_set_log(backend_log, b);
	/* The versions need not be compared: we link what we found. */
	rc = m0_halon_interface_init(&b->hi, "", "",
				     "disable-compatibility-check", node_uuid);
	if (rc != 0) {
		bridge_free(b);
		return rc;
	}
	*out = b;
	return 0;
}

/* Waits for calls on other threads, then forgets what the library forgot. */
static void settle(struct hax_bridge *b)
{
	struct hax_link *link;

	hax_reg_settle(&b->reg);
	while ((link = hax_reg_link_end_any(&b->reg)) != NULL)
		report_link(b, HAX_LINK_DISCONNECTED, link, NULL);
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
	if (b->started)
		return -EALREADY;
	process_fid = hax_fid_out(process);
	ha_fid = hax_fid_out(ha_service);
	rm_fid = hax_fid_out(rm_service);
	hax_reg_open(&b->reg, process);
	rc = m0_halon_interface_start(
		b->hi, endpoint, &process_fid, &ha_fid, &rm_fid,
		on_entrypoint_request, on_msg_received, on_msg_is_delivered,
		on_msg_is_not_delivered, on_link_connected, on_link_reused,
		on_link_absent, on_link_is_disconnecting, on_link_disconnected);
	if (rc == 0)
		hax_backend_started();
	else
		settle(b);
	b->started = rc == 0;
	return rc;
}

void hax_bridge_stop(struct hax_bridge *b)
{
	struct hax_request *req;

	if (b == NULL || !b->started)
		return;
	/* The library does not stop while a process waits for its entrypoint. */
	while ((req = hax_reg_request_take_any(&b->reg)) != NULL) {
		reply_again(b, &req->id);
		hax_reg_request_done(&b->reg, req);
	}
	m0_halon_interface_stop(b->hi);
	settle(b);
	b->started = false;
}

void hax_bridge_fini(struct hax_bridge *b)
{
	if (b == NULL)
		return;
	m0_halon_interface_fini(b->hi);
	free(b->hi);
	bridge_free(b);
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

int hax_bridge_entrypoint_reply(struct hax_bridge *b,
				const struct hax_uint128 *req_id, int rc,
				uint32_t confd_nr,
				const struct hax_fid *confd_fids,
				const char *const *confd_endpoints,
				uint32_t confd_quorum,
				const struct hax_fid *rm_fid,
				const char *rm_endpoint)
{
	struct m0_fid       fids[HAX_CONFD_MAX];
	const char         *endpoints[HAX_CONFD_MAX];
	struct m0_uint128   id;
	struct m0_fid       rm = { 0 };
	struct hax_request *req;

	if (b == NULL || req_id == NULL ||
	    !hax_args_reply(rc, confd_nr, confd_fids, confd_endpoints,
			    rm_endpoint))
		return -EINVAL;
	for (uint32_t i = 0; i < confd_nr; i++) {
		fids[i] = hax_fid_out(&confd_fids[i]);
		endpoints[i] = confd_endpoints[i];
	}
	if (rm_fid != NULL)
		rm = hax_fid_out(rm_fid);
	req = hax_reg_request_take(&b->reg, req_id);
	if (req == NULL)
		return -ENOENT;
	id = (struct m0_uint128){ .u_hi = req->id.hi, .u_lo = req->id.lo };
	m0_halon_interface_entrypoint_reply(
		b->hi, &id, rc, confd_nr, confd_nr == 0 ? NULL : fids,
		confd_nr == 0 ? NULL : endpoints, confd_quorum,
		rm_fid == NULL ? NULL : &rm, rm_endpoint);
	hax_reg_request_done(&b->reg, req);
	return 0;
}

static struct m0_ha_msg *msg_new(struct hax_bridge *b)
{
	const struct hax_fid process = hax_reg_process(&b->reg);

	return hax_msg_new(&process);
}

/* Consumes the message. */
static int msg_send(struct hax_bridge *b, uint64_t number,
		    struct m0_ha_msg *msg, uint64_t *tag)
{
	struct hax_link *link;
	int              rc = hax_reg_send(&b->reg, number, &link);

	if (rc == 0) {
		m0_halon_interface_send(b->hi, link->handle, msg, tag);
		/* The embedded backend has ended the link meanwhile. */
		if (*tag == 0)
			rc = -ENOENT;
		hax_reg_link_put(&b->reg, link);
	}
	free(msg);
	return rc;
}

int hax_bridge_send_nvec(struct hax_bridge *b, uint64_t link,
			 const struct hax_nvec *nvec, uint64_t *tag)
{
	struct m0_ha_msg *msg;

	if (b == NULL || tag == NULL || !hax_args_nvec(nvec))
		return -EINVAL;
	msg = msg_new(b);
	if (msg == NULL)
		return -ENOMEM;
	hax_msg_set_nvec(msg, nvec);
	return msg_send(b, link, msg, tag);
}

int hax_bridge_send_failure_vec_rep(struct hax_bridge *b, uint64_t link,
				    const struct hax_fid *pool,
				    const uint64_t cookie[2],
				    const struct hax_note *notes, uint32_t nr,
				    uint64_t *tag)
{
	struct m0_ha_msg *msg;

	if (b == NULL || pool == NULL || cookie == NULL || tag == NULL ||
	    !hax_args_notes(notes, nr))
		return -EINVAL;
	msg = msg_new(b);
	if (msg == NULL)
		return -ENOMEM;
	hax_msg_set_failure_vec_rep(msg, pool, cookie, notes, nr);
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
	hax_msg_set_process_event(msg, process, event);
	return msg_send(b, link, msg, tag);
}

int hax_bridge_delivered(struct hax_bridge *b, uint64_t link, uint64_t tag)
{
	const struct m0_ha_msg *msg;
	struct hax_link        *held;

	if (b == NULL)
		return -ENOENT;
	msg = hax_reg_deliver(&b->reg, link, tag, &held);
	if (msg == NULL)
		return -ENOENT;
	m0_halon_interface_delivered(b->hi, held->handle, msg);
	hax_reg_link_put(&b->reg, held);
	return 0;
}

int hax_bridge_disconnect(struct hax_bridge *b, uint64_t link)
{
	if (b == NULL)
		return -ENOENT;
	return hax_reg_link_leave(&b->reg, link);
}
