/* SPDX-License-Identifier: Apache-2.0 */
/* What registry.c, with requests, lends to registry_links.c.  Under the lock. */
#ifndef HAX_MOTR_SYS_REGISTRY_PARTS_H
#define HAX_MOTR_SYS_REGISTRY_PARTS_H

#include "registry.h"

/** A request that is not answered yet; NULL: there is none of that name. */
struct hax_request *hax_reg_request_find(struct hax_registry *r,
					 const struct hax_uint128 *id);
/** What was held is not held any more. */
void hax_reg_call_end(struct hax_registry *r);

#endif
