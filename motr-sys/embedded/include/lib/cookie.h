/* SPDX-License-Identifier: Apache-2.0 */
/* m0_cookie of Motr's lib/cookie.h: opaque to everybody but its maker. */
#ifndef HAX_EMBEDDED_LIB_COOKIE_H
#define HAX_EMBEDDED_LIB_COOKIE_H

#include "lib/types.h"

struct m0_cookie {
	uint64_t co_addr;
	uint64_t co_generation;
};

#endif
