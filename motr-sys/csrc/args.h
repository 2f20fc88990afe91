/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of what the user of bridge.h passes in. */
#ifndef HAX_MOTR_SYS_ARGS_H
#define HAX_MOTR_SYS_ARGS_H

#include "bridge.h"

/** Every callback is set. */
bool hax_args_callbacks(const struct hax_callbacks *cb);
/** An answer to an entrypoint request that any backend can carry. */
bool hax_args_reply(int rc, uint32_t confd_nr, const struct hax_fid *confd_fids,
		    const char *const *confd_endpoints,
		    const char *rm_endpoint);
bool hax_args_notes(const struct hax_note *notes, uint64_t nr);
bool hax_args_nvec(const struct hax_nvec *nvec);

#endif
