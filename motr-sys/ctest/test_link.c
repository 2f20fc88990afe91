/* SPDX-License-Identifier: Apache-2.0 */
/* Life of links: connected, reused, absent, dropped. */
#include "peer.h"
#include "user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint64_t up(struct user *u, struct peer *p, uint64_t key)
{
	struct event ev;

	peer_up(p, u->endpoint, key);
	ev = user_link(u, HAX_LINK_CONNECTED, 0);
	CHECK_EQ(ev.process.key, key);
	CHECK(strcmp(ev.text, "inet:tcp:127.0.0.1@3000") == 0);
	user_next(u, EV_REQUEST, 0);
	return ev.link;
}

/* TRANSIENT, then FAILED, of a process on the self link. */
static void drop(struct user *u, struct peer *p)
{
	user_say(u, p->process, 3, 1);
	user_say(u, p->process, 2, 1);
}

static void link_connect_reuse_absent(void)
{
	struct user  u;
	struct peer  p;
	struct peer  old;
	struct reply r;
	uint64_t     link;

	user_up(&u);
	link = up(&u, &p, 1);
	peer_request(&p, 7, false);
	r = peer_reply(&p);
	CHECK_EQ(r.seq, 7);
	CHECK_EQ(r.rc, 0);
	CHECK_EQ(r.status, REUSED);
	CHECK_EQ(r.quorum, 1);
	CHECK_EQ(r.nr, 1);
	user_link(&u, HAX_LINK_REUSED, link);
	CHECK(!user_next(&u, EV_REQUEST, 0).first);

	/* A new connection takes the link from the older one. */
	old = p;
	CHECK_EQ(peer_again(&p, u.endpoint).status, REUSED);
	user_link(&u, HAX_LINK_REUSED, link);
	peer_expect_end(&old);
	CHECK_EQ(user_next(&u, EV_REQUEST, 0).process.key, 1);

	/* Another process cannot take it. */
	old = p;
	old.process.key = 5;
	CHECK_EQ(peer_again(&old, u.endpoint).status, ABSENT);
	peer_expect_end(&old);
	user_link(&u, HAX_LINK_ABSENT, 0);

	drop(&u, &p);
	user_link(&u, HAX_LINK_DISCONNECTING, link);
	user_link(&u, HAX_LINK_DISCONNECTED, link);
	old = p;
	CHECK_EQ(peer_again(&p, u.endpoint).status, ABSENT);
	CHECK_EQ(p.link, 0);
	CHECK_EQ(user_link(&u, HAX_LINK_ABSENT, 0).link, 0);
	peer_expect_end(&p);
	peer_expect_end(&old);

	/* It starts anew. */
	CHECK(up(&u, &p, 1) != link);
	peer_close(&p);
	user_down(&u);
}

/* Two connections of a link, the older one answered last: the newer one stays. */
static void link_older_connection_answered_last(void)
{
	struct user         u;
	struct peer         p;
	struct peer         newer;
	struct hax_uint128  older_id;
	struct hax_uint128  newer_id;
	uint64_t            tag;

	user_up(&u);
	peer_up(&p, u.endpoint, 1);
	user_next(&u, EV_REQUEST, 0);
	user_set(&u, &u.auto_reply, false);
	newer = p;
	peer_connect(&p, u.endpoint, 1);
	p.instance = newer.instance;
	p.link = newer.link;
	peer_close(&newer);
	peer_request(&p, 2, false);
	older_id = user_next(&u, EV_REQUEST, 0).req_id;
	peer_connect(&newer, u.endpoint, 1);
	newer.instance = p.instance;
	newer.link = p.link;
	peer_request(&newer, 3, false);
	newer_id = user_next(&u, EV_REQUEST, 0).req_id;
	CHECK_EQ(user_reply(&u, &newer_id, 0), 0);
	CHECK_EQ(peer_reply(&newer).status, REUSED);
	CHECK_EQ(user_reply(&u, &older_id, 0), 0);
	peer_expect_end(&p);
	tag = peer_event(&newer, 1);
	CHECK_EQ(user_next(&u, EV_MSG, 0).tag, tag);
	peer_expect_delivered(&newer, tag);
	peer_close(&newer);
	user_down(&u);
}

