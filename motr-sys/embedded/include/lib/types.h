/* SPDX-License-Identifier: Apache-2.0 */
/* Basic types under the names Motr gives them in lib/types.h. */
#ifndef HAX_EMBEDDED_LIB_TYPES_H
#define HAX_EMBEDDED_LIB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct m0_uint128 {
	uint64_t u_hi;
	uint64_t u_lo;
};

typedef uint64_t m0_bcount_t;
typedef uint64_t m0_bindex_t;

#endif
