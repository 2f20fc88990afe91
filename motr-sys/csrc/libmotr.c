/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libmotr needs around it: see rfc/8-libmotr.md.
 */
#include "backend.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "addb2/global.h"
#include "addb2/sys.h"
#include "fop/fom.h"
#include "ha/ha.h"
#include "lib/locality.h"
#include "module/instance.h"
#include "net/net.h"

#include "bridge.h"

enum { LINE_MAX_LEN = 512 };

/* For lines of this file: the library logs into its own trace file. */
static hax_backend_log_fn log_fn;
static void              *log_ctx;

void hax_backend_set_log(hax_backend_log_fn fn, void *ctx)
{
	log_fn = fn;
	log_ctx = ctx;
}

__attribute__((format(printf, 2, 3)))
static void say(enum hax_log_level level, const char *fmt, ...)
{
	char    line[LINE_MAX_LEN];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof line, fmt, args);
	va_end(args);
	if (log_fn != NULL)
		log_fn(log_ctx, level, line);
}

/*
 * Each thread of the library records what it does, and each domain queues the
 * records for a storage or a network that a bridge does not have: some 8 MiB a
 * thread.  A domain with a network and without storage hands them on, and when
 * storage is disabled, frees them instead.
 */
static int records_are_dropped(void)
{
	struct m0_addb2_sys *sys = m0_fom_dom()->fd_addb2_sys;
	struct m0_addb2_sys *global = m0_addb2_global_get();
	int                  rc;

	m0_get()->i_disable_addb2_storage = true;
	rc = m0_addb2_sys_net_start(sys);
	if (rc != 0)
		return rc;
	rc = m0_addb2_sys_net_start(global);
	if (rc != 0) {
		m0_addb2_sys_net_stop(sys);
		return rc;
	}
	m0_addb2_sys_sm_start(sys);
	m0_addb2_sys_sm_start(global);
	return 0;
}

int hax_backend_opened(void)
{
	return records_are_dropped();
}

void hax_backend_closing(void)
{
	struct m0_addb2_sys *sys = m0_fom_dom()->fd_addb2_sys;
	struct m0_addb2_sys *global = m0_addb2_global_get();

	m0_addb2_sys_sm_stop(global);
	m0_addb2_sys_net_stop(global);
	m0_addb2_sys_sm_stop(sys);
	m0_addb2_sys_net_stop(sys);
}

/* Forms of endpoints, by what follows the family, and whose they are. */
static const struct {
	const char *kind;
	const char *transport;
} forms[] = {
	{ "stream:", "sock" },
	{ "dgram:", "sock" },
	{ "tcp:", "libfab" },
	{ "udp:", "libfab" },
	{ "verbs:", "libfab" },
	{ "o2ib:", "libfab" },
};

/* The transport for an endpoint; NULL: it has no form that is known. */
static const char *transport_of(const char *endpoint)
{
	const char *kind = strchr(endpoint, ':');

	/* NID:PID:portal:TM, and a NID begins with an address. */
	if (isdigit((unsigned char)endpoint[0]) && strchr(endpoint, '@') != NULL)
		return "lnet";
	if (strncmp(endpoint, "inet:", 5) != 0 &&
	    strncmp(endpoint, "inet6:", 6) != 0)
		return NULL;
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
		if (strncmp(kind + 1, forms[i].kind,
			    strlen(forms[i].kind)) == 0)
			return forms[i].transport;
	return NULL;
}

/* One that the library has; else NULL, and the names of all it has. */
static const struct m0_net_xprt *transport_find(const char *name, char *names,
						size_t size)
{
	struct m0_net_xprt **all = m0_net_all_xprt_get();
	size_t               used = 0;

	names[0] = '\0';
	for (int i = 0; i < m0_net_xprt_nr(); i++) {
		if (strcmp(all[i]->nx_name, name) == 0)
			return all[i];
		if (used < size)
			used += (size_t)snprintf(names + used, size - used,
						 "%s%s", i == 0 ? "" : ", ",
						 all[i]->nx_name);
	}
	return NULL;
}

/*
 * The library starts on its default transport, whatever the endpoint says, and
 * takes the process down when that one cannot read it.
 */
int hax_backend_starting(const char *endpoint)
{
	const struct m0_net_xprt *transport;
	const char               *name = transport_of(endpoint);
	char                      names[128];

	if (name == NULL) {
		say(HAX_LOG_ERROR, "endpoint %s has no form of Motr's: "
		    "inet:tcp:ADDRESS@PORT (libfabric), "
		    "inet:stream:ADDRESS@PORT (sockets) or "
		    "ADDRESS@tcp:12345:PORTAL:TM (lnet)", endpoint);
		return -EINVAL;
	}
	transport = transport_find(name, names, sizeof names);
	if (transport == NULL) {
		/* Both others read endpoints of lnet, too. */
		if (strcmp(name, "lnet") == 0 &&
		    m0_net_xprt_default_get() != NULL)
			return 0;
		say(HAX_LOG_ERROR, "endpoint %s needs Motr's transport %s, "
		    "which this libmotr does not have: it has %s", endpoint,
		    name, names);
		return -EPROTONOSUPPORT;
	}
	m0_net_xprt_default_set(transport);
	/* The parser of sock takes an old errno for its own. */
	errno = 0;
	return 0;
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
