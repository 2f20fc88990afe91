/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge.h"

#include <errno.h>
#include <stdlib.h>

int hax_bridge_prepare(const char *trace_dir)
{
	if (trace_dir == NULL)
		return -EINVAL;
	/* Read by m0_init(); the embedded backend has no trace. */
	return setenv("M0_TRACE_DIR", trace_dir, 1) == 0 ? 0 : -errno;
}
