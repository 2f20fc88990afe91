/* SPDX-License-Identifier: Apache-2.0 */
/* What a frame of a process means. */
#include "embedded.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void emb_frame_bad(emb_t *e, struct emb_conn *c, uint16_t type, const char *why)
{
	struct m0_ha_link *hl = c->link;

	if (hl == NULL)
		emb_log(2, "bad frame: peer %s, no link, frame %s: %s",
			c->peer, wire_type_name(type), why);
	else
		emb_log(2, "bad frame: peer %s, link %llu of <%llx:%llx>, "
			"frame %s: %s", c->peer, (unsigned long long)hl->id,
			(unsigned long long)hl->process.f_container,
			(unsigned long long)hl->process.f_key,
			wire_type_name(type), why);
	emb_conn_close(e, c);
	if (hl != NULL)
		emb_link_drop(e, hl);
}

/* A later request names the link that the connection carries. */
static const char *later_request(const emb_t *e, const struct emb_conn *c,
				 const struct wire_entrypoint_req *req)
{
	if (c->state == EMB_CONN_ASKED)
		return "request before the reply to the first one";
	if (req->first || req->instance != e->instance ||
	    req->link != c->link->id)
		return "request for another link";
	if (req->process.f_container != c->link->process.f_container ||
	    req->process.f_key != c->link->process.f_key)
		return "request of another process";
	if (c->reqs_nr >= EMB_CONN_REQS_MAX)
		return "too many unanswered requests";
	return NULL;
}

static const char *on_request(emb_t *e, struct emb_conn *c,
			      const uint8_t *payload, size_t len)
{
	struct wire_entrypoint_req req;
	const char                *why;
	int                        rc;

	why = wire_entrypoint_req_decode(payload, len, &req);
	if (why == NULL && c->state != EMB_CONN_NEW)
		why = later_request(e, c, &req);
	if (why != NULL)
		return why;
	if (c->state == EMB_CONN_NEW) {
		c->state = EMB_CONN_ASKED;
		emb_list_del(&c->in_timed);
	}
	if (e->phase != EMB_WORKING)
		return NULL;
	rc = emb_req_new(e, c, &req);
	if (rc != 0) {
		emb_log(1, "entrypoint request of %s is turned away: %s",
			c->peer, strerror(-rc));
		emb_conn_close(e, c);
	}
	return NULL;
}

static int ack_again(struct emb_conn *c, uint64_t tag)
{
	uint8_t frame[WIRE_DELIVERED_LEN];

	return emb_conn_put(c, frame,
			    wire_delivered_encode(frame, sizeof frame, tag));
}

static const char *on_msg(emb_t *e, struct emb_conn *c, const uint8_t *payload,
			  size_t len)
{
	struct m0_ha_link *hl = c->link;
	struct emb_in     *in;
	const char        *why;
	uint64_t           tag;
	size_t             size;

	if (c->state != EMB_CONN_BOUND)
		return "no link is bound";
	why = wire_msg_peek(payload, len, &tag, &size);
	if (why != NULL)
		return why;
	if (tag == 0 || tag % 2 != 0)
		return "tag is not the process's";
	if (tag <= hl->tag_received) {
		if (hax_map_find(&hl->received, tag) == NULL &&
		    ack_again(c, tag) != 0)
			emb_conn_close(e, c);
		return NULL;
	}
	in = emb_in_new(size);
	if (in != NULL && hax_map_insert(&hl->received, &in->by_tag, tag) != 0) {
		free(in);
		in = NULL;
	}
	if (in == NULL) {
		/* The process sends it again on its next connection. */
		emb_log(1, "no memory for a message of %s", c->peer);
		emb_conn_close(e, c);
		return NULL;
	}
	in->tag = tag;
	why = wire_msg_decode(payload, len, &in->msg);
	if (why != NULL) {
		hax_map_remove(&hl->received, &in->by_tag);
		free(in);
		return why;
	}
	hl->tag_received = tag;
	emb_room_take(e, hl, in, size);
	EMB_CALLBACK(e, msg_received, hl, &in->msg, tag);
	return NULL;
}

static const char *on_delivered(emb_t *e, struct emb_conn *c,
				const uint8_t *payload, size_t len)
{
	struct m0_ha_link *hl = c->link;
	const char        *why;
	uint64_t           tag;

	if (c->state != EMB_CONN_BOUND)
		return "no link is bound";
	why = wire_delivered_decode(payload, len, &tag);
	if (why != NULL)
		return why;
	if (tag == 0 || tag % 2 == 0)
		return "tag is not the bridge's";
	if (tag > hl->tag_written)
		return "tag was never sent";
	for (struct emb_list *l = hl->out.next; l != &hl->out; l = l->next) {
		struct emb_out *out =
			HAX_CONTAINER_OF(l, struct emb_out, in_link);

		if (out->tag > tag)
			break;
		if (out->tag == tag) {
			out->acked = true;
			emb_link_touch(e, hl);
			break;
		}
	}
	return NULL;
}

void emb_frame(emb_t *e, struct emb_conn *c, const struct wire_header *h,
	       const uint8_t *payload)
{
	const char *why = NULL;

	switch (h->type) {
	case WIRE_ENTRYPOINT_REQ:
		why = on_request(e, c, payload, h->length);
		break;
	case WIRE_ENTRYPOINT_REP:
		why = "only the bridge sends it";
		break;
	case WIRE_MSG:
		why = on_msg(e, c, payload, h->length);
		break;
	case WIRE_DELIVERED:
		why = on_delivered(e, c, payload, h->length);
		break;
	default:
		why = "unknown type";
		break;
	}
	if (why != NULL)
		emb_frame_bad(e, c, h->type, why);
}
