/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bridge.h on top of m0_halon_interface, the same for every backend: what its
 * files share.  bridge.c has the life of an interface, bridge_events.c what the
 * library calls, bridge_calls.c what the user calls meanwhile, and broadcast.c
 * what goes to many links at once.  These and msg.c alone include Motr's headers, and these alone call the library.
 *
 * The library trusts its caller: a call for a link or a message that is gone
 * is an assertion there.  So the registry keeps every link and every
 * undelivered message, and each call first holds its link:
 *
 * - no lock is held across a call into the library or a callback, because the
 *   library runs callbacks inside its calls;
 * - a link is given back to the library (m0_halon_interface_disconnect) once
 *   the user has agreed and the last hold ends, by whoever ends it;
 * - a message leaves the registry before the library hears that it is
 *   delivered.
 */
#ifndef HAX_MOTR_SYS_BRIDGE_STATE_H
#define HAX_MOTR_SYS_BRIDGE_STATE_H

#include <stdbool.h>

#include "bridge.h"
#include "registry.h"

struct m0_fid;
struct m0_halon_interface;

struct hax_bridge {
	struct m0_halon_interface *hi;
	struct hax_callbacks       cb;
	struct hax_registry        reg;
	/** Between start and stop; of the interface thread. */
	bool                       started;
};

/**
 * The library's callbacks carry nothing of ours, and it allows one interface
 * in a process: this is set before the library can call back and cleared after
 * it has stopped.
 */
extern struct hax_bridge *hax_bridge_instance;

/** A line of log. */
__attribute__((format(printf, 3, 4)))
void hax_say(struct hax_bridge *b, enum hax_log_level level, const char *fmt,
	     ...);

/** Answers a request with -EAGAIN. */
void hax_reply_again(struct hax_bridge *b, const struct hax_uint128 *req_id);

/** m0_halon_interface_start() with the callbacks of bridge_events.c. */
int hax_library_start(struct hax_bridge *b, const char *endpoint,
		      const struct m0_fid *process,
		      const struct m0_fid *ha_service,
		      const struct m0_fid *rm_service);

/** Reports that a link that is held has ended, and ends the hold. */
void hax_report_end(struct hax_bridge *b, struct hax_link *link);

#endif
