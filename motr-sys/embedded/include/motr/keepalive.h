/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads of the keepalive messages, as in Motr's motr/keepalive.h. */
#ifndef HAX_EMBEDDED_MOTR_KEEPALIVE_H
#define HAX_EMBEDDED_MOTR_KEEPALIVE_H

#include "lib/types.h"

struct m0_ha_msg_keepalive_req {
	struct m0_uint128 kaq_id;
};

struct m0_ha_msg_keepalive_rep {
	struct m0_uint128 kap_id;
	uint64_t          kap_counter;
};

#endif
