/* SPDX-License-Identifier: Apache-2.0 */
/* Fids and messages of bridge.h to those of Motr and back. */
#ifndef HAX_MOTR_SYS_MSG_H
#define HAX_MOTR_SYS_MSG_H

#include "bridge.h"

#include "fid/fid.h"
#include "ha/msg.h"

static inline struct hax_fid hax_fid_in(const struct m0_fid *fid)
{
	return (struct hax_fid){ fid->f_container, fid->f_key };
}

static inline struct m0_fid hax_fid_out(const struct hax_fid *fid)
{
	return (struct m0_fid){ .f_container = fid->container,
				.f_key = fid->key };
}

/**
 * A message received; `up` points into `msg`.
 *
 * @return false if it claims more notes than it can hold: HAX_NOTES_MAX are
 *         taken
 */
bool hax_msg_in(const struct m0_ha_msg *msg, struct hax_msg *up);

/** A message to send, from now; NULL without memory.  Given back by free(). */
struct m0_ha_msg *hax_msg_new(const struct hax_fid *source_process);
/* What it says.  Arguments are valid: see args.h. */
void hax_msg_set_nvec(struct m0_ha_msg *msg, const struct hax_nvec *nvec);
void hax_msg_set_failure_vec_rep(struct m0_ha_msg *msg,
				 const struct hax_fid *pool,
				 const uint64_t cookie[2],
				 const struct hax_note *notes, uint32_t nr);
void hax_msg_set_process_event(struct m0_ha_msg *msg,
			       const struct hax_fid *process,
			       const struct hax_conf_event *event);

#endif
