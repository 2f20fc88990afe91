/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user of the bridge in the tests: keeps every event, and waits for them.
 */
#ifndef HAX_CTEST_USER_H
#define HAX_CTEST_USER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "bridge.h"
#include "check.h"

enum event_kind {
	EV_REQUEST,
	EV_MSG,
	EV_DELIVERED,
	EV_NOT_DELIVERED,
	EV_LINK,
	EV_LOG,
};

struct event {
	enum event_kind    kind;
	bool               seen;
	uint64_t           link;
	uint64_t           tag;
	/* EV_LINK: hax_link_event_kind. */
	int                link_kind;
	struct hax_uint128 req_id;
	struct hax_fid     process;
	bool               first;
	struct hax_msg     msg;
	/* Sum of the states of the notes, to see that they came. */
	uint64_t           states;
	/* Endpoint, or line of log. */
	char               text[300];
};

struct user {
	struct hax_bridge *bridge;
	pthread_mutex_t    lock;
	pthread_cond_t     changed;
	struct event      *events;
	size_t             nr;
	size_t             cap;
	uint64_t           count[EV_LOG + 1];
	/* Only counts; nothing is kept. */
	bool               count_only;
	/* The link of our own process. */
	uint64_t           self;
	/* Requests answered with -EAGAIN before those answered with 0. */
	int                refuse;
	bool               auto_reply;
	bool               auto_deliver;
	bool               self_deliver;
	bool               auto_disconnect;
	/* REUSED is not returned from, and one is waiting. */
	bool               hold_reused;
	bool               is_held;
	/* In user_stop(). */
	bool               stopping;
	char               endpoint[128];
};

extern const struct hax_fid OWN_PROCESS;
extern const struct hax_fid OWN_HA;
extern const struct hax_fid OWN_RM;

/* init, with a fresh Unix endpoint; everything is answered by itself. */
void user_init(struct user *u);
int  user_start(struct user *u);
/* Both, successfully, and past our own first events. */
void user_up(struct user *u);
void user_stop(struct user *u);
void user_fini(struct user *u);
void user_down(struct user *u);
/* A directory for sockets, removed at the end of the program. */
const char *temp_dir(void);

/* The next event not seen yet of the kind, of the link unless that is 0. */
struct event user_next(struct user *u, enum event_kind kind, uint64_t link);
/* The next link event of this kind. */
struct event user_link(struct user *u, enum hax_link_event_kind kind,
		       uint64_t link);
/* Waits for a line of log with these words. */
void user_log(struct user *u, const char *words);
void user_wait_count(struct user *u, enum event_kind kind, uint64_t count);
void user_wait_flag(struct user *u, const bool *flag);
/* Events not seen yet. */
size_t user_left(struct user *u, enum event_kind kind, uint64_t link);
uint64_t user_count(struct user *u, enum event_kind kind);
void user_set(struct user *u, bool *flag, bool value);

int  user_reply(struct user *u, const struct hax_uint128 *id, int rc);
/* Sends an NVEC SET of one note; the tag. */
uint64_t user_send(struct user *u, uint64_t link, struct hax_fid fid,
		   uint32_t state, uint64_t ignore_same);
/* Says the state on the self link and waits until it is taken. */
void user_say(struct user *u, struct hax_fid process, uint32_t state,
	      uint64_t ignore_same);

#endif
