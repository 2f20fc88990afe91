/* SPDX-License-Identifier: Apache-2.0 */
/* m0_fid of Motr's fid/fid.h. */
#ifndef HAX_EMBEDDED_FID_FID_H
#define HAX_EMBEDDED_FID_FID_H

#include "lib/types.h"

struct m0_fid {
	uint64_t f_container;
	uint64_t f_key;
};

#endif
