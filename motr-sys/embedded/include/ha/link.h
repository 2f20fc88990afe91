/* SPDX-License-Identifier: Apache-2.0 */
/* What the bridge asks of a link, as in Motr's ha/link.h. */
#ifndef HAX_EMBEDDED_HA_LINK_H
#define HAX_EMBEDDED_HA_LINK_H

#include "lib/types.h"

struct m0_ha_link;

/** Copies the endpoint of the other end into `buf`, cut to its size. */
void m0_ha_link_rpc_endpoint(struct m0_ha_link *hl, char *buf,
			     m0_bcount_t buf_len);

#endif
