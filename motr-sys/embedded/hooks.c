/* SPDX-License-Identifier: Apache-2.0 */
/* There is nothing around the embedded backend that must be set up. */
#include "backend.h"

int hax_backend_opened(void)
{
	return 0;
}

int hax_backend_starting(const char *endpoint)
{
	/* The start itself refuses an endpoint that it does not know. */
	(void)endpoint;
	return 0;
}

void hax_backend_started(void)
{
	/* Links are named with the run of the bridge: see rfc/6-wire.md. */
}

void hax_backend_closing(void)
{
}
