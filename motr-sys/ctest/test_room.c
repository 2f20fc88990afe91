/* SPDX-License-Identifier: Apache-2.0 */
/* Room for undelivered messages that all links share: rfc/6-wire.md. */
#include "peer.h"
#include "user.h"

#include <errno.h>
#include <string.h>

enum { ROOM = 64, RESERVED = 16, PEERS = 6, EACH = 200 };

static void up(struct user *u)
{
	user_init(u);
	CHECK_EQ(hax_bridge_set_queue_max(u->bridge, 0), -EINVAL);
	CHECK_EQ(hax_bridge_set_queue_max(u->bridge, ROOM), 0);
	CHECK_EQ(user_start(u), 0);
	user_next(u, EV_REQUEST, 0);
	user_link(u, HAX_LINK_CONNECTED, u->self);
	/* Our own first events. */
	for (int i = 0; i < 6; i++)
		user_next(u, EV_MSG, u->self);
	user_set(u, &u->auto_deliver, false);
}

static uint64_t connect_peer(struct user *u, struct peer *p, uint64_t key)
{
	peer_up(p, u->endpoint, key);
	return user_link(u, HAX_LINK_CONNECTED, 0).link;
}

/* The peer has had a word, and its later frames are not taken meanwhile. */
static void expect_answered(struct user *u, uint64_t link, struct peer *p)
{
	struct hax_nvec nvec = { .type = HAX_NVEC_GET };
	uint64_t        tag;

	CHECK_EQ(hax_bridge_send_nvec(u->bridge, link, &nvec, &tag), 0);
	CHECK_EQ(peer_expect_msg(p, HAX_MSG_NVEC), tag);
	peer_delivered(p, tag);
	CHECK_EQ(user_next(u, EV_DELIVERED, link).tag, tag);
}

static void room_is_shared(void)
{
	struct user u;
	struct peer p;
	struct peer q;
	struct peer r;
	uint64_t    lp;
	uint64_t    lq;
	uint64_t    lr;

	up(&u);
	lp = connect_peer(&u, &p, 1);
	lq = connect_peer(&u, &q, 2);
	for (int i = 0; i < ROOM; i++) {
		uint64_t tag = peer_event(&p, 1);

		CHECK_EQ(user_next(&u, EV_MSG, lp).tag, tag);
	}
	/*
	 * Full.  DELIVERED is still heard from a link that sends nothing else;
	 * also for tags above those of its own messages.
	 */
	for (int i = 0; i < ROOM + 2; i++)
		expect_answered(&u, lp, &p);
	peer_event(&p, 1);
	/* Another link has its reserve, and a new process its entrypoint. */
	for (int i = 0; i < RESERVED; i++) {
		uint64_t tag = peer_event(&q, 1);

		CHECK_EQ(user_next(&u, EV_MSG, lq).tag, tag);
	}
	peer_event(&q, 1);
	user_log(&u, "links are not read");
	lr = connect_peer(&u, &r, 3);
	expect_answered(&u, lr, &r);
	CHECK_EQ(user_left(&u, EV_MSG, 0), 0);
	/* What waits comes in the order of waiting, once there is room. */
	for (uint64_t tag = 2; tag <= 2 * RESERVED; tag += 2) {
		CHECK_EQ(hax_bridge_delivered(u.bridge, lp, tag), 0);
		peer_expect_delivered(&p, tag);
	}
	expect_answered(&u, lr, &r);
	CHECK_EQ(user_left(&u, EV_MSG, 0), 0);
	CHECK_EQ(hax_bridge_delivered(u.bridge, lp, 2 * RESERVED + 2), 0);
	CHECK_EQ(user_next(&u, EV_MSG, lp).tag, 2 * ROOM + 2);
	peer_expect_delivered(&p, 2 * RESERVED + 2);
	expect_answered(&u, lr, &r);
	CHECK_EQ(user_left(&u, EV_MSG, 0), 0);
	CHECK_EQ(hax_bridge_delivered(u.bridge, lp, 2 * RESERVED + 4), 0);
	CHECK_EQ(user_next(&u, EV_MSG, lq).tag, 2 * RESERVED + 2);
	peer_close(&p);
	peer_close(&q);
	peer_close(&r);
	user_down(&u);
}

