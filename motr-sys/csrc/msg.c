/* SPDX-License-Identifier: Apache-2.0 */
#include "msg.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conf/ha.h"
#include "ha/note.h"
#include "net/ip.h"

_Static_assert(sizeof(struct hax_note) == sizeof(struct m0_ha_note),
	       "hax_note and m0_ha_note are one layout");
_Static_assert(offsetof(struct hax_note, object) ==
	       offsetof(struct m0_ha_note, no_id), "object");
_Static_assert(offsetof(struct hax_note, state) ==
	       offsetof(struct m0_ha_note, no_state), "state");
_Static_assert(sizeof(struct hax_fid) == sizeof(struct m0_fid) &&
	       offsetof(struct hax_fid, container) ==
	       offsetof(struct m0_fid, f_container) &&
	       offsetof(struct hax_fid, key) == offsetof(struct m0_fid, f_key),
	       "hax_fid and m0_fid are one layout");
_Static_assert(HAX_NOTES_MAX == M0_HA_STATE_UPDATE_LIMIT, "notes in a message");
_Static_assert(HAX_ENDPOINT_MAX > M0_NET_IP_STRLEN_MAX, "endpoint");
_Static_assert((int)HAX_MSG_STOB_IOQ == (int)M0_HA_MSG_STOB_IOQ &&
	       (int)HAX_MSG_NVEC == (int)M0_HA_MSG_NVEC &&
	       (int)HAX_MSG_FAILURE_VEC_REQ == (int)M0_HA_MSG_FAILURE_VEC_REQ &&
	       (int)HAX_MSG_FAILURE_VEC_REP == (int)M0_HA_MSG_FAILURE_VEC_REP &&
	       (int)HAX_MSG_KEEPALIVE_REQ == (int)M0_HA_MSG_KEEPALIVE_REQ &&
	       (int)HAX_MSG_KEEPALIVE_REP == (int)M0_HA_MSG_KEEPALIVE_REP &&
	       (int)HAX_MSG_EVENT_PROCESS == (int)M0_HA_MSG_EVENT_PROCESS &&
	       (int)HAX_MSG_EVENT_SERVICE == (int)M0_HA_MSG_EVENT_SERVICE &&
	       (int)HAX_MSG_EVENT_RPC == (int)M0_HA_MSG_EVENT_RPC &&
	       (int)HAX_MSG_BE_IO_ERR == (int)M0_HA_MSG_BE_IO_ERR &&
	       (int)HAX_MSG_SNS_ERR == (int)M0_HA_MSG_SNS_ERR,
	       "message types");
_Static_assert((int)HAX_NVEC_SET == (int)M0_HA_NVEC_SET &&
	       (int)HAX_NVEC_GET == (int)M0_HA_NVEC_GET, "nvec types");

static uint32_t notes_nr(uint64_t nr, bool *whole)
{
	if (nr <= HAX_NOTES_MAX)
		return (uint32_t)nr;
	*whole = false;
	return HAX_NOTES_MAX;
}