static void link_refused_request_binds(void)
{
	struct user  u;
	struct peer  p;
	struct reply r;

	user_up(&u);
	pthread_mutex_lock(&u.lock);
	u.refuse = 1;
	pthread_mutex_unlock(&u.lock);
	peer_connect(&p, u.endpoint, 1);
	peer_request(&p, 1, true);
	r = peer_reply(&p);
	CHECK_EQ(r.rc, -EAGAIN);
	CHECK_EQ(r.status, CONNECTED);
	peer_request(&p, 2, false);
	r = peer_reply(&p);
	CHECK_EQ(r.rc, 0);
	CHECK_EQ(r.status, REUSED);
	peer_close(&p);
	user_down(&u);
}

static void link_replies_keep_order(void)
{
	struct user  u;
	struct peer  p;
	struct event first;
	struct event second;

	user_up(&u);
	up(&u, &p, 1);
	user_set(&u, &u.auto_reply, false);
	peer_request(&p, 11, false);
	peer_request(&p, 12, false);
	first = user_next(&u, EV_REQUEST, 0);
	second = user_next(&u, EV_REQUEST, 0);
	CHECK_EQ(user_reply(&u, &second.req_id, 0), 0);
	CHECK_EQ(user_reply(&u, &first.req_id, -EAGAIN), 0);
	CHECK_EQ(peer_reply(&p).seq, 11);
	CHECK_EQ(peer_reply(&p).seq, 12);
	peer_close(&p);
	user_down(&u);
}

static void link_none_for_a_closed_connection(void)
{
	struct user  u;
	struct peer  p;
	struct peer  other;
	struct event ev;

	user_up(&u);
	user_set(&u, &u.auto_reply, false);
	peer_connect(&p, u.endpoint, 1);
	peer_request(&p, 1, true);
	ev = user_next(&u, EV_REQUEST, 0);
	/* The bad frame ends the connection for sure. */
	peer_send(&p, &(struct bytes){ .len = 16, .data = "not a frame" });
	peer_expect_end(&p);
	CHECK_EQ(user_reply(&u, &ev.req_id, 0), 0);
	CHECK_EQ(user_reply(&u, &ev.req_id, 0), -ENOENT);
	user_set(&u, &u.auto_reply, true);
	up(&u, &other, 2);
	CHECK_EQ(user_left(&u, EV_LINK, 0), 0);
	peer_close(&other);
	user_down(&u);
}

static void link_of_an_earlier_run(void)
{
	struct user  u;
	struct user  v;
	struct peer  p;
	struct peer  old;
	struct reply r;
	uint64_t     link;
	uint64_t     tag;

	user_up(&u);
	up(&u, &p, 1);
	user_set(&u, &u.auto_deliver, false);
	peer_event(&p, 1);
	user_next(&u, EV_MSG, 0);
	user_down(&u);

	user_up(&v);
	old = p;
	r = peer_again(&p, v.endpoint);
	peer_close(&old);
	CHECK_EQ(r.status, CONNECTED);
	CHECK(r.instance != old.instance);
	link = user_link(&v, HAX_LINK_CONNECTED, 0).link;
	CHECK(!user_next(&v, EV_REQUEST, 0).first);
	/* Sent again with its old tag, then the numbering goes on. */
	peer_event_tagged(&p, p.tag, 1);
	CHECK_EQ(user_next(&v, EV_MSG, link).tag, p.tag);
	peer_expect_delivered(&p, p.tag);
	tag = peer_event(&p, 2);
	CHECK_EQ(user_next(&v, EV_MSG, link).tag, tag);
	peer_expect_delivered(&p, tag);
	/* Ours begins again. */
	CHECK_EQ(user_send(&v, link, OWN_PROCESS, 1, 1), 1);
	CHECK_EQ(peer_expect_msg(&p, HAX_MSG_NVEC), 1);
	peer_close(&p);
	user_down(&v);
}

