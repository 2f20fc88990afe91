/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of the embedded backend, shared by its files.
 *
 * One thread, the loop, does all I/O, changes connections and ends links, and
 * runs every callback except those of links in an entrypoint reply.  `lock`
 * protects everything; it is held by the loop except in epoll_wait() and in
 * callbacks.  A connection or a link is freed by the loop only, so the loop may
 * use both across a callback; what other threads may have changed meanwhile it
 * reads again.
 *
 * Other threads add to queues (replies, messages, acknowledgements), mark what
 * they touched (emb_conn_touch, emb_link_touch) and wake the loop.
 */
#ifndef HAX_EMBEDDED_EMBEDDED_H
#define HAX_EMBEDDED_EMBEDDED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "fid/fid.h"
#include "ha/halon/interface.h"
#include "ha/link.h"
#include "ha/msg.h"

#include "list.h"
#include "map.h"
#include "wire.h"

enum {
	EMB_CONNS_MAX       = 4096,
	EMB_LINKS_MAX       = 65536,
	/** Unanswered requests, those of closed connections too. */
	EMB_REQUESTS_MAX    = 65536,
	EMB_CONN_REQS_MAX   = 16,
	EMB_RECEIVED_MAX    = 1024,
	/** Room for messages that a link has however many others have. */
	EMB_RESERVED        = 16,
	/** Room that all links share, unless hax_bridge_set_queue_max() says. */
	EMB_ROOM_MAX        = 16384,
	/** Fids whose last state on the self link is remembered. */
	EMB_STATES_MAX      = 65536,
	/** Bytes waiting for a slow peer, from which no message is added. */
	EMB_OUT_HIGH        = 65536,
	/**
	 * Bytes waiting for a peer, from which its frames are not read.  Above
	 * EMB_OUT_HIGH with all acknowledgements and replies that a peer can
	 * have coming inside its own limits: such a peer may write without
	 * reading and is still heard, or both would wait for each other.
	 */
	EMB_OUT_HELD        = 524288,
	EMB_FIRST_FRAME_MS  = 10000,
	EMB_ACCEPT_PAUSE_MS = 100,
	/** What stop() waits at most for our events, and for disconnects. */
	EMB_STOP_MS         = 5000,
	EMB_PEER_MAX        = 80,
};

/** The frame of a message sent, without its tag, for all links it goes to. */
struct emb_body {
	size_t  refs;
	size_t  len;
	uint8_t frame[];
};

/** A message sent on one link, until its end is reported. */
struct emb_out {
	struct emb_list  in_link;
	uint64_t         tag;
	bool             acked;
	struct emb_body *body;
};

/** A message received, until it is delivered. */
struct emb_in {
	/** In the self link's inbox, or among the link's acknowledgements. */
	struct emb_list     in_list;
	struct hax_map_node by_tag;
	uint64_t            tag;
	/** Room it takes: see room.c. */
	uint32_t            units;
	/** Allocated as far as its content goes: the last member. */
	struct m0_ha_msg    msg;
};

enum emb_link_state {
	EMB_LINK_ACTIVE,
	/** To be dropped, not reported yet. */
	EMB_LINK_DROPPING,
	/** Reported: the user is to call disconnect. */
	EMB_LINK_DISCONNECTING,
	/** Ended without the user's agreement; the memory stays until fini. */
	EMB_LINK_DEAD,
};

struct emb_conn;

struct m0_ha_link {
	struct hax_map_node by_id;
	/** In emb.ready, when the loop has something to do for it. */
	struct emb_list     in_ready;
	uint64_t            id;
	bool                self;
	struct m0_fid       process;
	char                endpoint[WIRE_STR_MAX + 1];
	enum emb_link_state state;
	bool                disconnect_called;
	/** A link callback of a reply is running, on `replier`. */
	uint32_t            replying;
	/** Replies that are to bind the link, running or waiting: it cannot end. */
	uint32_t            repliers;
	pthread_t           replier;
	struct emb_conn    *conn;

