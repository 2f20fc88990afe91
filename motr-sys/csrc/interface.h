/* SPDX-License-Identifier: Apache-2.0 */
/* The interface, for the files that implement bridge.h. */
#ifndef HAX_MOTR_SYS_INTERFACE_H
#define HAX_MOTR_SYS_INTERFACE_H

#include "bridge.h"
#include "registry.h"

struct m0_halon_interface;

struct hax_bridge {
	struct m0_halon_interface *hi;
	struct hax_callbacks       cb;
	struct hax_registry        reg;
	/** Between start and stop; of the interface thread. */
	bool                       started;
};

#endif
