/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room for messages that are received and not yet delivered: what a link may
 * have, and what all links may have together (rfc/6-wire.md, "Back-pressure").
 *
 * A connection whose next frame is a message without room is not read.  It
 * waits for its link's own window, or in `waiting` for what all links share.
 */
#include "embedded.h"

#include "flow.h"

enum {
	/** Content of a message that counts as one more. */
	UNIT_BYTES = 2048,
	/** Messages of a connection before others that wait get their turn. */
	TURN       = 16,
};

void hax_backend_set_queue_max(struct m0_halon_interface *hi, uint32_t max)
{
	emb_t *e = hi->hif_internal;

	pthread_mutex_lock(&e->lock);
	e->room_max = max;
	pthread_mutex_unlock(&e->lock);
}

void emb_room_take(emb_t *e, struct m0_ha_link *hl, struct emb_in *in,
		   size_t size)
{
	in->units = 1 + (uint32_t)(size / UNIT_BYTES);
	hl->units += in->units;
	e->units += in->units;
	if (e->turn != NULL && e->turn->link == hl && e->turn->turn_left > 0)
		e->turn->turn_left--;
}

static void give(emb_t *e, struct m0_ha_link *hl, uint32_t units)
{
	hl->units -= units;
	e->units -= units;
	if (e->is_full && e->units <= e->room_max / 2) {
		e->is_full = false;
		emb_log(3, "half of the room for messages is free again");
	}
	if (!emb_list_is_empty(&e->waiting))
		emb_wake(e);
}

void emb_room_give(emb_t *e, struct m0_ha_link *hl, struct emb_in *in)
{
	give(e, hl, in->units);
	in->units = 0;
}

void emb_room_give_all(emb_t *e, struct m0_ha_link *hl)
{
	give(e, hl, hl->units);
}

static bool window_is_full(const struct m0_ha_link *hl)
{
	return hl->received.nr >= EMB_RECEIVED_MAX;
}

bool emb_room_is_free(const emb_t *e, const struct emb_conn *c)
{
	const struct m0_ha_link *hl = c->link;

	/* Without a link the frame is a bad one, which is not kept. */
	if (hl == NULL)
		return true;
	if (window_is_full(hl))
		return false;
	if (hl->units < EMB_RESERVED)
		return true;
	if (e->units >= e->room_max)
		return false;
	/* Nobody overtakes those that wait. */
	return e->turn == c ? c->turn_left > 0 : emb_list_is_empty(&e->waiting);
}

void emb_room_queue(emb_t *e, struct emb_conn *c)
{
	/* The window's own end is seen as a message is delivered. */
	bool waits = c->msg_waits && !window_is_full(c->link);

	if (!waits)
		emb_list_del(&c->in_waiting);
	else if (emb_list_is_empty(&c->in_waiting))
		emb_list_add(&e->waiting, &c->in_waiting);
	if (waits && !e->is_full && e->units >= e->room_max) {
		e->is_full = true;
		emb_log(2, "%u messages are not delivered yet: links are not "
			"read until there is room", e->units);
	}
}

void emb_room_admit(emb_t *e)
{
	while (!emb_list_is_empty(&e->waiting) && e->units < e->room_max) {
		struct emb_conn *c = HAX_CONTAINER_OF(
			e->waiting.next, struct emb_conn, in_waiting);

		emb_list_del(&c->in_waiting);
		c->turn_left = TURN;
		e->turn = c;
		emb_conn_service(e, c);
		e->turn = NULL;
	}
}