bool hax_msg_in(const struct m0_ha_msg *msg, struct hax_msg *up)
{
	const struct m0_ha_msg_data *d = &msg->hm_data;
	bool                         whole = true;

	*up = (struct hax_msg){
		.type           = d->hed_type,
		.fid            = hax_fid_in(&msg->hm_fid),
		.source_process = hax_fid_in(&msg->hm_source_process),
		.source_service = hax_fid_in(&msg->hm_source_service),
		.time           = msg->hm_time,
		.epoch          = msg->hm_epoch,
	};
	switch (d->hed_type) {
	case M0_HA_MSG_STOB_IOQ: {
		const struct m0_stob_ioq_error *e = &d->u.hed_stob_ioq;

		up->u.stob_ioq = (struct hax_stob_ioq_error){
			.conf_sdev   = hax_fid_in(&e->sie_conf_sdev),
			.stob_domain = hax_fid_in(&e->sie_stob_id.si_domain_fid),
			.stob        = hax_fid_in(&e->sie_stob_id.si_fid),
			.fd          = e->sie_fd,
			.opcode      = e->sie_opcode,
			.rc          = e->sie_rc,
			.offset      = e->sie_offset,
			.size        = e->sie_size,
			.bshift      = e->sie_bshift,
		};
		break;
	}
	case M0_HA_MSG_NVEC: {
		const struct m0_ha_msg_nvec *n = &d->u.hed_nvec;

		up->u.nvec = (struct hax_nvec){
			.type              = n->hmnv_type,
			.id_of_get         = n->hmnv_id_of_get,
			.ignore_same_state = n->hmnv_ignore_same_state,
			.nr                = notes_nr(n->hmnv_nr, &whole),
			.notes             = (const struct hax_note *)
						n->hmnv_arr.hmna_arr,
		};
		break;
	}
	case M0_HA_MSG_FAILURE_VEC_REQ: {
		const struct m0_ha_msg_failure_vec_req *r = &d->u.hed_fvec_req;

		up->u.failure_vec = (struct hax_failure_vec){
			.pool   = hax_fid_in(&r->mfq_pool),
			.cookie = { r->mfq_cookie.co_addr,
				    r->mfq_cookie.co_generation },
		};
		break;
	}
	case M0_HA_MSG_FAILURE_VEC_REP: {
		const struct m0_ha_msg_failure_vec_rep *r = &d->u.hed_fvec_rep;

		up->u.failure_vec = (struct hax_failure_vec){
			.pool   = hax_fid_in(&r->mfp_pool),
			.cookie = { r->mfp_cookie.co_addr,
				    r->mfp_cookie.co_generation },
			.nr     = notes_nr(r->mfp_nr, &whole),
		};
		break;
	}
	case M0_HA_MSG_KEEPALIVE_REQ:
		up->u.keepalive.id = (struct hax_uint128){
			d->u.hed_keepalive_req.kaq_id.u_hi,
			d->u.hed_keepalive_req.kaq_id.u_lo };
		break;
	case M0_HA_MSG_KEEPALIVE_REP:
		up->u.keepalive = (struct hax_keepalive){
			.id = { d->u.hed_keepalive_rep.kap_id.u_hi,
				d->u.hed_keepalive_rep.kap_id.u_lo },
			.counter = d->u.hed_keepalive_rep.kap_counter,
		};
		break;
	case M0_HA_MSG_EVENT_PROCESS:
		up->u.event = (struct hax_conf_event){
			.event = d->u.hed_event_process.chp_event,
			.type  = d->u.hed_event_process.chp_type,
			.pid   = d->u.hed_event_process.chp_pid,
		};
		break;
	case M0_HA_MSG_EVENT_SERVICE:
		up->u.event = (struct hax_conf_event){
			.event = d->u.hed_event_service.chs_event,
			.type  = d->u.hed_event_service.chs_type,
			.pid   = d->u.hed_event_service.chs_pid,
		};
		break;
	case M0_HA_MSG_EVENT_RPC:
		up->u.rpc = (struct hax_rpc_event){
			.attempts = d->u.hed_event_rpc.hmr_attempts,
			.state    = d->u.hed_event_rpc.hmr_state,
		};
		break;
	case M0_HA_MSG_BE_IO_ERR:
		up->u.be_io_err = (struct hax_be_io_err){
			.errcode   = d->u.hed_be_io_err.ber_errcode,
			.location  = d->u.hed_be_io_err.ber_location,
			.io_opcode = d->u.hed_be_io_err.ber_io_opcode,
		};
		break;
	case M0_HA_MSG_SNS_ERR:
		up->u.sns_err = (struct hax_sns_err){
			.errcode = d->u.hed_ha_sns_err.hse_errcode,
			.opcode  = d->u.hed_ha_sns_err.hse_opcode,
		};
		break;
	default:
		break;
	}
	return whole;
}

struct m0_ha_msg *hax_msg_new(const struct hax_fid *source_process)
{
	struct m0_ha_msg *msg = calloc(1, sizeof *msg);
	struct timespec   now;

	if (msg == NULL)
		return NULL;
	clock_gettime(CLOCK_REALTIME, &now);
	msg->hm_time = (uint64_t)now.tv_sec * UINT64_C(1000000000) +
		       (uint64_t)now.tv_nsec;
	msg->hm_source_process = hax_fid_out(source_process);
	return msg;
}

void hax_msg_set_nvec(struct m0_ha_msg *msg, const struct hax_nvec *nvec)
{
	struct m0_ha_msg_nvec *n = &msg->hm_data.u.hed_nvec;

	msg->hm_data.hed_type = M0_HA_MSG_NVEC;
	n->hmnv_type = nvec->type;
	n->hmnv_id_of_get = nvec->id_of_get;
	n->hmnv_ignore_same_state = nvec->ignore_same_state;
	n->hmnv_nr = nvec->nr;
	if (nvec->nr > 0)
		memcpy(n->hmnv_arr.hmna_arr, nvec->notes,
		       nvec->nr * sizeof *nvec->notes);
}

void hax_msg_set_failure_vec_rep(struct m0_ha_msg *msg,
				 const struct hax_fid *pool,
				 const uint64_t cookie[2],
				 const struct hax_note *notes, uint32_t nr)
{
	struct m0_ha_msg_failure_vec_rep *rep = &msg->hm_data.u.hed_fvec_rep;

	msg->hm_fid = hax_fid_out(pool);
	msg->hm_data.hed_type = M0_HA_MSG_FAILURE_VEC_REP;
	rep->mfp_pool = hax_fid_out(pool);
	rep->mfp_cookie.co_addr = cookie[0];
	rep->mfp_cookie.co_generation = cookie[1];
	rep->mfp_nr = nr;
	if (nr > 0)
		memcpy(rep->mfp_vec.hmna_arr, notes, nr * sizeof *notes);
}

void hax_msg_set_process_event(struct m0_ha_msg *msg,
			       const struct hax_fid *process,
			       const struct hax_conf_event *event)
{
	msg->hm_fid = hax_fid_out(process);
	msg->hm_source_process = hax_fid_out(process);
	msg->hm_data.hed_type = M0_HA_MSG_EVENT_PROCESS;
	msg->hm_data.u.hed_event_process = (struct m0_conf_ha_process){
		.chp_event = event->event,
		.chp_type  = event->type,
		.chp_pid   = event->pid,
	};
}
