/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a link, and the ends of the messages on it. */
#include "embedded.h"

#include <stdlib.h>
#include <string.h>

struct m0_ha_link *emb_link_new(emb_t *e, const struct m0_fid *process,
				const char *endpoint, bool self)
{
	struct m0_ha_link *hl;

	if (e->links.nr >= EMB_LINKS_MAX)
		return NULL;
	hl = calloc(1, sizeof *hl);
	if (hl == NULL)
		return NULL;
	hl->id = e->link_last + 1;
	if (hax_map_insert(&e->links, &hl->by_id, hl->id) != 0) {
		free(hl);
		return NULL;
	}
	e->link_last++;
	emb_list_init(&hl->in_ready);
	emb_list_init(&hl->out);
	emb_list_init(&hl->acks);
	hl->unsent = &hl->out;
	hl->self = self;
	hl->process = *process;
	hl->tag_next = 1;
	strncpy(hl->endpoint, endpoint, sizeof hl->endpoint - 1);
	return hl;
}

struct m0_ha_link *emb_link_find(emb_t *e, uint64_t id)
{
	struct hax_map_node *node = hax_map_find(&e->links, id);

	return node == NULL ? NULL
			    : HAX_CONTAINER_OF(node, struct m0_ha_link, by_id);
}

void emb_link_touch(emb_t *e, struct m0_ha_link *hl)
{
	if (emb_list_is_empty(&hl->in_ready))
		emb_list_add(&e->ready, &hl->in_ready);
	emb_wake(e);
}

static struct emb_out *out_of(struct emb_list *l)
{
	return HAX_CONTAINER_OF(l, struct emb_out, in_link);
}

void emb_link_bind(emb_t *e, struct m0_ha_link *hl, struct emb_conn *c)
{
	if (hl->conn == c)
		return;
	/* Replies may come in any order: the newer connection counts. */
	if (hl->conn != NULL && hl->conn->number > c->number) {
		emb_conn_close(e, c);
		return;
	}
	if (hl->conn != NULL)
		emb_conn_close(e, hl->conn);
	hl->conn = c;
	c->link = hl;
	/* Everything not delivered goes again, in the order of tags. */
	hl->unsent = hl->out.next;
}

void emb_link_unbind(struct m0_ha_link *hl)
{
	hl->conn->link = NULL;
	hl->conn = NULL;
	/* The process sends again what it has not seen acknowledged. */
	while (!emb_list_is_empty(&hl->acks)) {
		struct emb_list *l = hl->acks.next;

		emb_list_del(l);
		free(HAX_CONTAINER_OF(l, struct emb_in, in_list));
	}
}

void emb_link_drop(emb_t *e, struct m0_ha_link *hl)
{
	if (hl->state != EMB_LINK_ACTIVE)
		return;
	hl->state = EMB_LINK_DROPPING;
	if (hl->conn != NULL)
		emb_conn_close(e, hl->conn);
	emb_link_touch(e, hl);
}

struct emb_in *emb_in_new(size_t size)
{
	struct emb_in *in = calloc(1, offsetof(struct emb_in, msg) + size);

	if (in != NULL)
		emb_list_init(&in->in_list);
	return in;
}

/* Reports the ends of messages, in the order of sending. */
static void report_out(emb_t *e, struct m0_ha_link *hl, bool all)
{
	while (!emb_list_is_empty(&hl->out)) {
		struct emb_out *out = out_of(hl->out.next);
		uint64_t        tag = out->tag;
		bool            acked = out->acked;

		if (!acked && !all)
			break;
		if (hl->unsent == &out->in_link)
			hl->unsent = out->in_link.next;
		emb_list_del(&out->in_link);
		emb_out_free(out);
		if (acked)
			EMB_CALLBACK(e, msg_is_delivered, hl, tag);
		else
			EMB_CALLBACK(e, msg_is_not_delivered, hl, tag);
	}
}

