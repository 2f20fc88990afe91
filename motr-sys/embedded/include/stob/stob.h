/* SPDX-License-Identifier: Apache-2.0 */
/* m0_stob_id of Motr's stob/stob.h. */
#ifndef HAX_EMBEDDED_STOB_STOB_H
#define HAX_EMBEDDED_STOB_STOB_H

#include "fid/fid.h"

struct m0_stob_id {
	struct m0_fid si_domain_fid;
	struct m0_fid si_fid;
};

#endif
