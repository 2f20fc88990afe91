/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of Motr's ha/halon/interface.h that bridge.c calls, with its
 * signatures.  What they do is in embedded/interface.c; what is guaranteed, in
 * rfc/6-wire.md.
 */
#ifndef HAX_EMBEDDED_HA_HALON_INTERFACE_H
#define HAX_EMBEDDED_HA_HALON_INTERFACE_H

#include "lib/types.h"
#include "net/ip.h"

struct m0_fid;
struct m0_ha_link;
struct m0_ha_msg;
struct m0_thread;
struct m0_halon_interface_internal;

struct m0_halon_interface {
	struct m0_halon_interface_internal *hif_internal;
};

/** Allocates *hi_out; its memory stays the caller's, also after fini. */
int m0_halon_interface_init(struct m0_halon_interface **hi_out,
			    const char *build_git_rev_id,
			    const char *build_configure_opts,
			    const char *debug_options,
			    const char *node_uuid);

/** Only from the thread of init, when stopped or never started. */
void m0_halon_interface_fini(struct m0_halon_interface *hi);

/** Blocks until our own entrypoint request has been answered with rc 0. */
int m0_halon_interface_start(
	struct m0_halon_interface *hi, const char *local_rpc_endpoint,
	const struct m0_fid *process_fid, const struct m0_fid *ha_service_fid,
	const struct m0_fid *rm_service_fid,
	void (*entrypoint_request_cb)(struct m0_halon_interface *hi,
				      const struct m0_uint128 *req_id,
				      const char *remote_rpc_endpoint,
				      const struct m0_fid *process_fid,
				      const char *git_rev_id, uint64_t pid,
				      bool first_request),
	void (*msg_received_cb)(struct m0_halon_interface *hi,
				struct m0_ha_link *hl,
				const struct m0_ha_msg *msg, uint64_t tag),
	void (*msg_is_delivered_cb)(struct m0_halon_interface *hi,
				    struct m0_ha_link *hl, uint64_t tag),
	void (*msg_is_not_delivered_cb)(struct m0_halon_interface *hi,
					struct m0_ha_link *hl, uint64_t tag),
	void (*link_connected_cb)(struct m0_halon_interface *hi,
				  const struct m0_uint128 *req_id,
				  struct m0_ha_link *link),
	void (*link_reused_cb)(struct m0_halon_interface *hi,
			       const struct m0_uint128 *req_id,
			       struct m0_ha_link *link),
	void (*link_absent_cb)(struct m0_halon_interface *hi,
			       const struct m0_uint128 *req_id),
	void (*link_is_disconnecting_cb)(struct m0_halon_interface *hi,
					 struct m0_ha_link *link),
	void (*link_disconnected_cb)(struct m0_halon_interface *hi,
				     struct m0_ha_link *link));

/** No callback runs after it returns. */
void m0_halon_interface_stop(struct m0_halon_interface *hi);

/** Exactly once for each request. */
void m0_halon_interface_entrypoint_reply(
	struct m0_halon_interface *hi, const struct m0_uint128 *req_id, int rc,
	uint32_t confd_nr, const struct m0_fid *confd_fid_data,
	const char **confd_eps_data, uint32_t confd_quorum,
	const struct m0_fid *rm_fid, const char *rm_eps);

/** Copies the message.  Not after disconnect. */
void m0_halon_interface_send(struct m0_halon_interface *hi,
			     struct m0_ha_link *hl,
			     const struct m0_ha_msg *msg, uint64_t *tag);

/** Once for each message received.  Not after disconnect. */
void m0_halon_interface_delivered(struct m0_halon_interface *hi,
				  struct m0_ha_link *hl,
				  const struct m0_ha_msg *msg);

/** Once for each link, when it is disconnecting. */
void m0_halon_interface_disconnect(struct m0_halon_interface *hi,
				   struct m0_ha_link *hl);

int m0_halon_interface_thread_adopt(struct m0_halon_interface *hi,
				    struct m0_thread *thread);
void m0_halon_interface_thread_shun(void);

#endif
