/* SPDX-License-Identifier: Apache-2.0 */
#include "backend.h"

void hax_backend_started(void)
{
	/* Links are named with the run of the bridge: see rfc/6-wire.md. */
}
