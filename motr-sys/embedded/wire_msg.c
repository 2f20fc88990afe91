/* SPDX-License-Identifier: Apache-2.0 */
/* The MSG frame: m0_ha_msg to bytes and back. */
#include "wire.h"

#include <stddef.h>

enum {
	/** tag, type, three fids, time, epoch. */
	MSG_FIXED_LEN = 8 + 4 + 3 * 16 + 8 + 8,
	NOTE_LEN      = 16 + 4,
};

/* Fixed bytes of the body, and where the number of notes is, if it has notes. */
struct body {
	size_t len;
	size_t nr_at;
};

static bool body_of(uint64_t type, struct body *out)
{
	static const struct body bodies[] = {
		[M0_HA_MSG_STOB_IOQ]        = { 3 * 16 + 5 * 8 + 4, 0 },
		[M0_HA_MSG_NVEC]            = { 3 * 8 + 4, 3 * 8 },
		[M0_HA_MSG_FAILURE_VEC_REQ] = { 16 + 2 * 8, 0 },
		[M0_HA_MSG_FAILURE_VEC_REP] = { 16 + 2 * 8 + 4, 16 + 2 * 8 },
		[M0_HA_MSG_KEEPALIVE_REQ]   = { 2 * 8, 0 },
		[M0_HA_MSG_KEEPALIVE_REP]   = { 3 * 8, 0 },
		[M0_HA_MSG_EVENT_PROCESS]   = { 3 * 8, 0 },
		[M0_HA_MSG_EVENT_SERVICE]   = { 3 * 8, 0 },
		[M0_HA_MSG_EVENT_RPC]       = { 2 * 8, 0 },
		[M0_HA_MSG_BE_IO_ERR]       = { 4 + 1 + 1, 0 },
		[M0_HA_MSG_SNS_ERR]         = { 4 + 1, 0 },
	};

	if (type == M0_HA_MSG_INVALID ||
	    type >= sizeof bodies / sizeof bodies[0])
		return false;
	*out = bodies[type];
	return true;
}

const char *wire_msg_peek(const uint8_t *payload, size_t len, uint64_t *tag,
			  size_t *msg_size)
{
	struct wire_reader r = { payload, payload + len, false };
	struct body        body;
	uint32_t           type;
	uint32_t           nr = 0;
	size_t             want;
	size_t             notes_at = 0;

	*tag = wire_get_u64(&r);
	type = wire_get_u32(&r);
	if (r.bad)
		return "payload is too short";
	if (!body_of(type, &body))
		return "unknown message type";
	want = MSG_FIXED_LEN + body.len;
	if (len < want)
		return "payload is too short";
	if (body.nr_at != 0) {
		r.at = payload + MSG_FIXED_LEN + body.nr_at;
		nr = wire_get_u32(&r);
		if (nr > WIRE_NOTES_MAX)
			return "too many notes";
		want += (size_t)nr * NOTE_LEN;
	}
	if (len != want)
		return len < want ? "payload is too short"
				  : "payload is too long";
	if (type == M0_HA_MSG_NVEC)
		notes_at = offsetof(struct m0_ha_msg,
				    hm_data.u.hed_nvec.hmnv_arr);
	else if (type == M0_HA_MSG_FAILURE_VEC_REP)
		notes_at = offsetof(struct m0_ha_msg,
				    hm_data.u.hed_fvec_rep.mfp_vec);
	*msg_size = notes_at != 0
		? notes_at + nr * sizeof(struct m0_ha_note)
		: offsetof(struct m0_ha_msg, hm_data.u) +
		  sizeof(struct m0_stob_ioq_error);
	return NULL;
}

static void get_notes(struct wire_reader *r, uint32_t nr,
		      struct m0_ha_msg_nvec_array *out)
{
	for (uint32_t i = 0; i < nr; i++) {
		out->hmna_arr[i].no_id = wire_get_fid(r);
		out->hmna_arr[i].no_state = wire_get_u32(r);
	}
}

