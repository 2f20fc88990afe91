/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the bridge knows of links, messages and entrypoint requests, so that no
 * call reaches the library for one that is gone.  Nothing here is of Motr: a
 * link of the library is a `handle`, a received message a pointer.
 *
 * Every function takes the registry's lock and has left it when it returns or
 * calls out.  A struct hax_link or hax_request that a function returns is held
 * by the caller until hax_reg_link_put() or hax_reg_request_done(), and
 * `calls` counts what is held: nothing is under way in the library when it is 0.
 */
#ifndef HAX_MOTR_SYS_REGISTRY_H
#define HAX_MOTR_SYS_REGISTRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "bridge.h"
#include "map.h"

enum {
	/** Links alive; every incarnation of a process leaves one behind. */
	HAX_LINKS_MAX    = 65536,
	/** Entrypoint requests not answered yet. */
	HAX_REQUESTS_MAX = 131072,
	/** Messages received and not yet delivered, of one link. */
	HAX_RECEIVED_MAX = 65536,
	/** Messages sent and not yet delivered, of one link. */
	HAX_SENT_MAX     = 1024,
};

enum hax_link_state {
	/** Connected. */
	HAX_LINK_ACTIVE,
	/** The library wants to drop it; it can still be used. */
	HAX_LINK_DROPPING,
	/** The user has agreed: no message is taken from here on. */
	HAX_LINK_LEAVING,
};

struct hax_link {
	/* Constant. */
	void               *handle;
	uint64_t            number;
	struct hax_fid      process;
	char                endpoint[HAX_ENDPOINT_MAX];

	/* Under the lock. */
	struct hax_map_node by_number;
	struct hax_map_node by_handle;
	enum hax_link_state state;
	/** The library has the link back. */
	bool                given_back;
	/** Out of the tables: freed by the last one to put it. */
	bool                gone;
	/** A message was withheld, and every later one is. */
	bool                withheld;
	uint32_t            refs;
	/** Messages sent, of which the library has not reported the end. */
	uint32_t            sent;
	/** Messages received and not delivered, by tag. */
	struct hax_map      received;
};

/** An entrypoint request that has not been answered yet. */
struct hax_request {
	/* Constant. */
	struct hax_uint128  id;
	struct hax_fid      process;
	char                endpoint[HAX_ENDPOINT_MAX];

	/* Under the lock. */
	struct hax_map_node by_id;
	/** Somebody holds it, to answer it. */
	bool                replying;
};

struct hax_registry {
	/** Gives a link back to the library; called without the lock. */
	void          (*give_back)(void *ctx, void *handle);
	void           *ctx;
	pthread_mutex_t lock;
	/** `calls` has become 0. */
	pthread_cond_t  idle;
	uint64_t        calls;
	bool            stopping;
	struct hax_fid  process;
	struct hax_map  links;
	struct hax_map  handles;
	struct hax_map  requests;
};

void hax_reg_init(struct hax_registry *r,
		  void (*give_back)(void *ctx, void *handle), void *ctx);
/** It is empty: see hax_reg_settle(). */
void hax_reg_fini(struct hax_registry *r);
/** Takes requests from here on; `process` is our own. */
void hax_reg_open(struct hax_registry *r, const struct hax_fid *process);
/** Our own process. */
struct hax_fid hax_reg_process(struct hax_registry *r);
/**
 * Waits for calls on other threads, then forgets the requests.  Links that are
 * left are taken with hax_reg_link_end_any().
 */
void hax_reg_settle(struct hax_registry *r);

/**
 * @return 0; -ESHUTDOWN: stopping; -ENOSPC: too many; -ENOMEM
 */
int hax_reg_request_add(struct hax_registry *r, const struct hax_uint128 *id,
			const struct hax_fid *process, const char *endpoint);
/** Holds a request to answer it; NULL: unknown, or somebody answers it. */
struct hax_request *hax_reg_request_take(struct hax_registry *r,
					 const struct hax_uint128 *id);
/**
 * Takes no new requests from here on, and holds one that nobody answers; NULL:
 * there is none.
 */
struct hax_request *hax_reg_request_take_any(struct hax_registry *r);
/** The request is answered: forgets it. */
void hax_reg_request_done(struct hax_registry *r, struct hax_request *req);

/**
 * A new link, made by the reply to `req_id`, and held.  `endpoint` is taken if
 * the request has named none.
 *
 * @return 0; -ENOSPC: too many; -ENOMEM
 */
int hax_reg_link_add(struct hax_registry *r, void *handle,
		     const struct hax_uint128 *req_id, const char *endpoint,
		     struct hax_link **out);
/** Holds a link; NULL: it is not kept here. */
struct hax_link *hax_reg_link_get(struct hax_registry *r, const void *handle);
/** Holds a link that the library wants to drop; NULL: it is not kept here. */
struct hax_link *hax_reg_link_drop(struct hax_registry *r, const void *handle);
/** Agrees to the end of a link.  @return as hax_bridge_disconnect() */
int hax_reg_link_leave(struct hax_registry *r, uint64_t number);
/** Takes a link out of the tables and holds it; NULL: it is not kept here. */
struct hax_link *hax_reg_link_end(struct hax_registry *r, const void *handle);
/** The same with any link; NULL: there is none. */
struct hax_link *hax_reg_link_end_any(struct hax_registry *r);
/** May give the link back to the library, and may free it. */
void hax_reg_link_put(struct hax_registry *r, struct hax_link *link);

/**
 * Counts a message to be sent, and holds its link.
 *
 * @return 0; -ENOENT: the link is gone or going; -ENOBUFS: too many
 */
int hax_reg_send(struct hax_registry *r, uint64_t number,
		 struct hax_link **out);
/** The end of a message sent.  @return the link's number; 0: it is not kept */
uint64_t hax_reg_sent(struct hax_registry *r, const void *handle);

/** What to do with a message received. */
enum hax_reg_received {
	/** Report it. */
	HAX_REG_REPORT,
	/** It is undelivered already: drop it. */
	HAX_REG_AGAIN,
	/** Neither report nor deliver it; it is the first one of the link. */
	HAX_REG_WITHHOLD_FIRST,
	/** Neither report nor deliver it. */
	HAX_REG_WITHHOLD,
};

/**
 * Keeps a message until it is delivered.  Without room or memory for it, it is
 * withheld, and so is every later one of the link, to keep their order.
 *
 * @param number  the link's; 0: it is not kept
 */
enum hax_reg_received hax_reg_receive(struct hax_registry *r,
				      const void *handle, uint64_t tag,
				      const void *msg, uint64_t *number);
/**
 * Forgets a message to be delivered, and holds its link.
 *
 * @return the message; NULL: unknown, or the link is gone or going
 */
const void *hax_reg_deliver(struct hax_registry *r, uint64_t number,
			    uint64_t tag, struct hax_link **out);

#endif
