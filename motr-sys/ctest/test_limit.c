/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of rfc/6-wire.md, at them and one beyond. */
#include "peer.h"
#include "user.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static uint64_t up(struct user *u, struct peer *p)
{
	user_up(u);
	peer_up(p, u->endpoint, 1);
	user_next(u, EV_REQUEST, 0);
	return user_link(u, HAX_LINK_CONNECTED, 0).link;
}

static void limit_sent(void)
{
	struct user     u;
	struct peer     p;
	uint64_t        link = up(&u, &p);
	struct hax_nvec nvec = { .type = HAX_NVEC_GET };
	uint64_t        tag;

	for (int i = 0; i < 1024; i++)
		CHECK_EQ(hax_bridge_send_nvec(u.bridge, link, &nvec, &tag), 0);
	CHECK_EQ(hax_bridge_send_nvec(u.bridge, link, &nvec, &tag), -ENOBUFS);
	for (int i = 0; i < 1024; i++)
		CHECK_EQ(peer_expect_msg(&p, HAX_MSG_NVEC), i * 2 + 1);
	peer_delivered(&p, 1);
	CHECK_EQ(user_next(&u, EV_DELIVERED, link).tag, 1);
	CHECK_EQ(hax_bridge_send_nvec(u.bridge, link, &nvec, &tag), 0);
	CHECK_EQ(hax_bridge_send_nvec(u.bridge, link, &nvec, &tag), -ENOBUFS);
	peer_close(&p);
	user_down(&u);
}

/* Writes events until the socket takes no more. */
static unsigned send_until_full(struct peer *p)
{
	enum { FAR_TOO_MANY = 100000 };
	static struct bytes b;
	unsigned            nr = 0;

	for (;;) {
		ssize_t n;

		msg_event(&b, p->tag + 2, 1);
		n = send(p->fd, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0) {
			CHECK_EQ(errno, EAGAIN);
			return nr;
		}
		/* A Unix socket takes a frame as small as this whole, or not. */
		CHECK_EQ(n, b.len);
		p->tag += 2;
		CHECK(++nr < FAR_TOO_MANY);
	}
}

/* The loop has gone round: what it found readable before, it has read. */
static void round_trip(struct user *u, struct peer *p, uint64_t link)
{
	uint64_t tag = peer_event(p, 42);

	CHECK_EQ(user_next(u, EV_MSG, link).tag, tag);
	CHECK_EQ(hax_bridge_delivered(u->bridge, link, tag), 0);
	peer_expect_delivered(p, tag);
}

static void limit_received(void)
{
	struct user u;
	struct peer p;
	struct peer other;
	uint64_t    link = up(&u, &p);
	uint64_t    lo;

	peer_up(&other, u.endpoint, 2);
	lo = user_link(&u, HAX_LINK_CONNECTED, 0).link;
	user_set(&u, &u.auto_deliver, false);
	for (uint64_t tag = 2; tag <= 2048; tag += 2) {
		CHECK_EQ(peer_event(&p, 1), tag);
		CHECK_EQ(user_next(&u, EV_MSG, link).tag, tag);
	}
	/* From here on the bridge must not read: the socket fills. */
	CHECK(send_until_full(&p) > 2);
	/* Others go on meanwhile. */
	round_trip(&u, &other, lo);
	round_trip(&u, &other, lo);
	CHECK_EQ(user_left(&u, EV_MSG, 0), 0);
	/* Each one that is delivered lets one in. */
	CHECK_EQ(hax_bridge_delivered(u.bridge, link, 1000), 0);
	CHECK_EQ(user_next(&u, EV_MSG, link).tag, 2050);
	peer_expect_delivered(&p, 1000);
	CHECK_EQ(hax_bridge_delivered(u.bridge, link, 2), 0);
	CHECK_EQ(user_next(&u, EV_MSG, link).tag, 2052);
	peer_expect_delivered(&p, 2);
	round_trip(&u, &other, lo);
	round_trip(&u, &other, lo);
	CHECK_EQ(user_left(&u, EV_MSG, 0), 0);
	peer_close(&p);
	peer_close(&other);
	user_down(&u);
}

/*
 * A process that does not read while it writes: as long as its own windows are
 * not full the bridge reads on, or both would wait for each other.
 */
