/* SPDX-License-Identifier: Apache-2.0 */
/* What the user calls while the interface runs, from any thread. */
#include "bridge_state.h"

#include <errno.h>
#include <stdlib.h>

#include "fid/fid.h"
#include "ha/halon/interface.h"
#include "ha/link.h"
#include "ha/msg.h"
#include "lib/types.h"

#include "args.h"
#include "msg.h"

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
