/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection writes. */
#include "embedded.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	OUT_MIN  = 4096,
	/** A larger buffer is given back when it is empty. */
	OUT_KEEP = 16384,
};

size_t emb_conn_waiting(const struct emb_conn *c)
{
	return c->out_end - c->out_at;
}

int emb_conn_put(struct emb_conn *c, const uint8_t *data, size_t len)
{
	if (c->out_at > 0 && c->out_cap - c->out_end < len) {
		memmove(c->out, c->out + c->out_at, emb_conn_waiting(c));
		c->out_end -= c->out_at;
		c->out_at = 0;
	}
	if (c->out_cap - c->out_end < len) {
		size_t   cap = c->out_cap == 0 ? OUT_MIN : c->out_cap;
		uint8_t *out;

		while (cap - c->out_end < len)
			cap *= 2;
		out = realloc(c->out, cap);
		if (out == NULL)
			return -ENOMEM;
		c->out = out;
		c->out_cap = cap;
	}
	memcpy(c->out + c->out_end, data, len);
	c->out_end += len;
	return 0;
}

int emb_conn_fill(struct emb_conn *c)
{
	struct m0_ha_link *hl = c->link;
	uint8_t            frame[WIRE_DELIVERED_LEN];
	int                rc = 0;

	if (c->state != EMB_CONN_BOUND)
		return 0;
	while (rc == 0 && !emb_list_is_empty(&hl->acks)) {
		struct emb_in *in = HAX_CONTAINER_OF(
			hl->acks.next, struct emb_in, in_list);

		rc = emb_conn_put(c, frame,
				  wire_delivered_encode(frame, sizeof frame,
							in->tag));
		if (rc == 0) {
			emb_list_del(&in->in_list);
			free(in);
		}
	}
	while (rc == 0 && hl->unsent != &hl->out &&
	       emb_conn_waiting(c) < EMB_OUT_HIGH) {
		struct emb_out *out =
			HAX_CONTAINER_OF(hl->unsent, struct emb_out, in_link);

		if (!out->acked) {
			rc = emb_conn_put(c, out->body->frame, out->body->len);
			if (rc != 0)
				break;
			wire_msg_retag(c->out + c->out_end - out->body->len,
				       out->tag);
			if (out->tag > hl->tag_written)
				hl->tag_written = out->tag;
		}
		hl->unsent = hl->unsent->next;
	}
	return rc;
}

bool emb_conn_flush(struct emb_conn *c)
{
	while (emb_conn_waiting(c) > 0) {
		ssize_t n = send(c->fd, c->out + c->out_at, emb_conn_waiting(c),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			c->out_at += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
	}
	c->out_at = 0;
	c->out_end = 0;
	if (c->out_cap > OUT_KEEP) {
		free(c->out);
		c->out = NULL;
		c->out_cap = 0;
	}
	return true;
}