static void send_all(struct peer *p, unsigned nr)
{
	static struct bytes b;

	for (unsigned i = 0; i < nr; i++) {
		p->tag += 2;
		msg_event(&b, p->tag, 1);
		peer_send(p, &b);
	}
}

/* Links that have more than fits go on in turns, and lose and reorder nothing. */
static void room_is_given_in_turns(void)
{
	static struct peer peers[PEERS];
	uint64_t           links[PEERS];
	uint64_t           last[PEERS] = { 0 };
	uint64_t           taken[PEERS] = { 0 };
	struct user        u;
	uint64_t           most = 0;

	up(&u);
	for (uint64_t i = 0; i < PEERS; i++)
		links[i] = connect_peer(&u, &peers[i], i + 1);
	for (int i = 0; i < PEERS; i++)
		send_all(&peers[i], EACH);
	for (unsigned nr = 0; nr < PEERS * EACH; nr++) {
		struct event ev = user_next(&u, EV_MSG, 0);
		uint64_t     held = user_count(&u, EV_MSG) - 6 - nr;
		int          i = 0;

		if (held > most)
			most = held;
		while (links[i] != ev.link)
			CHECK(++i < PEERS);
		CHECK_EQ(ev.tag, last[i] + 2);
		last[i] = ev.tag;
		taken[i]++;
		CHECK_EQ(hax_bridge_delivered(u.bridge, ev.link, ev.tag), 0);
		/* Nobody is far ahead of the others for long. */
		if (nr == PEERS * EACH / 2)
			for (int k = 0; k < PEERS; k++)
				CHECK(taken[k] > EACH / 8);
	}
	CHECK(most > ROOM / 2);
	CHECK(most <= ROOM + PEERS * RESERVED);
	for (int i = 0; i < PEERS; i++)
		peer_close(&peers[i]);
	user_down(&u);
}

/* Events in one write, which the bridge reads at once. */
static void send_at_once(struct peer *p, unsigned nr)
{
	static struct bytes all;
	static struct bytes b;

	all.len = 0;
	for (unsigned i = 0; i < nr; i++) {
		p->tag += 2;
		msg_event(&b, p->tag, 1);
		memcpy(all.data + all.len, b.data, b.len);
		all.len += b.len;
	}
	peer_send(p, &all);
}

/* Who has more than a turn waits behind the others again. */
static void room_turns_are_short(void)
{
	enum { TURN = 16, MORE = 25 };
	struct user u;
	struct peer p;
	struct peer q;
	struct peer r;
	uint64_t    lp;
	uint64_t    lq;
	uint64_t    lr;

	up(&u);
	lp = connect_peer(&u, &p, 1);
	lq = connect_peer(&u, &q, 2);
	lr = connect_peer(&u, &r, 3);
	send_all(&p, ROOM);
	for (int i = 0; i < ROOM; i++)
		user_next(&u, EV_MSG, lp);
	send_at_once(&p, MORE);
	user_log(&u, "links are not read");
	send_all(&q, RESERVED);
	for (int i = 0; i < RESERVED; i++)
		user_next(&u, EV_MSG, lq);
	send_at_once(&q, MORE);
	expect_answered(&u, lr, &r);
	CHECK_EQ(user_left(&u, EV_MSG, 0), 0);
	/* All of the room comes free while the loop is held. */
	user_set(&u, &u.hold_reused, true);
	peer_request(&r, 2, false);
	user_wait_flag(&u, &u.is_held);
	for (uint64_t tag = 2; tag <= 2 * (RESERVED + 2 * TURN); tag += 2)
		CHECK_EQ(hax_bridge_delivered(u.bridge, lp, tag), 0);
	user_set(&u, &u.hold_reused, false);
	for (int i = 0; i < 2 * TURN; i++)
		CHECK_EQ(user_next(&u, EV_MSG, 0).link, i < TURN ? lp : lq);
	CHECK_EQ(peer_reply(&r).seq, 2);
	expect_answered(&u, lr, &r);
	CHECK_EQ(user_left(&u, EV_MSG, 0), 0);
	peer_close(&p);
	peer_close(&q);
	peer_close(&r);
	user_down(&u);
}