	/** emb_out by rising tag; `unsent` is the next one to write, or the head. */
	struct emb_list     out;
	struct emb_list    *unsent;
	uint64_t            tag_next;
	uint64_t            tag_written;

	/** emb_in not delivered, by tag. */
	struct hax_map      received;
	/** Room they take. */
	uint32_t            units;
	uint64_t            tag_received;
	/** emb_in delivered, to be acknowledged on `conn`. */
	struct emb_list     acks;
};

/** An entrypoint request, until its reply is in the connection's buffer. */
struct emb_req {
	struct hax_map_node        by_id;
	/** In emb_conn.reqs, unless the connection is gone. */
	struct emb_list            in_conn;
	struct emb_conn           *conn;
	struct m0_uint128          id;
	bool                       self;
	bool                       answered;
	struct wire_entrypoint_req wire;
	/** The link bound by the reply; 0 if ABSENT. */
	uint64_t                   link;
	uint8_t                   *frame;
	size_t                     frame_len;
};

enum emb_conn_state {
	/** Nothing has come yet. */
	EMB_CONN_NEW,
	/** The first request waits for its reply. */
	EMB_CONN_ASKED,
	EMB_CONN_BOUND,
	/** Closed as soon as what is in the buffer is written. */
	EMB_CONN_LAST_WORDS,
	EMB_CONN_CLOSED,
};

struct emb_conn {
	/** In emb.conns; when closed, in emb.dead. */
	struct emb_list     in_all;
	/** In emb.touched. */
	struct emb_list     in_touched;
	/** In emb.timed, while it has a deadline. */
	struct emb_list     in_timed;
	uint64_t            deadline_ms;
	/** In emb.waiting, while it waits for room that all links share. */
	struct emb_list     in_waiting;
	/** The next frame is a message for which there is no room. */
	bool                msg_waits;
	/** Messages it may still take in its turn. */
	uint32_t            turn_left;
	/** Rises with every connection accepted. */
	uint64_t            number;
	int                 fd;
	uint32_t            interest;
	enum emb_conn_state state;
	struct m0_ha_link  *link;
	/** emb_req in the order they came. */
	struct emb_list     reqs;
	unsigned            reqs_nr;
	uint8_t            *in;
	size_t              in_cap;
	size_t              in_at;
	size_t              in_end;
	uint8_t            *out;
	size_t              out_cap;
	size_t              out_at;
	size_t              out_end;
	char                peer[EMB_PEER_MAX];
};

struct emb_endpoint {
	struct sockaddr_storage addr;
	socklen_t               len;
	bool                    is_unix;
	char                    text[WIRE_STR_MAX + 1];
};

enum emb_phase {
	EMB_IDLE,
	EMB_WORKING,
	/** Our STOPPING and STOPPED events are on their way. */
	EMB_STOPPING,
	/** Links are being dropped. */
	EMB_DROPPING,
};

struct emb_callbacks {
	void (*entrypoint_request)(struct m0_halon_interface *,
				   const struct m0_uint128 *, const char *,
				   const struct m0_fid *, const char *,
				   uint64_t, bool);
	void (*msg_received)(struct m0_halon_interface *, struct m0_ha_link *,
			     const struct m0_ha_msg *, uint64_t);
	void (*msg_is_delivered)(struct m0_halon_interface *,
				 struct m0_ha_link *, uint64_t);
	void (*msg_is_not_delivered)(struct m0_halon_interface *,
				     struct m0_ha_link *, uint64_t);
	void (*link_connected)(struct m0_halon_interface *,
			       const struct m0_uint128 *, struct m0_ha_link *);
	void (*link_reused)(struct m0_halon_interface *,
			    const struct m0_uint128 *, struct m0_ha_link *);
	void (*link_absent)(struct m0_halon_interface *,
			    const struct m0_uint128 *);
	void (*link_is_disconnecting)(struct m0_halon_interface *,
				      struct m0_ha_link *);
	void (*link_disconnected)(struct m0_halon_interface *,
				  struct m0_ha_link *);
};

