/* SPDX-License-Identifier: Apache-2.0 */
/* Payload of M0_HA_MSG_EVENT_RPC, as in Motr's rpc/ha.h. */
#ifndef HAX_EMBEDDED_RPC_HA_H
#define HAX_EMBEDDED_RPC_HA_H

#include "lib/types.h"

struct m0_ha_msg_rpc {
	uint64_t hmr_attempts;
	uint64_t hmr_state;
};

#endif