static void limit_writer_does_not_read(void)
{
	enum { OUT = 64, IN = 1000 };
	static struct frame    f;
	static struct hax_note notes[1024];
	struct hax_nvec        nvec = { .nr = 1024, .notes = notes };
	struct user            u;
	struct peer            p;
	uint64_t               link = up(&u, &p);
	uint64_t               tag;
	unsigned               msgs = 0;
	unsigned               acks = 0;

	for (int i = 0; i < OUT; i++)
		CHECK_EQ(hax_bridge_send_nvec(u.bridge, link, &nvec, &tag), 0);
	for (int i = 0; i < IN; i++)
		peer_event(&p, 1);
	for (int i = 0; i < IN; i++)
		CHECK_EQ(user_next(&u, EV_MSG, link).tag, 2 * i + 2);
	while (msgs < OUT || acks < IN) {
		CHECK(peer_frame(&p, &f));
		if (f.type == MSG)
			CHECK_EQ(f.tag, 2 * msgs++ + 1);
		else
			CHECK_EQ(f.tag, 2 * ++acks);
	}
	peer_close(&p);
	user_down(&u);
}

static void limit_requests(void)
{
	struct user u;
	struct peer p;
	uint64_t    link = up(&u, &p);

	user_set(&u, &u.auto_reply, false);
	for (uint64_t i = 0; i < 16; i++)
		peer_request(&p, i, false);
	for (int i = 0; i < 16; i++)
		user_next(&u, EV_REQUEST, 0);
	peer_event(&p, 1);
	user_next(&u, EV_MSG, link);
	CHECK_EQ(user_left(&u, EV_LINK, 0), 0);
	peer_request(&p, 16, false);
	user_log(&u, "too many unanswered requests");
	user_link(&u, HAX_LINK_DISCONNECTED, link);
	peer_expect_end(&p);
	user_down(&u);
}

static void limit_notes(void)
{
	static struct bytes    b;
	static struct hax_note notes[1025];
	static struct frame    f;
	struct user            u;
	struct peer            p;
	uint64_t               link = up(&u, &p);
	struct hax_nvec        nvec = { .nr = 1024, .notes = notes };
	uint64_t               cookie[2] = { 0 };
	uint64_t               tag;
	struct event           ev;

	msg_nvec(&b, 2, 1024, 3);
	peer_send(&p, &b);
	ev = user_next(&u, EV_MSG, link);
	CHECK_EQ(ev.msg.u.nvec.nr, 1024);
	CHECK_EQ(ev.states, 3 * 1024);
	peer_expect_delivered(&p, 2);
	for (uint64_t i = 0; i < 1025; i++)
		notes[i] = (struct hax_note){ .object = { i, ~i },
					      .state = (uint32_t)(i % 8) };
	CHECK_EQ(hax_bridge_send_nvec(u.bridge, link, &nvec, &tag), 0);
	CHECK(peer_frame(&p, &f));
	CHECK_EQ(f.msg_type, HAX_MSG_NVEC);
	CHECK_EQ(f.len, 76 + 28 + 1024 * 20);
	CHECK_EQ(f.payload[76 + 28 + 1023 * 20 + 16], 1023 % 8);
	CHECK_EQ(hax_bridge_send_failure_vec_rep(u.bridge, link, &OWN_PROCESS,
						 cookie, notes, 1024, &tag), 0);
	CHECK_EQ(peer_expect_msg(&p, HAX_MSG_FAILURE_VEC_REP), tag);
	nvec.nr = 1025;
	CHECK_EQ(hax_bridge_send_nvec(u.bridge, link, &nvec, &tag), -EINVAL);
	CHECK_EQ(hax_bridge_send_failure_vec_rep(u.bridge, link, &OWN_PROCESS,
						 cookie, notes, 1025, &tag),
		 -EINVAL);
	nvec = (struct hax_nvec){ .nr = 1 };
	CHECK_EQ(hax_bridge_send_nvec(u.bridge, link, &nvec, &tag), -EINVAL);
	peer_close(&p);
	user_down(&u);
}

/* More than any socket buffer holds: partial writes, in order. */
static void limit_slow_reader(void)
{
	enum { NR = 300 };
	static struct hax_note notes[1024];
	struct user            u;
	struct peer            p;
	uint64_t               link = up(&u, &p);
	struct hax_nvec        nvec = { .nr = 1024, .notes = notes };
	uint64_t               tags[NR];

	for (int i = 0; i < NR; i++)
		CHECK_EQ(hax_bridge_send_nvec(u.bridge, link, &nvec, &tags[i]),
			 0);
	for (int i = 0; i < NR; i++)
		CHECK_EQ(peer_expect_msg(&p, HAX_MSG_NVEC), tags[i]);
	for (int i = 0; i < NR; i++)
		peer_delivered(&p, tags[i]);
	for (int i = 0; i < NR; i++)
		CHECK_EQ(user_next(&u, EV_DELIVERED, link).tag, tags[i]);
	peer_close(&p);
	user_down(&u);
}

