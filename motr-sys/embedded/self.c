/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The self link: the bridge as a process of itself, in memory.
 */
#include "embedded.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
	/** High byte of a process fid's container: 'r', as in Motr's conf. */
	PROCESS_FID_TYPE = 0x72,
};

/** What was last said of a process on the self link. */
struct self_state {
	struct hax_map_node by_fid;
	struct m0_fid       fid;
	uint32_t            state;
	/** Nothing was said of it yet. */
	bool                is_new;
};

static uint64_t fid_key(const struct m0_fid *fid)
{
	return fid->f_key ^ (fid->f_container * UINT64_C(0xff51afd7ed558ccd));
}

static bool fid_eq(const struct m0_fid *a, const struct m0_fid *b)
{
	return a->f_container == b->f_container && a->f_key == b->f_key;
}

static struct self_state *state_of(emb_t *e, const struct m0_fid *fid)
{
	struct hax_map_node *node = hax_map_find(&e->self_states, fid_key(fid));
	struct self_state   *s;

	for (; node != NULL; node = hax_map_same(node)) {
		s = HAX_CONTAINER_OF(node, struct self_state, by_fid);
		if (fid_eq(&s->fid, fid))
			return s;
	}
	s = e->self_states.nr < EMB_STATES_MAX ? calloc(1, sizeof *s) : NULL;
	if (s == NULL)
		return NULL;
	s->fid = *fid;
	s->state = M0_NC_UNKNOWN;
	s->is_new = true;
	if (hax_map_insert(&e->self_states, &s->by_fid, fid_key(fid)) != 0) {
		free(s);
		return NULL;
	}
	return s;
}

static void drop_links_of(emb_t *e, const struct m0_fid *process)
{
	struct hax_map_node *node = NULL;

	while ((node = hax_map_next(&e->links, node)) != NULL) {
		struct m0_ha_link *hl =
			HAX_CONTAINER_OF(node, struct m0_ha_link, by_id);

		/* Dropping does not change the map: the link ends later. */
		if (!hl->self && fid_eq(&hl->process, process))
			emb_link_drop(e, hl);
	}
}

static void note_take(emb_t *e, const struct m0_ha_note *note, bool same_ignored)
{
	struct self_state *s;
	bool               is_new;
	bool               repeated;

	if (note->no_id.f_container >> 56 != PROCESS_FID_TYPE)
		return;
	s = state_of(e, &note->no_id);
	if (s == NULL) {
		emb_log(2, "state of process <%llx:%llx> is not remembered",
			(unsigned long long)note->no_id.f_container,
			(unsigned long long)note->no_id.f_key);
		return;
	}
	is_new = s->is_new;
	repeated = s->state == note->no_state;
	s->is_new = false;
	s->state = note->no_state;
	if (note->no_state == M0_NC_FAILED && !is_new &&
	    !(repeated && same_ignored))
		drop_links_of(e, &note->no_id);
}

static void frame_take(emb_t *e, const struct emb_out *out)
{
	const uint8_t    *payload = out->body->frame + WIRE_HEADER_LEN;
	size_t            len = out->body->len - WIRE_HEADER_LEN;
	struct m0_ha_msg *msg;
	uint64_t          tag;
	size_t            size;

	if (wire_msg_peek(payload, len, &tag, &size) != NULL)
		return;
	msg = calloc(1, size);
	if (msg == NULL) {
		emb_log(1, "no memory for a message to ourselves");
		return;
	}
	if (wire_msg_decode(payload, len, msg) == NULL &&
	    msg->hm_data.hed_type == M0_HA_MSG_NVEC &&
	    msg->hm_data.u.hed_nvec.hmnv_type == M0_HA_NVEC_SET) {
		const struct m0_ha_msg_nvec *n = &msg->hm_data.u.hed_nvec;

		for (uint64_t i = 0; i < n->hmnv_nr; i++)
			note_take(e, &n->hmnv_arr.hmna_arr[i],
				  n->hmnv_ignore_same_state != 0);
	}
	free(msg);
}

void emb_self_take(emb_t *e)
{
	struct m0_ha_link *hl = e->self_link;

	if (hl == NULL || hl->state != EMB_LINK_ACTIVE)
		return;
	while (hl->unsent != &hl->out) {
		struct emb_out *out =
			HAX_CONTAINER_OF(hl->unsent, struct emb_out, in_link);

		hl->unsent = hl->unsent->next;
		frame_take(e, out);
		out->acked = true;
	}
}

