/* SPDX-License-Identifier: Apache-2.0 */
/* Many messages, many threads. */
#include "peer.h"
#include "user.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>

static uint64_t up(struct user *u, struct peer *p, uint64_t key)
{
	peer_up(p, u->endpoint, key);
	user_next(u, EV_REQUEST, 0);
	return user_link(u, HAX_LINK_CONNECTED, 0).link;
}

struct sender {
	struct user *u;
	uint64_t     link;
	uint64_t     nr;
	uint64_t     sent;
	uint64_t     gone;
};

static void *send_many(void *arg)
{
	struct sender     *s = arg;
	struct hax_thread *thread;
	struct hax_nvec    nvec = { .type = HAX_NVEC_GET };

	CHECK_EQ(hax_bridge_thread_adopt(s->u->bridge, &thread), 0);
	while (s->sent < s->nr) {
		uint64_t tag;
		int      rc = hax_bridge_send_nvec(s->u->bridge, s->link, &nvec,
						   &tag);

		if (rc == 0) {
			s->sent++;
			continue;
		}
		if (rc == -ENOENT) {
			s->gone++;
			break;
		}
		CHECK_EQ(rc, -ENOBUFS);
		sched_yield();
	}
	hax_bridge_thread_shun(thread);
	return NULL;
}

static void *acknowledge(void *arg)
{
	static __thread struct frame f;
	struct peer                 *p = arg;

	while (peer_frame(p, &f))
		if (f.type == MSG)
			peer_delivered(p, f.tag);
	return NULL;
}

/* Whatever is sent while a link is dropped ends exactly once. */
static void stress_senders_and_drop(void)
{
	enum { SENDERS = 4 };
	unsigned rounds = scale >= 10000 ? 20 : 4;

	for (unsigned round = 0; round < rounds; round++) {
		struct sender s[SENDERS];
		pthread_t     threads[SENDERS];
		pthread_t     acks;
		struct user   u;
		struct peer   p;
		uint64_t      sent = 1;
		uint64_t      link;

		user_up(&u);
		link = up(&u, &p, 1);
		user_say(&u, p.process, 3, 1);
		CHECK_EQ(pthread_create(&acks, NULL, acknowledge, &p), 0);
		for (int i = 0; i < SENDERS; i++) {
			s[i] = (struct sender){ &u, link, UINT64_MAX, 0, 0 };
			CHECK_EQ(pthread_create(&threads[i], NULL, send_many,
						&s[i]), 0);
		}
		user_wait_count(&u, EV_DELIVERED, 50 * round);
		user_send(&u, u.self, p.process, 2, 1);
		sent++;
		for (int i = 0; i < SENDERS; i++) {
			CHECK_EQ(pthread_join(threads[i], NULL), 0);
			CHECK_EQ(s[i].gone, 1);
			sent += s[i].sent;
		}
		user_link(&u, HAX_LINK_DISCONNECTED, link);
		CHECK_EQ(pthread_join(acks, NULL), 0);
		peer_close(&p);
		user_stop(&u);
		CHECK_EQ(user_count(&u, EV_DELIVERED) +
			 user_count(&u, EV_NOT_DELIVERED), sent);
		user_fini(&u);
	}
}

struct deliverer {
	struct user *u;
	uint64_t     link;
	uint64_t     done;
};

static void *deliver_many(void *arg)
{
	struct deliverer *d = arg;

	for (uint64_t tag = 2; tag <= 400; tag += 2)
		if (hax_bridge_delivered(d->u->bridge, d->link, tag) == 0)
			d->done++;
	return NULL;
}

/* Several threads deliver the same messages: each is delivered once. */
static void stress_deliver_once(void)
{
	enum { DELIVERERS = 4 };
	struct deliverer    d[DELIVERERS];
	pthread_t           threads[DELIVERERS];
	struct user         u;
	struct peer         p;
	uint64_t            link;
	uint64_t            done = 0;
	static struct frame f;
	bool                seen[401] = { false };

	user_up(&u);
	link = up(&u, &p, 1);
	user_set(&u, &u.auto_deliver, false);
	for (int i = 0; i < 200; i++)
		peer_event(&p, 1);
	user_wait_count(&u, EV_MSG, 206);
	for (int i = 0; i < DELIVERERS; i++) {
		d[i] = (struct deliverer){ &u, link, 0 };
		CHECK_EQ(pthread_create(&threads[i], NULL, deliver_many, &d[i]),
			 0);
	}
	for (int i = 0; i < DELIVERERS; i++) {
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
		done += d[i].done;
	}
	CHECK_EQ(done, 200);
	for (int i = 0; i < 200; i++) {
		CHECK(peer_frame(&p, &f));
		CHECK_EQ(f.type, DELIVERED);
		CHECK(f.tag <= 400 && !seen[f.tag]);
		seen[f.tag] = true;
	}
	peer_close(&p);
	user_down(&u);
}

