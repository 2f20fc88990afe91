/* SPDX-License-Identifier: Apache-2.0 */
/* Payload of M0_HA_MSG_BE_IO_ERR, as in Motr's be/ha.h. */
#ifndef HAX_EMBEDDED_BE_HA_H
#define HAX_EMBEDDED_BE_HA_H

#include "lib/types.h"

struct m0_be_io_err {
	uint32_t ber_errcode;
	uint8_t  ber_location;
	uint8_t  ber_io_opcode;
};

#endif