static void link_failed_rule(void)
{
	struct user u;
	struct peer a;
	struct peer b;
	struct peer other;
	uint64_t    la;
	uint64_t    lb;
	uint64_t    lo;
	uint64_t    sent[2];
	uint64_t    received;
	uint64_t    tag;

	user_up(&u);
	user_set(&u, &u.auto_deliver, false);
	user_set(&u, &u.auto_disconnect, false);
	la = up(&u, &a, 1);
	lb = up(&u, &b, 1);
	lo = up(&u, &other, 2);

	/* First-ever FAILED, and a repeated one that is ignored. */
	user_say(&u, a.process, 2, 1);
	user_say(&u, a.process, 2, 1);
	/* FAILED of something that is no process. */
	user_say(&u, (struct hax_fid){ 0x7300000000000001, 1 }, 1, 1);
	user_say(&u, (struct hax_fid){ 0x7300000000000001, 1 }, 2, 1);
	peer_event(&a, 1);
	received = user_next(&u, EV_MSG, la).tag;
	CHECK_EQ(user_left(&u, EV_LINK, 0), 0);
	CHECK_EQ(hax_bridge_disconnect(u.bridge, la), -EINVAL);

	sent[0] = user_send(&u, la, OWN_PROCESS, 1, 1);
	sent[1] = user_send(&u, la, OWN_PROCESS, 2, 1);
	drop(&u, &a);
	user_link(&u, HAX_LINK_DISCONNECTING, la);
	user_link(&u, HAX_LINK_DISCONNECTING, lb);
	/* Until the user agrees the link can be used. */
	CHECK_EQ(hax_bridge_delivered(u.bridge, la, received), 0);
	CHECK_EQ(hax_bridge_delivered(u.bridge, la, received), -ENOENT);
	CHECK_EQ(user_left(&u, EV_NOT_DELIVERED, la), 0);
	CHECK_EQ(hax_bridge_disconnect(u.bridge, la), 0);
	CHECK(hax_bridge_send_nvec(u.bridge, la, &(struct hax_nvec){ 0 },
				   &tag) == -ENOENT);
	CHECK_EQ(user_next(&u, EV_NOT_DELIVERED, la).tag, sent[0]);
	CHECK_EQ(user_next(&u, EV_NOT_DELIVERED, la).tag, sent[1]);
	user_link(&u, HAX_LINK_DISCONNECTED, la);
	CHECK_EQ(hax_bridge_disconnect(u.bridge, la), -ENOENT);
	CHECK_EQ(hax_bridge_disconnect(u.bridge, lb), 0);
	user_link(&u, HAX_LINK_DISCONNECTED, lb);
	peer_expect_end(&a);
	peer_expect_end(&b);

	/* A repeated FAILED concerns a new link only if it is not ignored. */
	user_set(&u, &u.auto_disconnect, true);
	la = up(&u, &a, 1);
	user_say(&u, a.process, 2, 1);
	peer_event(&a, 1);
	user_next(&u, EV_MSG, la);
	CHECK_EQ(user_left(&u, EV_LINK, 0), 0);
	user_say(&u, a.process, 2, 0);
	user_link(&u, HAX_LINK_DISCONNECTED, la);
	peer_expect_end(&a);

	/* Nobody else was concerned. */
	tag = peer_event(&other, 1);
	CHECK_EQ(user_next(&u, EV_MSG, lo).tag, tag);
	CHECK_EQ(hax_bridge_delivered(u.bridge, lo, tag), 0);
	peer_expect_delivered(&other, tag);

	/* One that is not ignored drops, also where nothing else was said. */
	user_say(&u, other.process, 2, 0);
	tag = peer_event(&other, 1);
	CHECK_EQ(user_next(&u, EV_MSG, lo).tag, tag);
	user_say(&u, other.process, 2, 0);
	user_link(&u, HAX_LINK_DISCONNECTING, lo);
	user_link(&u, HAX_LINK_DISCONNECTED, lo);
	peer_expect_end(&other);
	user_down(&u);
}

