/* SPDX-License-Identifier: Apache-2.0 */
/* Payload of M0_HA_MSG_SNS_ERR, as in Motr's sns/cm/ha.h. */
#ifndef HAX_EMBEDDED_SNS_CM_HA_H
#define HAX_EMBEDDED_SNS_CM_HA_H

#include "lib/types.h"

struct m0_ha_sns_err {
	uint32_t hse_errcode;
	uint8_t  hse_opcode;
};

#endif
