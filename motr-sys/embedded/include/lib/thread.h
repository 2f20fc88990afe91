/* SPDX-License-Identifier: Apache-2.0 */
/*
 * m0_thread of Motr's lib/thread.h.  The embedded backend keeps nothing per
 * thread: the structure only has a size, so that it can be allocated.
 */
#ifndef HAX_EMBEDDED_LIB_THREAD_H
#define HAX_EMBEDDED_LIB_THREAD_H

#include "lib/types.h"

struct m0_thread {
	uint32_t t_state;
};

#endif