static void end(emb_t *e, struct m0_ha_link *hl)
{
	bool agreed = hl->disconnect_called;

	report_out(e, hl, true);
	emb_room_give_all(e, hl);
	hax_map_remove(&e->links, &hl->by_id);
	if (hl == e->self_link)
		e->self_link = NULL;
	/* Before the report, as a call may be on its way into the backend. */
	if (!agreed)
		hl->state = EMB_LINK_DEAD;
	EMB_CALLBACK(e, link_disconnected, hl);
	emb_list_del(&hl->in_ready);
	if (agreed)
		emb_link_free(hl);
	else
		emb_list_add(&e->zombies, &hl->in_ready);
}

void emb_link_step(emb_t *e, struct m0_ha_link *hl)
{
	if (hl->self)
		emb_self_take(e);
	/* Callbacks of one link do not overlap: the reply touches it again. */
	if (hl->repliers > 0)
		return;
	report_out(e, hl, false);
	if (hl->state == EMB_LINK_DROPPING) {
		hl->state = EMB_LINK_DISCONNECTING;
		EMB_CALLBACK(e, link_is_disconnecting, hl);
	}
	if (hl->state == EMB_LINK_DISCONNECTING &&
	    (hl->disconnect_called ||
	     (e->drop_begun && emb_now_ms() >= e->drop_deadline_ms)))
		end(e, hl);
}

void emb_link_free(struct m0_ha_link *hl)
{
	struct hax_map_node *node;

	while (!emb_list_is_empty(&hl->out)) {
		struct emb_out *out = out_of(hl->out.next);

		emb_list_del(&out->in_link);
		emb_out_free(out);
	}
	while (!emb_list_is_empty(&hl->acks)) {
		struct emb_list *l = hl->acks.next;

		emb_list_del(l);
		free(HAX_CONTAINER_OF(l, struct emb_in, in_list));
	}
	while ((node = hax_map_any(&hl->received)) != NULL) {
		struct emb_in *in =
			HAX_CONTAINER_OF(node, struct emb_in, by_tag);

		hax_map_remove(&hl->received, node);
		free(in);
	}
	hax_map_fini(&hl->received);
	free(hl);
}

void m0_ha_link_rpc_endpoint(struct m0_ha_link *hl, char *buf,
			     m0_bcount_t buf_len)
{
	size_t len = strlen(hl->endpoint);

	if (buf_len == 0)
		return;
	if (len >= buf_len)
		len = buf_len - 1;
	memcpy(buf, hl->endpoint, len);
	buf[len] = '\0';
}

void m0_halon_interface_delivered(struct m0_halon_interface *hi,
				  struct m0_ha_link *hl,
				  const struct m0_ha_msg *msg)
{
	emb_t         *e = hi->hif_internal;
	struct emb_in *in = HAX_CONTAINER_OF(msg, struct emb_in, msg);

	pthread_mutex_lock(&e->lock);
	if (hl->state == EMB_LINK_DEAD) {
		pthread_mutex_unlock(&e->lock);
		return;
	}
	hax_map_remove(&hl->received, &in->by_tag);
	emb_room_give(e, hl, in);
	if (hl->conn != NULL) {
		emb_list_add(&hl->acks, &in->in_list);
		emb_conn_touch(e, hl->conn);
		in = NULL;
	} else if (hl->self) {
		pthread_cond_broadcast(&e->changed);
	}
	pthread_mutex_unlock(&e->lock);
	free(in);
}

void m0_halon_interface_disconnect(struct m0_halon_interface *hi,
				   struct m0_ha_link *hl)
{
	emb_t *e = hi->hif_internal;

	pthread_mutex_lock(&e->lock);
	if (hl->state != EMB_LINK_DEAD) {
		hl->disconnect_called = true;
		emb_link_touch(e, hl);
	}
	pthread_mutex_unlock(&e->lock);
}