struct m0_halon_interface_internal {
	struct m0_halon_interface *hi;
	pthread_mutex_t            lock;
	/** Something a blocked start, stop or reply waits for has changed. */
	pthread_cond_t             changed;
	enum emb_phase             phase;
	struct emb_callbacks       cb;
	pthread_t                  loop;

	struct m0_fid              process;
	struct m0_fid              ha_service;
	struct m0_fid              rm_service;
	uint64_t                   instance;
	uint64_t                   req_last;
	uint64_t                   link_last;
	/** Link callbacks of replies that are running. */
	uint32_t                   replying;

	struct emb_endpoint        endpoint;
	int                        epoll_fd;
	int                        wake_fd;
	int                        listen_fd;
	/** Given up for a moment when descriptors run out; see conn.c. */
	int                        spare_fd;
	bool                       woken;
	/** The loop sleeps, or is about to; see emb_conn_touch(). */
	bool                       polling;
	bool                       accept_paused;
	bool                       accept_warned;
	uint64_t                   accept_resume_ms;
	/** Which socket file is ours to remove. */
	dev_t                      unix_dev;
	ino_t                      unix_ino;

	struct emb_list            conns;
	struct emb_list            dead;
	struct emb_list            touched;
	struct emb_list            timed;
	size_t                     conns_nr;
	uint64_t                   conn_last;
	/** Room of all links but our own, and how much of it is taken. */
	uint32_t                   room_max;
	uint32_t                   units;
	/** It has been said that the room is full. */
	bool                       is_full;
	struct emb_list            waiting;
	/** The one of `waiting` whose turn it is. */
	struct emb_conn           *turn;
	struct hax_map             links;
	struct emb_list            ready;
	/** Links that ended by force: freed by fini. */
	struct emb_list            zombies;
	struct hax_map             reqs;

	struct m0_ha_link         *self_link;
	/** Our own entrypoint request is to be made. */
	bool                       self_ask;
	bool                       self_first;
	bool                       self_answered;
	uint64_t                   self_tag;
	struct emb_list            self_inbox;
	/** struct self_state by hash of fid; see self.c. */
	struct hax_map             self_states;

	bool                       drop_begun;
	uint64_t                   drop_deadline_ms;
};

typedef struct m0_halon_interface_internal emb_t;

/* Runs a callback without the lock. */
#define EMB_CALLBACK(e, name, ...)                            \
	do {                                                  \
		pthread_mutex_unlock(&(e)->lock);             \
		(e)->cb.name((e)->hi, __VA_ARGS__);           \
		pthread_mutex_lock(&(e)->lock);               \
	} while (0)

/* endpoint.c */

/** @return 0; -EINVAL */
int  emb_endpoint_parse(const char *text, struct emb_endpoint *out);
/** @return a listening socket, non-blocking; or a negative errno */
int  emb_endpoint_listen(emb_t *e);
/** Closes the listening socket and removes its file. */
void emb_endpoint_close(emb_t *e);

/* log.c */

/** Queues a line, with or without the lock. */
__attribute__((format(printf, 2, 3)))
void emb_log(int level, const char *fmt, ...);
/** Hands queued lines over.  Without the lock. */
void emb_log_flush(void);

/* loop.c */

void    *emb_loop(void *arg);
void     emb_wake(emb_t *e);
uint64_t emb_now_ms(void);

/* conn.c; from the loop only, except emb_conn_touch */

void emb_conn_touch(emb_t *e, struct emb_conn *c);
void emb_conn_accept(emb_t *e);
void emb_conn_accept_resume(emb_t *e);
void emb_conn_event(emb_t *e, struct emb_conn *c, uint32_t events);
/** Does what can be done for a connection: replies, messages, frames, I/O. */
void emb_conn_service(emb_t *e, struct emb_conn *c);
void emb_conn_close(emb_t *e, struct emb_conn *c);
/** Closes connections whose time is over. */
void emb_conn_expire(emb_t *e, uint64_t now_ms);
void emb_conn_reap(emb_t *e);

