/* SPDX-License-Identifier: Apache-2.0 */
/* Entrypoint requests and their replies, which bind links. */
#include "embedded.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	/** Fixed part, then fid and string for each confd and for the RM. */
	REPLY_MAX = WIRE_HEADER_LEN + 64 +
		    (WIRE_CONFD_MAX + 1) * (16 + 2 + WIRE_STR_MAX),
};

_Static_assert(EMB_OUT_HELD > EMB_OUT_HIGH + WIRE_FRAME_MAX +
	       EMB_RECEIVED_MAX * WIRE_DELIVERED_LEN +
	       EMB_CONN_REQS_MAX * REPLY_MAX,
	       "what a peer inside its limits has coming fits");

static uint64_t req_key(const struct m0_uint128 *id)
{
	return id->u_lo;
}

static struct emb_req *req_find(emb_t *e, const struct m0_uint128 *id)
{
	struct hax_map_node *node = hax_map_find(&e->reqs, req_key(id));

	for (; node != NULL; node = hax_map_same(node)) {
		struct emb_req *req =
			HAX_CONTAINER_OF(node, struct emb_req, by_id);

		if (req->id.u_hi == id->u_hi && req->id.u_lo == id->u_lo)
			return req;
	}
	return NULL;
}

void emb_req_free(struct emb_req *req)
{
	free(req->frame);
	free(req);
}

int emb_req_new(emb_t *e, struct emb_conn *c,
		const struct wire_entrypoint_req *wire)
{
	struct wire_entrypoint_req up = *wire;
	struct m0_uint128          id;
	struct emb_req            *req;

	if (e->reqs.nr >= EMB_REQUESTS_MAX)
		return -ENOSPC;
	req = calloc(1, sizeof *req);
	if (req == NULL)
		return -ENOMEM;
	id = (struct m0_uint128){ e->instance, e->req_last + 1 };
	if (hax_map_insert(&e->reqs, &req->by_id, req_key(&id)) != 0) {
		free(req);
		return -ENOMEM;
	}
	e->req_last++;
	emb_list_init(&req->in_conn);
	req->id = id;
	req->conn = c;
	req->self = c == NULL;
	req->wire = *wire;
	if (c != NULL) {
		emb_list_add(&c->reqs, &req->in_conn);
		c->reqs_nr++;
	}
	/* From here on the request may be answered and freed at any time. */
	EMB_CALLBACK(e, entrypoint_request, &id, up.endpoint, &up.process,
		     up.git_rev, up.pid, up.first);
	return 0;
}

void emb_req_orphan(emb_t *e, struct emb_conn *c)
{
	(void)e;
	while (!emb_list_is_empty(&c->reqs)) {
		struct emb_req *req = HAX_CONTAINER_OF(
			c->reqs.next, struct emb_req, in_conn);

		emb_list_del(&req->in_conn);
		req->conn = NULL;
		if (req->answered)
			emb_req_free(req);
	}
	c->reqs_nr = 0;
}

/* Decides what link the reply binds; NULL if ABSENT or if none can be made. */
static struct m0_ha_link *bind_link(emb_t *e, const struct emb_req *req,
				    uint8_t *status)
{
	const struct wire_entrypoint_req *w = &req->wire;
	struct m0_ha_link                *hl = NULL;

	if (req->self && e->self_link != NULL) {
		*status = WIRE_REUSED;
		return e->self_link;
	}
	if (!req->self && !w->first && w->instance == e->instance) {
		hl = emb_link_find(e, w->link);
		if (hl != NULL && !hl->self && hl->state == EMB_LINK_ACTIVE &&
		    hl->process.f_container == w->process.f_container &&
		    hl->process.f_key == w->process.f_key) {
			*status = WIRE_REUSED;
			return hl;
		}
		*status = WIRE_ABSENT;
		return NULL;
	}
	*status = WIRE_CONNECTED;
	hl = emb_link_new(e, &w->process, w->endpoint, req->self);
	if (hl != NULL && req->self)
		e->self_link = hl;
	return hl;
}

/* Callbacks of one link come one after another; nested ones cannot wait. */
static void replying_begin(emb_t *e, struct m0_ha_link *hl)
{
	e->replying++;
	if (hl == NULL)
		return;
	hl->repliers++;
	while (hl->replying > 0 && !pthread_equal(hl->replier, pthread_self()))
		pthread_cond_wait(&e->changed, &e->lock);
	hl->replying++;
	hl->replier = pthread_self();
}

