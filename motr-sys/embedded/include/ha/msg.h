/* SPDX-License-Identifier: Apache-2.0 */
/*
 * m0_ha_msg with the members and the layout of Motr's ha/msg.h.
 *
 * The embedded backend allocates a received message only as far as its content
 * goes (msg.c): behind the last note of an NVEC or a failure vector there is no
 * memory, and hm_tag is not there at all.
 */
#ifndef HAX_EMBEDDED_HA_MSG_H
#define HAX_EMBEDDED_HA_MSG_H

#include "be/ha.h"
#include "conf/ha.h"
#include "fid/fid.h"
#include "ha/failvec.h"
#include "ha/note.h"
#include "lib/cookie.h"
#include "lib/time.h"
#include "lib/types.h"
#include "motr/keepalive.h"
#include "rpc/ha.h"
#include "sns/cm/ha.h"
#include "stob/ioq_error.h"

enum m0_ha_msg_type {
	M0_HA_MSG_INVALID,
	M0_HA_MSG_STOB_IOQ,
	M0_HA_MSG_NVEC,
	M0_HA_MSG_FAILURE_VEC_REQ,
	M0_HA_MSG_FAILURE_VEC_REP,
	M0_HA_MSG_KEEPALIVE_REQ,
	M0_HA_MSG_KEEPALIVE_REP,
	M0_HA_MSG_EVENT_PROCESS,
	M0_HA_MSG_EVENT_SERVICE,
	M0_HA_MSG_EVENT_RPC,
	M0_HA_MSG_BE_IO_ERR,
	M0_HA_MSG_SNS_ERR,
};

struct m0_ha_msg_data {
	/** m0_ha_msg_type; names the member of the union. */
	uint64_t hed_type;
	union {
		struct m0_stob_ioq_error         hed_stob_ioq;
		struct m0_ha_msg_nvec            hed_nvec;
		struct m0_ha_msg_failure_vec_req hed_fvec_req;
		struct m0_ha_msg_failure_vec_rep hed_fvec_rep;
		struct m0_ha_msg_keepalive_req   hed_keepalive_req;
		struct m0_ha_msg_keepalive_rep   hed_keepalive_rep;
		struct m0_conf_ha_process        hed_event_process;
		struct m0_conf_ha_service        hed_event_service;
		struct m0_ha_msg_rpc             hed_event_rpc;
		struct m0_be_io_err              hed_be_io_err;
		struct m0_ha_sns_err             hed_ha_sns_err;
	} u;
};

struct m0_ha_msg {
	struct m0_fid         hm_fid;
	struct m0_fid         hm_source_process;
	struct m0_fid         hm_source_service;
	m0_time_t             hm_time;
	uint64_t              hm_epoch;
	struct m0_ha_msg_data hm_data;
	uint64_t              hm_tag;
};

_Static_assert(sizeof(struct m0_ha_msg) == 24696, "size of m0_ha_msg in libmotr");

#endif
