/* SPDX-License-Identifier: Apache-2.0 */
#include "user.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const struct hax_fid OWN_PROCESS = { 0x7200000000000001, 0xa };
const struct hax_fid OWN_HA = { 0x7300000000000001, 0xb };
const struct hax_fid OWN_RM = { 0x7300000000000001, 0xc };

static char dir[64];

static void remove_dir(void)
{
	rmdir(dir);
}

const char *temp_dir(void)
{
	if (dir[0] == '\0') {
		strcpy(dir, "/tmp/hax-ctest-XXXXXX");
		CHECK(mkdtemp(dir) != NULL);
		atexit(remove_dir);
	}
	return dir;
}

static void add(struct user *u, const struct event *ev)
{
	pthread_mutex_lock(&u->lock);
	u->count[ev->kind]++;
	if (!u->count_only) {
		if (u->nr == u->cap) {
			u->cap = u->cap == 0 ? 64 : u->cap * 2;
			u->events = realloc(u->events,
					    u->cap * sizeof *u->events);
			CHECK(u->events != NULL);
		}
		u->events[u->nr++] = *ev;
	}
	pthread_cond_broadcast(&u->changed);
	pthread_mutex_unlock(&u->lock);
}

static void set_text(struct event *ev, const char *text)
{
	snprintf(ev->text, sizeof ev->text, "%s", text);
}

static bool get_flag(struct user *u, const bool *flag)
{
	bool v;

	pthread_mutex_lock(&u->lock);
	v = *flag;
	pthread_mutex_unlock(&u->lock);
	return v;
}

int user_reply(struct user *u, const struct hax_uint128 *id, int rc)
{
	static const struct hax_fid confd = { 0x7300000000000001, 0x1d };
	static const char *const    endpoint = "inet:tcp:127.0.0.1@4000";
	static const struct hax_fid rm = { 0x7300000000000001, 0x1e };

	return hax_bridge_entrypoint_reply(u->bridge, id, rc, rc == 0 ? 1 : 0,
					   &confd, &endpoint, 1, &rm,
					   "inet:tcp:127.0.0.1@4001");
}

static void on_request(void *ctx, const struct hax_entrypoint_request *req)
{
	struct user *u = ctx;
	struct event ev = { .kind = EV_REQUEST, .req_id = req->req_id,
			    .process = req->process, .first = req->first };
	bool         reply;
	int          rc = 0;

	set_text(&ev, req->remote_endpoint);
	pthread_mutex_lock(&u->lock);
	reply = u->auto_reply;
	if (reply && u->refuse > 0) {
		u->refuse--;
		rc = -EAGAIN;
	}
	pthread_mutex_unlock(&u->lock);
	add(u, &ev);
	if (reply) {
		rc = user_reply(u, &req->req_id, rc);
		/* stop() may have answered it between the two. */
		CHECK(rc == 0 ||
		      (rc == -ENOENT && get_flag(u, &u->stopping)));
	}
}

static void on_msg(void *ctx, uint64_t link, uint64_t tag,
		   const struct hax_msg *msg)
{
	struct user *u = ctx;
	struct event ev = { .kind = EV_MSG, .link = link, .tag = tag,
			    .msg = *msg };
	bool         deliver;

	if (msg->type == HAX_MSG_NVEC) {
		for (uint64_t i = 0; i < msg->u.nvec.nr; i++)
			ev.states += msg->u.nvec.notes[i].state;
		ev.msg.u.nvec.notes = NULL;
	}
	pthread_mutex_lock(&u->lock);
	deliver = link == u->self ? u->self_deliver : u->auto_deliver;
	pthread_mutex_unlock(&u->lock);
	add(u, &ev);
	if (deliver)
		CHECK_EQ(hax_bridge_delivered(u->bridge, link, tag), 0);
}

static void on_delivered(void *ctx, uint64_t link, uint64_t tag)
{
	add(ctx, &(struct event){ .kind = EV_DELIVERED, .link = link,
				  .tag = tag });
}

static void on_not_delivered(void *ctx, uint64_t link, uint64_t tag)
{
	add(ctx, &(struct event){ .kind = EV_NOT_DELIVERED, .link = link,
				  .tag = tag });
}

