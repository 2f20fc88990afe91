/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message to many links, and how many messages may come in.  As in
 * bridge_calls.c, each link is held across the call into the library.
 */
#include "bridge_state.h"

#include <errno.h>
#include <stdlib.h>

#include "args.h"
#include "flow.h"
#include "msg.h"

/* Links that are sent to in one call: what a broadcast has on its stack. */
enum { CHUNK = 64 };

static void send_chunk(struct hax_bridge *b, const struct m0_ha_msg *msg,
		       struct hax_broadcast_link *to, uint32_t nr)
{
	struct hax_link   *held[CHUNK];
	struct m0_ha_link *links[CHUNK] = { NULL };
	uint64_t           tags[CHUNK];
	uint32_t           held_nr = 0;
	uint32_t           j = 0;

	for (uint32_t i = 0; i < nr; i++) {
		to[i].tag = 0;
		to[i].rc = hax_reg_send(&b->reg, to[i].link, &held[held_nr]);
		if (to[i].rc != 0)
			continue;
		links[held_nr] = held[held_nr]->handle;
		held_nr++;
	}
	hax_backend_send(b->hi, msg, links, tags, held_nr);
	for (uint32_t i = 0; i < nr; i++) {
		if (to[i].rc != 0)
			continue;
		to[i].tag = tags[j];
		to[i].rc = tags[j] == 0 ? -ENOENT : 0;
		hax_reg_link_put(&b->reg, held[j++]);
	}
}

int hax_bridge_broadcast_nvec(struct hax_bridge *b,
			      const struct hax_nvec *nvec,
			      struct hax_broadcast_link *to, uint32_t nr)
{
	struct m0_ha_msg *msg;
	struct hax_fid    process;

	if (b == NULL || !hax_args_nvec(nvec) || (to == NULL && nr > 0))
		return -EINVAL;
	process = hax_reg_process(&b->reg);
	msg = hax_msg_new(&process);
	if (msg == NULL)
		return -ENOMEM;
	hax_msg_set_nvec(msg, nvec);
	for (uint32_t at = 0; at < nr; at += CHUNK)
		send_chunk(b, msg, to + at, nr - at < CHUNK ? nr - at : CHUNK);
	free(msg);
	return 0;
}

int hax_bridge_set_queue_max(struct hax_bridge *b, uint32_t max)
{
	if (b == NULL || max == 0)
		return -EINVAL;
	if (b->started)
		return -EALREADY;
	hax_backend_set_queue_max(b->hi, max);
	return 0;
}