static void get_body(struct wire_reader *r, struct m0_ha_msg_data *d)
{
	switch (d->hed_type) {
	case M0_HA_MSG_STOB_IOQ: {
		struct m0_stob_ioq_error *e = &d->u.hed_stob_ioq;

		e->sie_conf_sdev = wire_get_fid(r);
		e->sie_stob_id.si_domain_fid = wire_get_fid(r);
		e->sie_stob_id.si_fid = wire_get_fid(r);
		e->sie_fd = (int64_t)wire_get_u64(r);
		e->sie_opcode = (int64_t)wire_get_u64(r);
		e->sie_rc = (int64_t)wire_get_u64(r);
		e->sie_offset = wire_get_u64(r);
		e->sie_size = wire_get_u64(r);
		e->sie_bshift = wire_get_u32(r);
		break;
	}
	case M0_HA_MSG_NVEC: {
		struct m0_ha_msg_nvec *n = &d->u.hed_nvec;

		n->hmnv_type = wire_get_u64(r);
		n->hmnv_id_of_get = wire_get_u64(r);
		n->hmnv_ignore_same_state = wire_get_u64(r);
		n->hmnv_nr = wire_get_u32(r);
		get_notes(r, (uint32_t)n->hmnv_nr, &n->hmnv_arr);
		break;
	}
	case M0_HA_MSG_FAILURE_VEC_REQ:
		d->u.hed_fvec_req.mfq_pool = wire_get_fid(r);
		d->u.hed_fvec_req.mfq_cookie.co_addr = wire_get_u64(r);
		d->u.hed_fvec_req.mfq_cookie.co_generation = wire_get_u64(r);
		break;
	case M0_HA_MSG_FAILURE_VEC_REP: {
		struct m0_ha_msg_failure_vec_rep *rep = &d->u.hed_fvec_rep;

		rep->mfp_pool = wire_get_fid(r);
		rep->mfp_cookie.co_addr = wire_get_u64(r);
		rep->mfp_cookie.co_generation = wire_get_u64(r);
		rep->mfp_nr = wire_get_u32(r);
		get_notes(r, rep->mfp_nr, &rep->mfp_vec);
		break;
	}
	case M0_HA_MSG_KEEPALIVE_REQ:
		d->u.hed_keepalive_req.kaq_id.u_hi = wire_get_u64(r);
		d->u.hed_keepalive_req.kaq_id.u_lo = wire_get_u64(r);
		break;
	case M0_HA_MSG_KEEPALIVE_REP:
		d->u.hed_keepalive_rep.kap_id.u_hi = wire_get_u64(r);
		d->u.hed_keepalive_rep.kap_id.u_lo = wire_get_u64(r);
		d->u.hed_keepalive_rep.kap_counter = wire_get_u64(r);
		break;
	case M0_HA_MSG_EVENT_PROCESS:
		d->u.hed_event_process.chp_event = wire_get_u64(r);
		d->u.hed_event_process.chp_type = wire_get_u64(r);
		d->u.hed_event_process.chp_pid = wire_get_u64(r);
		break;
	case M0_HA_MSG_EVENT_SERVICE:
		d->u.hed_event_service.chs_event = wire_get_u64(r);
		d->u.hed_event_service.chs_type = wire_get_u64(r);
		d->u.hed_event_service.chs_pid = wire_get_u64(r);
		break;
	case M0_HA_MSG_EVENT_RPC:
		d->u.hed_event_rpc.hmr_attempts = wire_get_u64(r);
		d->u.hed_event_rpc.hmr_state = wire_get_u64(r);
		break;
	case M0_HA_MSG_BE_IO_ERR:
		d->u.hed_be_io_err.ber_errcode = wire_get_u32(r);
		d->u.hed_be_io_err.ber_location = wire_get_u8(r);
		d->u.hed_be_io_err.ber_io_opcode = wire_get_u8(r);
		break;
	case M0_HA_MSG_SNS_ERR:
		d->u.hed_ha_sns_err.hse_errcode = wire_get_u32(r);
		d->u.hed_ha_sns_err.hse_opcode = wire_get_u8(r);
		break;
	default:
		r->bad = true;
		break;
	}
}

