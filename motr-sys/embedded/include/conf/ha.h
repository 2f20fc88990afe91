/* SPDX-License-Identifier: Apache-2.0 */
/* Process and service events, as in Motr's conf/ha.h. */
#ifndef HAX_EMBEDDED_CONF_HA_H
#define HAX_EMBEDDED_CONF_HA_H

#include "conf/schema.h"
#include "lib/types.h"

enum m0_conf_ha_process_event {
	M0_CONF_HA_PROCESS_STARTING,
	M0_CONF_HA_PROCESS_STARTED,
	M0_CONF_HA_PROCESS_STOPPING,
	M0_CONF_HA_PROCESS_STOPPED,
	M0_CONF_HA_PROCESS_DTM_RECOVERED,
};

enum m0_conf_ha_process_type {
	M0_CONF_HA_PROCESS_OTHER,
	M0_CONF_HA_PROCESS_KERNEL,
	M0_CONF_HA_PROCESS_M0MKFS,
	M0_CONF_HA_PROCESS_M0D,
};

struct m0_conf_ha_process {
	uint64_t chp_event;
	uint64_t chp_type;
	uint64_t chp_pid;
};

enum m0_conf_ha_service_event {
	M0_CONF_HA_SERVICE_STARTING,
	M0_CONF_HA_SERVICE_STARTED,
	M0_CONF_HA_SERVICE_STOPPING,
	M0_CONF_HA_SERVICE_STOPPED,
	M0_CONF_HA_SERVICE_FAILED,
};

struct m0_conf_ha_service {
	uint64_t chs_event;
	uint64_t chs_type;
	uint64_t chs_pid;
};

#endif