struct replier {
	struct user *u;
	uint64_t     nr;
};

static void *reply_many(void *arg)
{
	struct replier *r = arg;

	for (uint64_t i = 0; i < r->nr; i++) {
		struct event ev = user_next(r->u, EV_REQUEST, 0);
		int          rc = user_reply(r->u, &ev.req_id, 0);

		CHECK(rc == 0 || rc == -ENOENT);
	}
	return NULL;
}

/* Processes that come back while they are answered from several threads. */
static void stress_repliers_and_reconnects(void)
{
	enum { REPLIERS = 3, PEERS = 8 };
	uint64_t       rounds = scale >= 10000 ? 60 : 9;
	struct replier r;
	pthread_t      threads[REPLIERS];
	struct user    u;
	struct peer    p[PEERS];

	user_up(&u);
	for (uint64_t i = 0; i < PEERS; i++)
		up(&u, &p[i], i + 1);
	user_set(&u, &u.auto_reply, false);
	r = (struct replier){ &u, rounds * PEERS * 4 / REPLIERS };
	CHECK_EQ(rounds * PEERS * 4 % REPLIERS, 0);
	for (int i = 0; i < REPLIERS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, reply_many, &r), 0);
	for (uint64_t round = 0; round < rounds; round++) {
		for (int i = 0; i < PEERS; i++) {
			struct peer old = p[i];

			/* Without waiting for the reply, the first time. */
			peer_connect(&p[i], u.endpoint, old.process.key);
			p[i].instance = old.instance;
			p[i].link = old.link;
			peer_request(&p[i], 1, false);
			peer_close(&old);
			old = p[i];
			CHECK_EQ(peer_again(&p[i], u.endpoint).status, REUSED);
			peer_close(&old);
			/* Two at once on one link, answered by two threads. */
			peer_request(&p[i], 3, false);
			peer_request(&p[i], 4, false);
		}
		for (int i = 0; i < PEERS; i++) {
			CHECK_EQ(peer_reply(&p[i]).seq, 3);
			CHECK_EQ(peer_reply(&p[i]).seq, 4);
		}
	}
	for (int i = 0; i < REPLIERS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	for (int i = 0; i < PEERS; i++)
		peer_close(&p[i]);
	user_down(&u);
}

static void both_ways(struct user *u, struct peer *p, uint64_t link,
		      uint64_t nr)
{
	static struct frame f;
	struct sender       s = { u, link, nr, 0, 0 };
	pthread_t           thread;
	uint64_t            acked = 0;
	uint64_t            got = 0;
	uint64_t            delivered = user_count(u, EV_DELIVERED);
	uint64_t            in = 0;

	CHECK_EQ(pthread_create(&thread, NULL, send_many, &s), 0);
	while (acked < nr || got < nr) {
		/* At most so many on their way, that no buffer is needed. */
		while (in < nr && in - acked < 100) {
			peer_event(p, 1);
			in++;
		}
		CHECK(peer_frame(p, &f));
		if (f.type == MSG) {
			got++;
			peer_delivered(p, f.tag);
		} else {
			CHECK_EQ(f.type, DELIVERED);
			acked++;
		}
	}
	CHECK_EQ(pthread_join(thread, NULL), 0);
	user_wait_count(u, EV_DELIVERED, delivered + nr);
}

/* Of ASan's and TSan's runtime: mallinfo2() knows nothing of their heap. */
extern size_t __sanitizer_get_current_allocated_bytes(void)
	__attribute__((weak));

static size_t in_use(void)
{
	if (__sanitizer_get_current_allocated_bytes != NULL)
		return __sanitizer_get_current_allocated_bytes();
	return mallinfo2().uordblks;
}

static void stress_memory_does_not_grow(void)
{
	struct user u;
	struct peer p;
	uint64_t    link;
	size_t      before;
	size_t      after;

	user_up(&u);
	link = up(&u, &p, 1);
	pthread_mutex_lock(&u.lock);
	u.count_only = true;
	pthread_mutex_unlock(&u.lock);
	both_ways(&u, &p, link, scale / 10);
	before = in_use();
	both_ways(&u, &p, link, scale);
	after = in_use();
	printf("  %lu messages each way: %zu bytes in use before, %zu after\n",
	       scale, before, after);
	/* A buffer more or less, but nothing per message. */
	CHECK(after < before + 64 * 1024);
	peer_close(&p);
	user_down(&u);
}

const struct test tests_stress[] = {
	{ "stress_senders_and_drop", stress_senders_and_drop },
	{ "stress_deliver_once", stress_deliver_once },
	{ "stress_repliers_and_reconnects", stress_repliers_and_reconnects },
	{ "stress_memory_does_not_grow", stress_memory_does_not_grow },
	{ NULL, NULL },
};
