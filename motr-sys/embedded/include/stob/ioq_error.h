/* SPDX-License-Identifier: Apache-2.0 */
/* Payload of M0_HA_MSG_STOB_IOQ, as in Motr's stob/ioq_error.h. */
#ifndef HAX_EMBEDDED_STOB_IOQ_ERROR_H
#define HAX_EMBEDDED_STOB_IOQ_ERROR_H

#include "lib/types.h"
#include "stob/stob.h"

struct m0_stob_ioq_error {
	struct m0_fid     sie_conf_sdev;
	struct m0_stob_id sie_stob_id;
	int64_t           sie_fd;
	int64_t           sie_opcode;
	int64_t           sie_rc;
	m0_bindex_t       sie_offset;
	m0_bcount_t       sie_size;
	uint32_t          sie_bshift;
};

#endif
