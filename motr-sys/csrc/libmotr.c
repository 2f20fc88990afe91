/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libmotr needs around it: see rfc/8-libmotr.md.
 *
 * It logs into its own trace file: there is nothing to forward.
 */
#include "backend.h"

#include <signal.h>
#include <stdlib.h>

void hax_backend_set_log(hax_backend_log_fn fn, void *ctx)
{
	(void)fn;
	(void)ctx;
}

/*
 * Libraries that libfabric loads install handlers for these as they are loaded,
 * that is before main: they print a backtrace and exit.  We run after them and
 * before anybody else, so that whoever wants a handler installs it over the
 * default.
 */
__attribute__((constructor))
static void signals_of_the_program(void)
{
	static const int taken[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGABRT,
				     SIGSEGV, SIGBUS, SIGILL, SIGFPE };
	struct sigaction act;

	for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
		if (sigaction(taken[i], NULL, &act) == 0 &&
		    act.sa_handler != SIG_DFL && act.sa_handler != SIG_IGN)
			signal(taken[i], SIG_DFL);
	/* For those that are loaded later. */
	setenv("IPATH_NO_BACKTRACE", "1", 0);
}
