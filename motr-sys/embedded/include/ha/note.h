/* SPDX-License-Identifier: Apache-2.0 */
/* Notes, states and the payload of M0_HA_MSG_NVEC, as in Motr's ha/note.h. */
#ifndef HAX_EMBEDDED_HA_NOTE_H
#define HAX_EMBEDDED_HA_NOTE_H

#include "fid/fid.h"

enum m0_ha_obj_state {
	M0_NC_UNKNOWN,
	M0_NC_ONLINE,
	M0_NC_FAILED,
	M0_NC_TRANSIENT,
	M0_NC_REPAIR,
	M0_NC_REPAIRED,
	M0_NC_REBALANCE,
	M0_NC_DTM_RECOVERING,
	M0_NC_NR
};

enum {
	M0_HA_STATE_UPDATE_LIMIT = 1024,
};

enum {
	M0_HA_NVEC_SET,
	M0_HA_NVEC_GET,
};

struct m0_ha_note {
	struct m0_fid no_id;
	uint32_t      no_state;
};

struct m0_ha_msg_nvec_array {
	struct m0_ha_note hmna_arr[M0_HA_STATE_UPDATE_LIMIT];
};

struct m0_ha_msg_nvec {
	uint64_t                    hmnv_type;
	uint64_t                    hmnv_id_of_get;
	uint64_t                    hmnv_ignore_same_state;
	uint64_t                    hmnv_nr;
	struct m0_ha_msg_nvec_array hmnv_arr;
};

#endif