static void post(emb_t *e, uint64_t type, const struct m0_fid *service,
		 uint64_t event, uint64_t subject_type)
{
	struct emb_in   *in = emb_in_new(sizeof(struct m0_ha_msg));
	struct timespec  now;

	if (in == NULL) {
		emb_log(1, "no memory for an event of our own");
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	e->self_tag += 2;
	in->tag = e->self_tag;
	in->msg.hm_fid = service == NULL ? e->process : *service;
	/* As the library: an event of a process names no source. */
	if (service != NULL) {
		in->msg.hm_source_process = e->process;
		in->msg.hm_source_service = *service;
	}
	in->msg.hm_time = (uint64_t)now.tv_sec * UINT64_C(1000000000) +
			  (uint64_t)now.tv_nsec;
	in->msg.hm_data.hed_type = type;
	if (type == M0_HA_MSG_EVENT_PROCESS)
		in->msg.hm_data.u.hed_event_process =
			(struct m0_conf_ha_process){
				event, subject_type, (uint64_t)getpid() };
	else
		in->msg.hm_data.u.hed_event_service =
			(struct m0_conf_ha_service){
				event, subject_type, (uint64_t)getpid() };
	emb_list_add(&e->self_inbox, &in->in_list);
	emb_wake(e);
}

static void post_process(emb_t *e, uint64_t event)
{
	post(e, M0_HA_MSG_EVENT_PROCESS, NULL, event, M0_CONF_HA_PROCESS_M0D);
}

static void post_ha(emb_t *e, uint64_t event)
{
	post(e, M0_HA_MSG_EVENT_SERVICE, &e->ha_service, event, M0_CST_HA);
}

static void post_rm(emb_t *e, uint64_t event)
{
	post(e, M0_HA_MSG_EVENT_SERVICE, &e->rm_service, event, M0_CST_RMS);
}

void emb_self_post_start(emb_t *e)
{
	post_process(e, M0_CONF_HA_PROCESS_STARTING);
	post_ha(e, M0_CONF_HA_SERVICE_STARTING);
	post_ha(e, M0_CONF_HA_SERVICE_STARTED);
	post_rm(e, M0_CONF_HA_SERVICE_STARTING);
	post_rm(e, M0_CONF_HA_SERVICE_STARTED);
	post_process(e, M0_CONF_HA_PROCESS_STARTED);
}

void emb_self_post_stop(emb_t *e)
{
	if (e->self_link == NULL)
		return;
	post_process(e, M0_CONF_HA_PROCESS_STOPPING);
	post_rm(e, M0_CONF_HA_SERVICE_STOPPING);
	post_rm(e, M0_CONF_HA_SERVICE_STOPPED);
	post_ha(e, M0_CONF_HA_SERVICE_STOPPING);
	post_ha(e, M0_CONF_HA_SERVICE_STOPPED);
	post_process(e, M0_CONF_HA_PROCESS_STOPPED);
}

bool emb_self_is_quiet(emb_t *e)
{
	return emb_list_is_empty(&e->self_inbox) &&
	       (e->self_link == NULL || e->self_link->received.nr == 0);
}

static void inbox_step(emb_t *e)
{
	while (!emb_list_is_empty(&e->self_inbox)) {
		struct m0_ha_link *hl = e->self_link;
		struct emb_in     *in = HAX_CONTAINER_OF(
			e->self_inbox.next, struct emb_in, in_list);
		uint64_t           tag = in->tag;

		emb_list_del(&in->in_list);
		if (hl == NULL || hl->state != EMB_LINK_ACTIVE ||
		    hax_map_insert(&hl->received, &in->by_tag, tag) != 0) {
			free(in);
			pthread_cond_broadcast(&e->changed);
			continue;
		}
		EMB_CALLBACK(e, msg_received, hl, &in->msg, tag);
	}
}

void emb_self_step(emb_t *e)
{
	if (e->self_ask) {
		struct wire_entrypoint_req wire = {
			.first   = e->self_first,
			.process = e->process,
			.pid     = (uint64_t)getpid(),
			.git_rev = "embedded",
		};

		e->self_ask = false;
		for (size_t i = 0; i < sizeof wire.endpoint; i++)
			wire.endpoint[i] = e->endpoint.text[i];
		if (emb_req_new(e, NULL, &wire) != 0)
			e->self_ask = true;
	}
	inbox_step(e);
}

void emb_self_fini(emb_t *e)
{
	struct hax_map_node *node;

	while (!emb_list_is_empty(&e->self_inbox)) {
		struct emb_list *l = e->self_inbox.next;

		emb_list_del(l);
		free(HAX_CONTAINER_OF(l, struct emb_in, in_list));
	}
	while ((node = hax_map_any(&e->self_states)) != NULL) {
		hax_map_remove(&e->self_states, node);
		free(HAX_CONTAINER_OF(node, struct self_state, by_fid));
	}
	hax_map_fini(&e->self_states);
}