static void link_survives_its_connection(void)
{
	struct user u;
	struct peer p;
	uint64_t    link;
	uint64_t    tag;

	user_up(&u);
	link = up(&u, &p, 1);
	peer_close(&p);
	tag = user_send(&u, link, OWN_PROCESS, 1, 1);
	CHECK_EQ(peer_again(&p, u.endpoint).status, REUSED);
	CHECK_EQ(peer_expect_msg(&p, HAX_MSG_NVEC), tag);
	peer_delivered(&p, tag);
	CHECK_EQ(user_next(&u, EV_DELIVERED, link).tag, tag);
	CHECK_EQ(user_left(&u, EV_LINK, 0), 1);
	user_link(&u, HAX_LINK_REUSED, link);
	peer_close(&p);
	user_down(&u);
}

/* A port that is free now; nobody else on this machine hurries for it. */
static unsigned free_port(int family)
{
	struct sockaddr_storage addr = { .ss_family = (sa_family_t)family };
	socklen_t               len = family == AF_INET
		? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	int                     fd = socket(family, SOCK_STREAM, 0);
	unsigned                port = 0;

	if (family == AF_INET6)
		((struct sockaddr_in6 *)&addr)->sin6_addr = in6addr_loopback;
	else
		((struct sockaddr_in *)&addr)->sin_addr.s_addr =
			htonl(INADDR_LOOPBACK);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&addr, len) == 0) {
		CHECK_EQ(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
		port = ntohs(((struct sockaddr_in *)&addr)->sin_port);
	}
	if (fd >= 0)
		close(fd);
	return port;
}

static void over_tcp(const char *ip, unsigned port)
{
	struct user u;
	struct peer p;
	uint64_t    link;
	uint64_t    tag;

	user_init(&u);
	snprintf(u.endpoint, sizeof u.endpoint, "inet:tcp:%s@%u", ip, port);
	CHECK_EQ(user_start(&u), 0);
	for (int i = 0; i < 2; i++) {
		user_link(&u, HAX_LINK_CONNECTED, u.self);
		peer_up(&p, u.endpoint, 1);
		link = user_link(&u, HAX_LINK_CONNECTED, 0).link;
		tag = peer_event(&p, 1);
		CHECK_EQ(user_next(&u, EV_MSG, link).tag, tag);
		peer_expect_delivered(&p, tag);
		tag = user_send(&u, link, OWN_PROCESS, 1, 1);
		CHECK_EQ(peer_expect_msg(&p, HAX_MSG_NVEC), tag);
		peer_delivered(&p, tag);
		CHECK_EQ(user_next(&u, EV_DELIVERED, link).tag, tag);
		/* The port is free again at once. */
		user_stop(&u);
		peer_expect_end(&p);
		if (i == 0)
			CHECK_EQ(user_start(&u), 0);
	}
	user_fini(&u);
}

static void link_over_tcp(void)
{
	unsigned port = free_port(AF_INET6);

	over_tcp("127.0.0.1", free_port(AF_INET));
	if (port != 0)
		over_tcp("::1", port);
}

const struct test tests_link[] = {
	{ "link_connect_reuse_absent", link_connect_reuse_absent },
	{ "link_older_connection_answered_last",
	  link_older_connection_answered_last },
	{ "link_refused_request_binds", link_refused_request_binds },
	{ "link_replies_keep_order", link_replies_keep_order },
	{ "link_none_for_a_closed_connection",
	  link_none_for_a_closed_connection },
	{ "link_of_an_earlier_run", link_of_an_earlier_run },
	{ "link_failed_rule", link_failed_rule },
	{ "link_survives_its_connection", link_survives_its_connection },
	{ "link_over_tcp", link_over_tcp },
	{ NULL, NULL },
};
