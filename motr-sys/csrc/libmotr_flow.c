/* SPDX-License-Identifier: Apache-2.0 */
/* flow.h on libmotr, which sends to one link at a time and bounds nothing. */
#include "flow.h"

#include "ha/halon/interface.h"

void hax_backend_send(struct m0_halon_interface *hi,
		      const struct m0_ha_msg *msg,
		      struct m0_ha_link *const *links, uint64_t *tags,
		      uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++)
		m0_halon_interface_send(hi, links[i], msg, &tags[i]);
}

void hax_backend_set_queue_max(struct m0_halon_interface *hi, uint32_t max)
{
	(void)hi;
	(void)max;
}