const char *wire_msg_decode(const uint8_t *payload, size_t len,
			    struct m0_ha_msg *msg)
{
	struct wire_reader r = { payload, payload + len, false };

	(void)wire_get_u64(&r);
	msg->hm_data.hed_type = wire_get_u32(&r);
	msg->hm_fid = wire_get_fid(&r);
	msg->hm_source_process = wire_get_fid(&r);
	msg->hm_source_service = wire_get_fid(&r);
	msg->hm_time = wire_get_u64(&r);
	msg->hm_epoch = wire_get_u64(&r);
	get_body(&r, &msg->hm_data);
	if (r.bad)
		return "payload is too short";
	return r.at == r.end ? NULL : "payload is too long";
}

size_t wire_msg_len(const struct m0_ha_msg *msg)
{
	const struct m0_ha_msg_data *d = &msg->hm_data;
	struct body                  body;
	uint64_t                     nr = 0;

	if (!body_of(d->hed_type, &body))
		return 0;
	if (d->hed_type == M0_HA_MSG_NVEC)
		nr = d->u.hed_nvec.hmnv_nr;
	else if (d->hed_type == M0_HA_MSG_FAILURE_VEC_REP)
		nr = d->u.hed_fvec_rep.mfp_nr;
	if (nr > WIRE_NOTES_MAX)
		return 0;
	return WIRE_HEADER_LEN + MSG_FIXED_LEN + body.len +
	       (size_t)nr * NOTE_LEN;
}

static void put_notes(struct wire_writer *w, uint32_t nr,
		      const struct m0_ha_msg_nvec_array *notes)
{
	wire_put_u32(w, nr);
	for (uint32_t i = 0; i < nr; i++) {
		wire_put_fid(w, &notes->hmna_arr[i].no_id);
		wire_put_u32(w, notes->hmna_arr[i].no_state);
	}
}

