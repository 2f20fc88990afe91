/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a backend does with many links at once.  Each backend brings its
 * implementation: embedded/send.c and embedded/room.c, csrc/libmotr_flow.c.
 */
#ifndef HAX_MOTR_SYS_FLOW_H
#define HAX_MOTR_SYS_FLOW_H

#include <stdint.h>

struct m0_ha_link;
struct m0_ha_msg;
struct m0_halon_interface;

/**
 * m0_halon_interface_send() of one message on each link, in this order.
 *
 * @param tags  of the messages; 0: the link has ended meanwhile
 */
void hax_backend_send(struct m0_halon_interface *hi,
		      const struct m0_ha_msg *msg,
		      struct m0_ha_link *const *links, uint64_t *tags,
		      uint32_t nr);

/** See hax_bridge_set_queue_max(). */
void hax_backend_set_queue_max(struct m0_halon_interface *hi, uint32_t max);

#endif
