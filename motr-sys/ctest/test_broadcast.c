/* SPDX-License-Identifier: Apache-2.0 */
/* One message to many links. */
#include "peer.h"
#include "user.h"

#include <errno.h>
#include <string.h>

enum { PEERS = 70 };

static struct hax_note notes[HAX_NOTES_MAX];

static struct hax_nvec nvec_of(uint64_t nr)
{
	for (uint64_t i = 0; i < nr; i++)
		notes[i] = (struct hax_note){ { 0x6b00000000000001, i }, 2, 0 };
	return (struct hax_nvec){ .ignore_same_state = 1, .nr = nr,
				  .notes = notes };
}

static uint64_t connect_peer(struct user *u, struct peer *p, uint64_t key)
{
	peer_up(p, u->endpoint, key);
	return user_link(u, HAX_LINK_CONNECTED, 0).link;
}

/* More links than are sent to in one call; tags of the same link rise. */
static void broadcast_reaches_every_link(void)
{
	static struct frame       f[2];
	static struct peer        peers[PEERS];
	struct hax_broadcast_link to[PEERS];
	struct hax_nvec           nvec = nvec_of(HAX_NOTES_MAX);
	struct user               u;

	user_up(&u);
	for (uint64_t i = 0; i < PEERS; i++)
		to[i].link = connect_peer(&u, &peers[i], i + 1);
	for (uint64_t round = 0; round < 3; round++) {
		CHECK_EQ(hax_bridge_broadcast_nvec(u.bridge, &nvec, to, PEERS),
			 0);
		for (int i = 0; i < PEERS; i++) {
			struct frame *frame = &f[i == 0 ? 0 : 1];

			CHECK_EQ(to[i].rc, 0);
			CHECK_EQ(to[i].tag, round * 2 + 1);
			CHECK(peer_frame(&peers[i], frame));
			CHECK_EQ(frame->type, MSG);
			CHECK_EQ(frame->tag, to[i].tag);
			/* The same bytes for all, the time among them. */
			CHECK_EQ(frame->len, f[0].len);
			CHECK_EQ(memcmp(frame->payload, f[0].payload,
					f[0].len), 0);
			peer_delivered(&peers[i], frame->tag);
			CHECK_EQ(user_next(&u, EV_DELIVERED, to[i].link).tag,
				 frame->tag);
		}
	}
	for (int i = 0; i < PEERS; i++)
		peer_close(&peers[i]);
	user_down(&u);
}

/* What one link cannot take, and one that does not read, is no other's matter. */
static void broadcast_link_by_link(void)
{
	struct hax_nvec           nvec = nvec_of(HAX_NOTES_MAX);
	struct hax_broadcast_link to[3];
	struct peer               stuck;
	struct peer               well;
	struct user               u;

	user_up(&u);
	to[0].link = connect_peer(&u, &stuck, 1);
	to[1].link = 999999;
	to[2].link = connect_peer(&u, &well, 2);
	for (uint64_t i = 0; i < 1030; i++) {
		uint64_t tag = i * 2 + 1;

		CHECK_EQ(hax_bridge_broadcast_nvec(u.bridge, &nvec, to, 3), 0);
		CHECK_EQ(to[0].rc, i < 1024 ? 0 : -ENOBUFS);
		CHECK_EQ(to[0].tag, i < 1024 ? tag : 0);
		CHECK_EQ(to[1].rc, -ENOENT);
		CHECK_EQ(to[2].rc, 0);
		CHECK_EQ(peer_expect_msg(&well, HAX_MSG_NVEC), tag);
		peer_delivered(&well, tag);
		CHECK_EQ(user_next(&u, EV_DELIVERED, to[2].link).tag, tag);
	}
	/* The one that did not read finds all of them, and can still end. */
	CHECK_EQ(peer_expect_msg(&stuck, HAX_MSG_NVEC), 1);
	peer_delivered(&stuck, 1);
	CHECK_EQ(user_next(&u, EV_DELIVERED, to[0].link).tag, 1);
	user_say(&u, stuck.process, 1, 1);
	user_say(&u, stuck.process, 2, 1);
	user_link(&u, HAX_LINK_DISCONNECTED, to[0].link);
	CHECK_EQ(user_left(&u, EV_NOT_DELIVERED, to[0].link), 1023);
	CHECK_EQ(hax_bridge_broadcast_nvec(u.bridge, &nvec, to, 3), 0);
	CHECK_EQ(to[0].rc, -ENOENT);
	CHECK_EQ(to[2].rc, 0);
	CHECK_EQ(peer_expect_msg(&well, HAX_MSG_NVEC), to[2].tag);
	peer_close(&stuck);
	peer_close(&well);
	user_down(&u);
}

static void broadcast_to_ourselves_and_again_after_a_cut(void)
{
	struct hax_nvec           nvec = nvec_of(3);
	struct hax_broadcast_link to[2];
	struct peer               p;
	struct user               u;

	user_up(&u);
	to[0].link = u.self;
	to[1].link = connect_peer(&u, &p, 1);
	CHECK_EQ(hax_bridge_broadcast_nvec(u.bridge, &nvec, to, 2), 0);
	CHECK_EQ(user_next(&u, EV_DELIVERED, u.self).tag, to[0].tag);
	CHECK_EQ(peer_expect_msg(&p, HAX_MSG_NVEC), to[1].tag);
	peer_close(&p);
	CHECK_EQ(peer_again(&p, u.endpoint).status, REUSED);
	CHECK_EQ(peer_expect_msg(&p, HAX_MSG_NVEC), to[1].tag);
	peer_close(&p);
	user_down(&u);
}

static void broadcast_arguments(void)
{
	struct hax_nvec           nvec = nvec_of(1);
	struct hax_broadcast_link to = { .link = 1 };
	struct user               u;

	user_up(&u);
	CHECK_EQ(hax_bridge_broadcast_nvec(NULL, &nvec, &to, 1), -EINVAL);
	CHECK_EQ(hax_bridge_broadcast_nvec(u.bridge, NULL, &to, 1), -EINVAL);
	CHECK_EQ(hax_bridge_broadcast_nvec(u.bridge, &nvec, NULL, 1), -EINVAL);
	CHECK_EQ(hax_bridge_broadcast_nvec(u.bridge, &nvec, NULL, 0), 0);
	nvec.nr = HAX_NOTES_MAX + 1;
	CHECK_EQ(hax_bridge_broadcast_nvec(u.bridge, &nvec, &to, 1), -EINVAL);
	CHECK_EQ(hax_bridge_set_queue_max(u.bridge, 5), -EALREADY);
	user_down(&u);
	CHECK_EQ(hax_bridge_set_queue_max(NULL, 5), -EINVAL);
}

const struct test tests_broadcast[] = {
	{ "broadcast_reaches_every_link", broadcast_reaches_every_link },
	{ "broadcast_link_by_link", broadcast_link_by_link },
	{ "broadcast_to_ourselves_and_again_after_a_cut",
	  broadcast_to_ourselves_and_again_after_a_cut },
	{ "broadcast_arguments", broadcast_arguments },
	{ NULL, NULL },
};