static void put_body(struct wire_writer *w, const struct m0_ha_msg_data *d)
{
	switch (d->hed_type) {
	case M0_HA_MSG_STOB_IOQ: {
		const struct m0_stob_ioq_error *e = &d->u.hed_stob_ioq;

		wire_put_fid(w, &e->sie_conf_sdev);
		wire_put_fid(w, &e->sie_stob_id.si_domain_fid);
		wire_put_fid(w, &e->sie_stob_id.si_fid);
		wire_put_u64(w, (uint64_t)e->sie_fd);
		wire_put_u64(w, (uint64_t)e->sie_opcode);
		wire_put_u64(w, (uint64_t)e->sie_rc);
		wire_put_u64(w, e->sie_offset);
		wire_put_u64(w, e->sie_size);
		wire_put_u32(w, e->sie_bshift);
		break;
	}
	case M0_HA_MSG_NVEC: {
		const struct m0_ha_msg_nvec *n = &d->u.hed_nvec;

		wire_put_u64(w, n->hmnv_type);
		wire_put_u64(w, n->hmnv_id_of_get);
		wire_put_u64(w, n->hmnv_ignore_same_state);
		put_notes(w, (uint32_t)n->hmnv_nr, &n->hmnv_arr);
		break;
	}
	case M0_HA_MSG_FAILURE_VEC_REQ:
		wire_put_fid(w, &d->u.hed_fvec_req.mfq_pool);
		wire_put_u64(w, d->u.hed_fvec_req.mfq_cookie.co_addr);
		wire_put_u64(w, d->u.hed_fvec_req.mfq_cookie.co_generation);
		break;
	case M0_HA_MSG_FAILURE_VEC_REP: {
		const struct m0_ha_msg_failure_vec_rep *rep =
			&d->u.hed_fvec_rep;

		wire_put_fid(w, &rep->mfp_pool);
		wire_put_u64(w, rep->mfp_cookie.co_addr);
		wire_put_u64(w, rep->mfp_cookie.co_generation);
		put_notes(w, rep->mfp_nr, &rep->mfp_vec);
		break;
	}
	case M0_HA_MSG_KEEPALIVE_REQ:
		wire_put_u64(w, d->u.hed_keepalive_req.kaq_id.u_hi);
		wire_put_u64(w, d->u.hed_keepalive_req.kaq_id.u_lo);
		break;
	case M0_HA_MSG_KEEPALIVE_REP:
		wire_put_u64(w, d->u.hed_keepalive_rep.kap_id.u_hi);
		wire_put_u64(w, d->u.hed_keepalive_rep.kap_id.u_lo);
		wire_put_u64(w, d->u.hed_keepalive_rep.kap_counter);
		break;
	case M0_HA_MSG_EVENT_PROCESS:
		wire_put_u64(w, d->u.hed_event_process.chp_event);
		wire_put_u64(w, d->u.hed_event_process.chp_type);
		wire_put_u64(w, d->u.hed_event_process.chp_pid);
		break;
	case M0_HA_MSG_EVENT_SERVICE:
		wire_put_u64(w, d->u.hed_event_service.chs_event);
		wire_put_u64(w, d->u.hed_event_service.chs_type);
		wire_put_u64(w, d->u.hed_event_service.chs_pid);
		break;
	case M0_HA_MSG_EVENT_RPC:
		wire_put_u64(w, d->u.hed_event_rpc.hmr_attempts);
		wire_put_u64(w, d->u.hed_event_rpc.hmr_state);
		break;
	case M0_HA_MSG_BE_IO_ERR:
		wire_put_u32(w, d->u.hed_be_io_err.ber_errcode);
		wire_put_u8(w, d->u.hed_be_io_err.ber_location);
		wire_put_u8(w, d->u.hed_be_io_err.ber_io_opcode);
		break;
	case M0_HA_MSG_SNS_ERR:
		wire_put_u32(w, d->u.hed_ha_sns_err.hse_errcode);
		wire_put_u8(w, d->u.hed_ha_sns_err.hse_opcode);
		break;
	default:
		w->bad = true;
		break;
	}
}

size_t wire_msg_encode(uint8_t *buf, size_t cap, uint64_t tag,
		       const struct m0_ha_msg *msg)
{
	struct wire_writer w = { buf, buf + cap, false };
	size_t             len = wire_msg_len(msg);

	if (len == 0 || len > cap)
		return 0;
	wire_put_header(&w, WIRE_MSG, (uint32_t)(len - WIRE_HEADER_LEN));
	wire_put_u64(&w, tag);
	wire_put_u32(&w, (uint32_t)msg->hm_data.hed_type);
	wire_put_fid(&w, &msg->hm_fid);
	wire_put_fid(&w, &msg->hm_source_process);
	wire_put_fid(&w, &msg->hm_source_service);
	wire_put_u64(&w, msg->hm_time);
	wire_put_u64(&w, msg->hm_epoch);
	put_body(&w, &msg->hm_data);
	return w.bad ? 0 : (size_t)(w.at - buf);
}

void wire_msg_retag(uint8_t *frame, uint64_t tag)
{
	struct wire_writer w = { frame + WIRE_HEADER_LEN,
				 frame + WIRE_HEADER_LEN + 8, false };

	wire_put_u64(&w, tag);
}

uint64_t wire_msg_tag(const uint8_t *frame)
{
	struct wire_reader r = { frame + WIRE_HEADER_LEN,
				 frame + WIRE_HEADER_LEN + 8, false };

	return wire_get_u64(&r);
}