/* Callbacks of one link never overlap; links share a place now and then. */
static void alone(const struct hax_link_event *event)
{
	static uint64_t running[4096];
	uint64_t       *place = &running[event->link % 4096];

	if (event->link == 0)
		return;
	CHECK(__atomic_exchange_n(place, event->link, __ATOMIC_SEQ_CST) !=
	      event->link);
	for (int i = 0; i < 20; i++)
		sched_yield();
	__atomic_store_n(place, 0, __ATOMIC_SEQ_CST);
}

static void on_link(void *ctx, const struct hax_link_event *event)
{
	struct user *u = ctx;
	struct event ev = { .kind = EV_LINK, .link = event->link,
			    .link_kind = (int)event->kind,
			    .req_id = event->req_id,
			    .process = event->process };

	set_text(&ev, event->remote_endpoint);
	pthread_mutex_lock(&u->lock);
	if (u->self == 0 && event->kind == HAX_LINK_CONNECTED)
		u->self = event->link;
	pthread_mutex_unlock(&u->lock);
	alone(event);
	pthread_mutex_lock(&u->lock);
	while (u->hold_reused && event->kind == HAX_LINK_REUSED) {
		u->is_held = true;
		pthread_cond_broadcast(&u->changed);
		pthread_cond_wait(&u->changed, &u->lock);
	}
	pthread_mutex_unlock(&u->lock);
	/* Its answer is what made this event: there is no second one. */
	if (event->kind <= HAX_LINK_ABSENT)
		CHECK_EQ(user_reply(u, &event->req_id, 0), -ENOENT);
	add(u, &ev);
	if (event->kind == HAX_LINK_DISCONNECTING &&
	    get_flag(u, &u->auto_disconnect))
		CHECK_EQ(hax_bridge_disconnect(u->bridge, event->link), 0);
}

static void on_log(void *ctx, enum hax_log_level level, const char *text)
{
	struct event ev = { .kind = EV_LOG };

	(void)level;
	set_text(&ev, text);
	add(ctx, &ev);
}

void user_init(struct user *u)
{
	static unsigned      number;
	pthread_condattr_t   attr;
	struct hax_callbacks cb = {
		.ctx                  = u,
		.entrypoint_request   = on_request,
		.msg_received         = on_msg,
		.msg_is_delivered     = on_delivered,
		.msg_is_not_delivered = on_not_delivered,
		.link                 = on_link,
		.log                  = on_log,
	};

	memset(u, 0, sizeof *u);
	u->auto_reply = u->auto_deliver = true;
	u->self_deliver = u->auto_disconnect = true;
	pthread_mutex_init(&u->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&u->changed, &attr);
	pthread_condattr_destroy(&attr);
	snprintf(u->endpoint, sizeof u->endpoint, "unix:%s/s%u", temp_dir(),
		 number++);
	CHECK_EQ(hax_bridge_init(&u->bridge, NULL, &cb), 0);
}

int user_start(struct user *u)
{
	return hax_bridge_start(u->bridge, u->endpoint, &OWN_PROCESS, &OWN_HA,
				&OWN_RM);
}

void user_up(struct user *u)
{
	user_init(u);
	CHECK_EQ(user_start(u), 0);
	user_next(u, EV_REQUEST, 0);
	user_link(u, HAX_LINK_CONNECTED, u->self);
	for (int i = 0; i < 6; i++)
		user_next(u, EV_MSG, u->self);
}

void user_stop(struct user *u)
{
	user_set(u, &u->stopping, true);
	hax_bridge_stop(u->bridge);
	pthread_mutex_lock(&u->lock);
	u->stopping = false;
	u->self = 0;
	pthread_mutex_unlock(&u->lock);
}

void user_fini(struct user *u)
{
	hax_bridge_fini(u->bridge);
	pthread_cond_destroy(&u->changed);
	pthread_mutex_destroy(&u->lock);
	free(u->events);
}

void user_down(struct user *u)
{
	user_stop(u);
	user_fini(u);
}

static struct timespec deadline(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += WAIT_MS / 1000;
	return t;
}

