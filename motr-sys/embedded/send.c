/* SPDX-License-Identifier: Apache-2.0 */
/* Messages sent.  One that goes to many links is encoded and kept once. */
#include "embedded.h"

#include <stdlib.h>

#include "flow.h"

static struct emb_body *body_new(const struct m0_ha_msg *msg)
{
	size_t           len = wire_msg_len(msg);
	struct emb_body *body = len == 0 ? NULL : malloc(sizeof *body + len);

	if (body == NULL)
		return NULL;
	body->refs = 1;
	body->len = wire_msg_encode(body->frame, len, 0, msg);
	return body;
}

static void body_put(struct emb_body *body)
{
	if (body != NULL && --body->refs == 0)
		free(body);
}

void emb_out_free(struct emb_out *out)
{
	body_put(out->body);
	free(out);
}

/*
 * send() cannot fail in the library's interface: without memory the message is
 * reported as not delivered, from the thread that sends.
 */
static uint64_t send_one(emb_t *e, struct m0_ha_link *hl,
			 struct emb_body *body)
{
	struct emb_out *out;
	uint64_t        tag = hl->tag_next;

	/* No tag: its end has been reported, nothing else can be. */
	if (hl->state == EMB_LINK_DEAD)
		return 0;
	hl->tag_next += 2;
	out = body == NULL ? NULL : malloc(sizeof *out);
	if (out == NULL) {
		EMB_CALLBACK(e, msg_is_not_delivered, hl, tag);
		return tag;
	}
	body->refs++;
	*out = (struct emb_out){ .tag = tag, .body = body };
	emb_list_add(&hl->out, &out->in_link);
	if (hl->unsent == &hl->out)
		hl->unsent = &out->in_link;
	if (hl->conn != NULL)
		emb_conn_touch(e, hl->conn);
	if (hl->self)
		emb_link_touch(e, hl);
	return tag;
}

void hax_backend_send(struct m0_halon_interface *hi,
		      const struct m0_ha_msg *msg,
		      struct m0_ha_link *const *links, uint64_t *tags,
		      uint32_t nr)
{
	emb_t           *e = hi->hif_internal;
	struct emb_body *body = body_new(msg);

	pthread_mutex_lock(&e->lock);
	for (uint32_t i = 0; i < nr; i++)
		tags[i] = send_one(e, links[i], body);
	body_put(body);
	pthread_mutex_unlock(&e->lock);
}

void m0_halon_interface_send(struct m0_halon_interface *hi,
			     struct m0_ha_link *hl,
			     const struct m0_ha_msg *msg, uint64_t *tag)
{
	hax_backend_send(hi, msg, &hl, tag, 1);
}