/* A large message counts as several; a link without any may always have one. */
static void room_is_of_bytes_too(void)
{
	enum { UNITS = 13, FIT = (ROOM + UNITS - 1) / UNITS };
	static struct bytes b;
	struct user         u;
	struct peer         p;
	struct peer         q;
	uint64_t            lp;
	uint64_t            lq;
	uint64_t            lr;
	struct peer         r;

	up(&u);
	lp = connect_peer(&u, &p, 1);
	lq = connect_peer(&u, &q, 2);
	lr = connect_peer(&u, &r, 3);
	for (uint64_t i = 1; i <= FIT + 1; i++) {
		msg_nvec(&b, 2 * i, HAX_NOTES_MAX, 1);
		peer_send(&p, &b);
		if (i <= FIT)
			CHECK_EQ(user_next(&u, EV_MSG, lp).tag, 2 * i);
	}
	msg_nvec(&b, 2, HAX_NOTES_MAX, 1);
	peer_send(&q, &b);
	CHECK_EQ(user_next(&u, EV_MSG, lq).tag, 2);
	expect_answered(&u, lr, &r);
	CHECK_EQ(user_left(&u, EV_MSG, 0), 0);
	for (uint64_t i = 1; i <= 3; i++)
		CHECK_EQ(hax_bridge_delivered(u.bridge, lp, 2 * i), 0);
	CHECK_EQ(user_next(&u, EV_MSG, lp).tag, 2 * FIT + 2);
	peer_close(&p);
	peer_close(&q);
	peer_close(&r);
	user_down(&u);
}

/* A link that ends gives all its room back; a reconnected one sends again. */
static void room_comes_back(void)
{
	struct user u;
	struct peer p;
	struct peer q;
	uint64_t    lp;
	uint64_t    lq;

	up(&u);
	lp = connect_peer(&u, &p, 1);
	lq = connect_peer(&u, &q, 2);
	send_all(&p, ROOM);
	for (int i = 0; i < ROOM; i++)
		CHECK_EQ(user_next(&u, EV_MSG, lp).tag, (i + 1) * 2);
	send_all(&q, RESERVED + 1);
	for (int i = 0; i < RESERVED; i++)
		CHECK_EQ(user_next(&u, EV_MSG, lq).tag, (i + 1) * 2);
	/* What comes again is known, so its acknowledgements are not held up. */
	peer_close(&p);
	CHECK_EQ(peer_again(&p, u.endpoint).status, REUSED);
	user_link(&u, HAX_LINK_REUSED, lp);
	p.tag = 0;
	send_all(&p, ROOM);
	expect_answered(&u, lp, &p);
	CHECK_EQ(user_left(&u, EV_MSG, 0), 0);
	user_say(&u, p.process, 1, 1);
	user_say(&u, p.process, 2, 1);
	user_link(&u, HAX_LINK_DISCONNECTED, lp);
	CHECK_EQ(user_next(&u, EV_MSG, lq).tag, 2 * RESERVED + 2);
	peer_close(&p);
	peer_close(&q);
	user_down(&u);
}

const struct test tests_room[] = {
	{ "room_is_shared", room_is_shared },
	{ "room_is_given_in_turns", room_is_given_in_turns },
	{ "room_turns_are_short", room_turns_are_short },
	{ "room_is_of_bytes_too", room_is_of_bytes_too },
	{ "room_comes_back", room_comes_back },
	{ NULL, NULL },
};