static struct event wait_for(struct user *u, enum event_kind kind,
			     uint64_t link, int link_kind, const char *words)
{
	struct timespec until = deadline();

	pthread_mutex_lock(&u->lock);
	for (;;) {
		for (size_t i = 0; i < u->nr; i++) {
			struct event *ev = &u->events[i];
			struct event  found;

			if (ev->seen || ev->kind != kind ||
			    (link != 0 && ev->link != link) ||
			    (link_kind >= 0 && ev->link_kind != link_kind) ||
			    (words != NULL &&
			     strstr(ev->text, words) == NULL))
				continue;
			ev->seen = true;
			found = *ev;
			pthread_mutex_unlock(&u->lock);
			return found;
		}
		if (pthread_cond_timedwait(&u->changed, &u->lock, &until) !=
		    0) {
			fprintf(stderr, "no event: kind %d link %llu link_kind "
				"%d %s\n", kind, (unsigned long long)link,
				link_kind, words == NULL ? "" : words);
			for (size_t i = 0; i < u->nr; i++)
				fprintf(stderr, "  %d link %llu kind %d tag "
					"%llu %s%s\n", u->events[i].kind,
					(unsigned long long)u->events[i].link,
					u->events[i].link_kind,
					(unsigned long long)u->events[i].tag,
					u->events[i].text,
					u->events[i].seen ? " (seen)" : "");
			abort();
		}
	}
}

struct event user_next(struct user *u, enum event_kind kind, uint64_t link)
{
	return wait_for(u, kind, link, -1, NULL);
}

struct event user_link(struct user *u, enum hax_link_event_kind kind,
		       uint64_t link)
{
	return wait_for(u, EV_LINK, link, (int)kind, NULL);
}

void user_log(struct user *u, const char *words)
{
	wait_for(u, EV_LOG, 0, -1, words);
}

void user_wait_count(struct user *u, enum event_kind kind, uint64_t count)
{
	struct timespec until = deadline();

	pthread_mutex_lock(&u->lock);
	while (u->count[kind] < count)
		CHECK_EQ(pthread_cond_timedwait(&u->changed, &u->lock, &until),
			 0);
	pthread_mutex_unlock(&u->lock);
}

void user_wait_flag(struct user *u, const bool *flag)
{
	struct timespec until = deadline();

	pthread_mutex_lock(&u->lock);
	while (!*flag)
		CHECK_EQ(pthread_cond_timedwait(&u->changed, &u->lock, &until),
			 0);
	pthread_mutex_unlock(&u->lock);
}

size_t user_left(struct user *u, enum event_kind kind, uint64_t link)
{
	size_t nr = 0;

	pthread_mutex_lock(&u->lock);
	for (size_t i = 0; i < u->nr; i++)
		if (!u->events[i].seen && u->events[i].kind == kind &&
		    (link == 0 || u->events[i].link == link))
			nr++;
	pthread_mutex_unlock(&u->lock);
	return nr;
}

uint64_t user_count(struct user *u, enum event_kind kind)
{
	uint64_t n;

	pthread_mutex_lock(&u->lock);
	n = u->count[kind];
	pthread_mutex_unlock(&u->lock);
	return n;
}

void user_set(struct user *u, bool *flag, bool value)
{
	pthread_mutex_lock(&u->lock);
	*flag = value;
	pthread_cond_broadcast(&u->changed);
	pthread_mutex_unlock(&u->lock);
}

uint64_t user_send(struct user *u, uint64_t link, struct hax_fid fid,
		   uint32_t state, uint64_t ignore_same)
{
	struct hax_note note = { .object = fid, .state = state };
	struct hax_nvec nvec = { .type = HAX_NVEC_SET,
				 .ignore_same_state = ignore_same,
				 .nr = 1, .notes = &note };
	uint64_t        tag = 0;

	CHECK_EQ(hax_bridge_send_nvec(u->bridge, link, &nvec, &tag), 0);
	CHECK_EQ(tag % 2, 1);
	return tag;
}

void user_say(struct user *u, struct hax_fid process, uint32_t state,
	      uint64_t ignore_same)
{
	uint64_t tag = user_send(u, u->self, process, state, ignore_same);

	CHECK_EQ(user_next(u, EV_DELIVERED, u->self).tag, tag);
}