static void replying_end(emb_t *e, struct m0_ha_link *hl)
{
	e->replying--;
	if (hl != NULL) {
		hl->replying--;
		hl->repliers--;
		/* What came up meanwhile was left for us: see emb_link_step. */
		emb_link_touch(e, hl);
	}
	pthread_cond_broadcast(&e->changed);
}

void m0_halon_interface_entrypoint_reply(
	struct m0_halon_interface *hi, const struct m0_uint128 *req_id, int rc,
	uint32_t confd_nr, const struct m0_fid *confd_fid_data,
	const char **confd_eps_data, uint32_t confd_quorum,
	const struct m0_fid *rm_fid, const char *rm_eps)
{
	emb_t                     *e = hi->hif_internal;
	struct m0_uint128          id = *req_id;
	struct wire_entrypoint_rep rep;
	struct m0_ha_link         *hl;
	struct emb_req            *req;
	uint8_t                   *frame = malloc(REPLY_MAX);
	bool                       self;

	pthread_mutex_lock(&e->lock);
	req = req_find(e, &id);
	if (req == NULL) {
		pthread_mutex_unlock(&e->lock);
		free(frame);
		return;
	}
	hax_map_remove(&e->reqs, &req->by_id);
	if ((req->conn == NULL && !req->self) || e->phase == EMB_DROPPING) {
		if (req->conn == NULL) {
			emb_req_free(req);
		} else {
			/* The connection is about to be closed: freed there. */
			req->answered = true;
		}
		pthread_mutex_unlock(&e->lock);
		free(frame);
		return;
	}
	self = req->self;
	rep = (struct wire_entrypoint_rep){
		.seq             = req->wire.seq,
		.rc              = rc,
		.instance        = e->instance,
		.quorum          = confd_quorum,
		.rm_endpoint     = rm_eps == NULL ? "" : rm_eps,
		.nr              = (uint16_t)confd_nr,
		.confd_fids      = confd_fid_data,
		.confd_endpoints = confd_eps_data,
	};
	if (rm_fid != NULL)
		rep.rm = *rm_fid;
	hl = bind_link(e, req, &rep.status);
	replying_begin(e, hl);
	rep.link = hl == NULL ? 0 : hl->id;
	if (hl != NULL && rep.status == WIRE_CONNECTED)
		EMB_CALLBACK(e, link_connected, &id, hl);
	else if (hl != NULL)
		EMB_CALLBACK(e, link_reused, &id, hl);
	else if (rep.status == WIRE_ABSENT)
		EMB_CALLBACK(e, link_absent, &id);
	else
		emb_log(1, "no link can be made for %s", req->wire.endpoint);
	if (self && hl != NULL && rc == 0) {
		e->self_answered = true;
		emb_self_post_start(e);
	} else if (self) {
		e->self_first = hl == NULL;
		e->self_ask = true;
		emb_wake(e);
	}
	replying_end(e, hl);

	if (req->conn == NULL) {
		emb_req_free(req);
		free(frame);
	} else {
		req->link = rep.link;
		req->answered = true;
		/* Without a frame the connection is closed: it is asked again. */
		req->frame = frame;
		if (frame != NULL && (hl != NULL || rep.status == WIRE_ABSENT))
			req->frame_len = wire_entrypoint_rep_encode(
				frame, REPLY_MAX, &rep);
		emb_conn_touch(e, req->conn);
	}
	pthread_mutex_unlock(&e->lock);
}

void emb_req_flush(emb_t *e, struct emb_conn *c)
{
	while (c->state != EMB_CONN_CLOSED && !emb_list_is_empty(&c->reqs)) {
		struct emb_req    *req = HAX_CONTAINER_OF(
			c->reqs.next, struct emb_req, in_conn);
		struct m0_ha_link *hl;
		int                rc;

		if (!req->answered)
			return;
		hl = req->link == 0 ? NULL : emb_link_find(e, req->link);
		rc = req->frame_len == 0 ||
		     (req->link != 0 &&
		      (hl == NULL || hl->state != EMB_LINK_ACTIVE))
			? -ENOENT
			: emb_conn_put(c, req->frame, req->frame_len);
		if (rc != 0) {
			emb_conn_close(e, c);
			return;
		}
		emb_list_del(&req->in_conn);
		c->reqs_nr--;
		emb_req_free(req);
		if (hl != NULL) {
			emb_link_bind(e, hl, c);
			if (c->state == EMB_CONN_ASKED)
				c->state = EMB_CONN_BOUND;
		} else {
			c->state = EMB_CONN_LAST_WORDS;
			c->deadline_ms = emb_now_ms() + EMB_FIRST_FRAME_MS;
			emb_list_add(&e->timed, &c->in_timed);
			return;
		}
	}
}