/* write.c */

/** Appends to the connection's buffer.  @return 0; -ENOMEM */
int    emb_conn_put(struct emb_conn *c, const uint8_t *data, size_t len);
/** Bytes that are not written yet. */
size_t emb_conn_waiting(const struct emb_conn *c);
/** Moves acknowledgements and messages of the link into the buffer. */
int    emb_conn_fill(struct emb_conn *c);
/** @return false if the connection is broken */
bool   emb_conn_flush(struct emb_conn *c);

/* frame.c: what a frame of a process means; from the loop only */

/** Handles one frame.  May close the connection. */
void emb_frame(emb_t *e, struct emb_conn *c, const struct wire_header *h,
	       const uint8_t *payload);
/** Closes the connection and drops its link, for a bad frame. */
void emb_frame_bad(emb_t *e, struct emb_conn *c, uint16_t type, const char *why);

/* entrypoint.c */

/** A request of a process, or our own (`c` is NULL).  Runs the callback. */
int  emb_req_new(emb_t *e, struct emb_conn *c,
		 const struct wire_entrypoint_req *wire);
void emb_req_free(struct emb_req *req);
/** Puts the replies that are due into the connection's buffer. */
void emb_req_flush(emb_t *e, struct emb_conn *c);
/** The connection goes; its unanswered requests stay for the user to answer. */
void emb_req_orphan(emb_t *e, struct emb_conn *c);
/* link.c */

/** @return NULL if there is no memory, or there are too many links */
struct m0_ha_link *emb_link_new(emb_t *e, const struct m0_fid *process,
				const char *endpoint, bool self);
struct m0_ha_link *emb_link_find(emb_t *e, uint64_t id);
void emb_link_touch(emb_t *e, struct m0_ha_link *hl);
/**
 * The connection carries the link from now on; but if a newer one does, it is
 * closed.  From the loop only.
 */
void emb_link_bind(emb_t *e, struct m0_ha_link *hl, struct emb_conn *c);
void emb_link_unbind(struct m0_ha_link *hl);
/** Begins to drop a link.  From the loop only. */
void emb_link_drop(emb_t *e, struct m0_ha_link *hl);
/** Reports what is due of a link; may free it.  From the loop only. */
void emb_link_step(emb_t *e, struct m0_ha_link *hl);
void emb_link_free(struct m0_ha_link *hl);
/** Allocates a message of which `size` bytes of m0_ha_msg are used. */
struct emb_in *emb_in_new(size_t size);

/* room.c */

/** A message was received whose content has `size` bytes. */
void emb_room_take(emb_t *e, struct m0_ha_link *hl, struct emb_in *in,
		   size_t size);
/** It is delivered. */
void emb_room_give(emb_t *e, struct m0_ha_link *hl, struct emb_in *in);
/** The link has ended with all its messages. */
void emb_room_give_all(emb_t *e, struct m0_ha_link *hl);
/** Whether a message of this connection can be received now. */
bool emb_room_is_free(const emb_t *e, const struct emb_conn *c);
/** Lets a connection wait for room if it has to.  From the loop only. */
void emb_room_queue(emb_t *e, struct emb_conn *c);
/** Gives turns to those that wait, as long as there is room.  As above. */
void emb_room_admit(emb_t *e);

/* send.c */

void emb_out_free(struct emb_out *out);

/* self.c */

/** Our own events; the inbox keeps them until the loop reports them. */
void emb_self_post_start(emb_t *e);
void emb_self_post_stop(emb_t *e);
/** Reports the inbox and makes our request.  From the loop only. */
void emb_self_step(emb_t *e);
/** Takes what was sent on the self link.  From the loop only. */
void emb_self_take(emb_t *e);
bool emb_self_is_quiet(emb_t *e);
void emb_self_fini(emb_t *e);

#endif
