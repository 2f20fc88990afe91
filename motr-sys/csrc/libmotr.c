/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libmotr needs around it: see rfc/8-libmotr.md.
 *
 * It logs into its own trace file: there is nothing to forward.
 */
#include "backend.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "ha/ha.h"
#include "module/instance.h"

void hax_backend_set_log(hax_backend_log_fn fn, void *ctx)
{
	(void)fn;
	(void)ctx;
}

/*
 * The library counts the identifiers of links from 1 in each run, and looks a
 * process that comes back up by those of its old link alone.  When they have
 * been given to another process meanwhile, it takes the one for the other: the
 * process that comes back ends in an assertion.  So the count goes on from the
 * time: no two runs share a number.  No link but our own exists yet (see
 * Context in halink), and links are made by calls of ours only.
 */
void hax_backend_started(void)
{
	struct timespec now;
	uint64_t        first;

	clock_gettime(CLOCK_REALTIME, &now);
	first = (uint64_t)now.tv_sec * UINT64_C(1000000000) +
		(uint64_t)now.tv_nsec;
	if (m0_get()->i_ha != NULL &&
	    m0_get()->i_ha->h_link_id_counter < first)
		m0_get()->i_ha->h_link_id_counter = first;
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
