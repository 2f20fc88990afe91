/* SPDX-License-Identifier: Apache-2.0 */
/* The two service types a bridge has itself; numbers of Motr's conf/schema.h. */
#ifndef HAX_EMBEDDED_CONF_SCHEMA_H
#define HAX_EMBEDDED_CONF_SCHEMA_H

enum m0_conf_service_type {
	M0_CST_RMS = 4,
	M0_CST_HA  = 6,
};

#endif