static void limit_confds(void)
{
	static struct hax_fid fids[65];
	static const char    *endpoints[65];
	char                  longest[257];
	char                  too_long[257];
	struct user           u;
	struct peer           p;
	struct event          ev;

	memset(longest, 'x', 255);
	longest[255] = '\0';
	memset(too_long, 'x', 256);
	too_long[256] = '\0';
	for (int i = 0; i < 65; i++)
		endpoints[i] = longest;
	user_up(&u);
	user_set(&u, &u.auto_reply, false);
	peer_connect(&p, u.endpoint, 1);
	peer_request(&p, 1, true);
	ev = user_next(&u, EV_REQUEST, 0);
#define REPLY(rc, nr, rm) \
	hax_bridge_entrypoint_reply(u.bridge, &ev.req_id, rc, nr, fids, \
				    endpoints, 33, &OWN_RM, rm)
	CHECK_EQ(REPLY(0, 65, "e"), -EINVAL);
	CHECK_EQ(REPLY(0, 1, too_long), -EINVAL);
	CHECK_EQ(REPLY(0, 1, "a\n"), -EINVAL);
	CHECK_EQ(REPLY(1, 1, "e"), -EINVAL);
	endpoints[3] = too_long;
	CHECK_EQ(REPLY(0, 64, "e"), -EINVAL);
	endpoints[3] = longest;
	CHECK_EQ(REPLY(0, 64, longest), 0);
	CHECK_EQ(REPLY(0, 64, longest), -ENOENT);
	CHECK_EQ(peer_reply(&p).nr, 64);
	peer_close(&p);
	user_down(&u);
}

static rlim_t descriptors_used(void)
{
	DIR   *d = opendir("/proc/self/fd");
	rlim_t nr = 0;

	CHECK(d != NULL);
	while (readdir(d) != NULL)
		nr++;
	closedir(d);
	return nr;
}

/* Without descriptors connections are refused, and the bridge goes on. */
static void limit_descriptors(void)
{
	struct user   u;
	struct peer   good;
	struct peer   p[20];
	struct rlimit old;
	struct rlimit few;
	uint64_t      link = up(&u, &good);
	int           nr = sizeof p / sizeof p[0];

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	/* Our ends of the connections exist before descriptors are few. */
	for (int i = 0; i < nr; i++)
		peer_socket(&p[i], u.endpoint, 2);
	few.rlim_cur = descriptors_used() + 4;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (int i = 0; i < nr; i++)
		peer_dial(&p[i], u.endpoint);
	user_log(&u, "cannot accept a connection");
	peer_event(&good, 42);
	CHECK_EQ(user_next(&u, EV_MSG, link).msg.u.event.event, 42);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
	for (int i = 0; i < nr; i++)
		peer_close(&p[i]);
	peer_up(&p[0], u.endpoint, 3);
	peer_close(&p[0]);
	peer_close(&good);
	user_down(&u);
}

static void limit_connections(void)
{
	static struct peer p[4096];
	struct peer        good;
	struct peer        extra;
	struct user        u;
	struct rlimit      old;
	struct rlimit      many;
	uint64_t           link;

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
	many = old;
	many.rlim_cur = 8400;
	if (scale < 10000 || old.rlim_max < many.rlim_cur ||
	    setrlimit(RLIMIT_NOFILE, &many) != 0) {
		printf("  left out: it needs 8400 descriptors\n");
		return;
	}
	link = up(&u, &good);
	/* A connection that has asked may stay, however long this takes. */
	user_set(&u, &u.auto_reply, false);
	for (int i = 1; i < 4096; i++) {
		peer_connect(&p[i], u.endpoint, 2);
		peer_request(&p[i], 1, true);
	}
	user_wait_count(&u, EV_REQUEST, 2 + 4095);
	peer_connect(&extra, u.endpoint, 3);
	peer_expect_end(&extra);
	user_log(&u, "connection refused");
	peer_event(&good, 42);
	CHECK_EQ(user_next(&u, EV_MSG, link).msg.u.event.event, 42);
	for (int i = 1; i < 4096; i++)
		peer_close(&p[i]);
	peer_close(&good);
	user_down(&u);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
}

const struct test tests_limit[] = {
	{ "limit_sent", limit_sent },
	{ "limit_received", limit_received },
	{ "limit_writer_does_not_read", limit_writer_does_not_read },
	{ "limit_requests", limit_requests },
	{ "limit_notes", limit_notes },
	{ "limit_slow_reader", limit_slow_reader },
	{ "limit_confds", limit_confds },
	{ "limit_descriptors", limit_descriptors },
	{ "limit_connections", limit_connections },
	{ NULL, NULL },
};
