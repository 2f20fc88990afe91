/* SPDX-License-Identifier: Apache-2.0 */
/* libmotr logs into its own trace file: there is nothing to forward. */
#include "backend.h"

void hax_backend_set_log(hax_backend_log_fn fn, void *ctx)
{
	(void)fn;
	(void)ctx;
}
