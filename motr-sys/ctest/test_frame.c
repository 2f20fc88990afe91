/* SPDX-License-Identifier: Apache-2.0 */
/* Bad frames: only the link they came for suffers. */
#include "peer.h"
#include "user.h"

#include <string.h>

enum { SENT_TAG = 1, UNSENT_TAG = 3 };

struct bad {
	const char *name;
	/* What the line of log says. */
	const char *why;
	void      (*make)(struct bytes *b, const struct peer *p);
};

static void event(struct bytes *b)
{
	msg_event(b, 2, 1);
}

static void request(struct bytes *b, const struct peer *p, bool first,
		    uint64_t instance, uint64_t link, uint64_t key)
{
	frame_begin(b, REQ);
	b64(b, 9);
	b8(b, first);
	b64(b, instance);
	b64(b, link);
	bfid(b, (struct hax_fid){ p->process.container, key });
	b64(b, 1);
	bstr(b, "e");
	bstr(b, "g");
	frame_end(b);
}

#define BAD(name) \
	static void name(struct bytes *b, const struct peer *p)
#define UNUSED (void)p

BAD(magic) { UNUSED; event(b); b->data[3] = 'M'; }
BAD(version) { UNUSED; event(b); b->data[4] = 2; }
BAD(version_high) { UNUSED; event(b); b->data[5] = 1; }
BAD(type_0) { UNUSED; event(b); b->data[6] = 0; }
BAD(type_5) { UNUSED; event(b); b->data[6] = 5; }
BAD(type_high) { UNUSED; event(b); b->data[7] = 1; }
BAD(length) { UNUSED; event(b); b->data[8] = 1; b->data[9] = 0x80; }
BAD(length_huge) { UNUSED; event(b); memset(b->data + 8, 0xff, 4); }
BAD(reserved) { UNUSED; event(b); b->data[15] = 1; }
BAD(reply) { UNUSED; event(b); b->data[6] = REP; }
BAD(msg_short) { UNUSED; event(b); b->len--; frame_end(b); }
BAD(msg_long) { UNUSED; event(b); b8(b, 0); frame_end(b); }
BAD(msg_empty) { UNUSED; frame_begin(b, MSG); frame_end(b); }
BAD(msg_no_body) { UNUSED; msg_begin(b, 2, HAX_MSG_SNS_ERR); frame_end(b); }
BAD(msg_type_0) { UNUSED; msg_begin(b, 2, 0); frame_end(b); }
BAD(msg_type_12) { UNUSED; msg_begin(b, 2, 12); frame_end(b); }
BAD(msg_type_huge) { UNUSED; msg_begin(b, 2, 0xffffffff); frame_end(b); }
BAD(msg_tag_0) { UNUSED; msg_event(b, 0, 1); }
BAD(msg_tag_odd) { UNUSED; msg_event(b, 3, 1); }
BAD(notes_1025) { UNUSED; msg_nvec(b, 2, 1025, 1); }
BAD(notes_missing) { UNUSED; msg_nvec(b, 2, 3, 1); b->len -= 20; frame_end(b); }
BAD(notes_more) { UNUSED; msg_nvec(b, 2, 3, 1); b32(b, 0); frame_end(b); }
BAD(notes_claimed)
{
	UNUSED;
	msg_nvec(b, 2, 0, 1);
	memset(b->data + b->len - 4, 0xff, 4);
}
BAD(failvec_1025)
{
	UNUSED;
	msg_begin(b, 2, HAX_MSG_FAILURE_VEC_REP);
	for (int i = 0; i < 4; i++)
		b64(b, 1);
	b32(b, 1025);
	for (int i = 0; i < 1025 * 5; i++)
		b32(b, 1);
	frame_end(b);
}
BAD(delivered_tag) { UNUSED; frame_begin(b, DELIVERED); b64(b, UNSENT_TAG); frame_end(b); }
BAD(delivered_even) { UNUSED; frame_begin(b, DELIVERED); b64(b, 2); frame_end(b); }
BAD(delivered_0) { UNUSED; frame_begin(b, DELIVERED); b64(b, 0); frame_end(b); }
BAD(delivered_short) { UNUSED; frame_begin(b, DELIVERED); b32(b, 1); frame_end(b); }
BAD(delivered_long) { UNUSED; frame_begin(b, DELIVERED); b64(b, 1); b8(b, 0); frame_end(b); }
BAD(req_first) { request(b, p, true, 0, 0, p->process.key); }
BAD(req_instance) { request(b, p, false, p->instance + 1, p->link, p->process.key); }
BAD(req_link) { request(b, p, false, p->instance, p->link + 1, p->process.key); }
BAD(req_process) { request(b, p, false, p->instance, p->link, 77); }

static void req_with(struct bytes *b, const struct peer *p, uint8_t first,
		     const char *endpoint, uint16_t len)
{
	frame_begin(b, REQ);
	b64(b, 9);
	b8(b, first);
	b64(b, p->instance);
	b64(b, p->link);
	bfid(b, p->process);
	b64(b, 1);
	b16(b, len);
	for (uint16_t i = 0; i < len; i++)
		b8(b, (uint8_t)endpoint[i % strlen(endpoint)]);
	bstr(b, "g");
	frame_end(b);
}

BAD(req_first_2) { req_with(b, p, 2, "e", 1); }
BAD(str_256) { req_with(b, p, 0, "e", 256); }
BAD(str_control) { req_with(b, p, 0, "a\n", 2); }
BAD(str_high) { req_with(b, p, 0, "\x7f", 1); }
BAD(str_claimed)
{
	req_with(b, p, 0, "e", 1);
	b->data[b->len - 3] = 200;
}
BAD(req_short) { req_with(b, p, 0, "e", 1); b->len -= 2; frame_end(b); }
BAD(req_long) { req_with(b, p, 0, "e", 1); b8(b, 0); frame_end(b); }

static const struct bad bads[] = {
	{ "magic", "magic", magic },
	{ "version", "version", version },
	{ "version_high", "version", version_high },
	{ "type_0", "unknown type", type_0 },
	{ "type_5", "unknown type", type_5 },
	{ "type_high", "unknown type", type_high },
	{ "length", "limit", length },
	{ "length_huge", "limit", length_huge },
	{ "reserved", "reserved", reserved },
	{ "reply", "only the bridge", reply },
	{ "msg_short", "too short", msg_short },
	{ "msg_long", "too long", msg_long },
	{ "msg_empty", "too short", msg_empty },
	{ "msg_no_body", "too short", msg_no_body },
	{ "msg_type_0", "message type", msg_type_0 },
	{ "msg_type_12", "message type", msg_type_12 },
	{ "msg_type_huge", "message type", msg_type_huge },
	{ "msg_tag_0", "tag", msg_tag_0 },
	{ "msg_tag_odd", "tag", msg_tag_odd },
	{ "notes_1025", "too many notes", notes_1025 },
	{ "notes_missing", "too short", notes_missing },
	{ "notes_more", "too long", notes_more },
	{ "notes_claimed", "too many notes", notes_claimed },
	{ "failvec_1025", "too many notes", failvec_1025 },
	{ "delivered_tag", "never sent", delivered_tag },
	{ "delivered_even", "tag", delivered_even },
	{ "delivered_0", "tag", delivered_0 },
	{ "delivered_short", "too short", delivered_short },
	{ "delivered_long", "too long", delivered_long },
	{ "req_first", "another link", req_first },
	{ "req_instance", "another link", req_instance },
	{ "req_link", "another link", req_link },
	{ "req_process", "another process", req_process },
	{ "req_first_2", "neither 0 nor 1", req_first_2 },
	{ "str_256", "string is too long", str_256 },
	{ "str_control", "not printable", str_control },
	{ "str_high", "not printable", str_high },
	{ "str_claimed", "too short", str_claimed },
	{ "req_short", "too short", req_short },
	{ "req_long", "too long", req_long },
};

static uint64_t up(struct user *u, struct peer *p, uint64_t key)
{
	peer_up(p, u->endpoint, key);
	return user_link(u, HAX_LINK_CONNECTED, 0).link;
}

static void frame_bad_drops_its_link(void)
{
	static struct bytes b;
	struct user         u;
	struct peer         good;
	uint64_t            lg;

	user_up(&u);
	lg = up(&u, &good, 1);
	for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
		struct peer p;
		uint64_t    link = up(&u, &p, 2);
		uint64_t    tag;
		char        words[64];

		CHECK_EQ(user_send(&u, link, OWN_PROCESS, 1, 1), SENT_TAG);
		CHECK_EQ(peer_expect_msg(&p, HAX_MSG_NVEC), SENT_TAG);
		bads[i].make(&b, &p);
		peer_send(&p, &b);
		user_link(&u, HAX_LINK_DISCONNECTING, link);
		CHECK_EQ(user_next(&u, EV_NOT_DELIVERED, link).tag, SENT_TAG);
		user_link(&u, HAX_LINK_DISCONNECTED, link);
		snprintf(words, sizeof words, "link %llu of ",
			 (unsigned long long)p.link);
		user_log(&u, words);
		CHECK_EQ(user_left(&u, EV_LOG, 0), 0);
		for (size_t j = 0; j < u.nr; j++)
			if (u.events[j].kind == EV_LOG &&
			    strstr(u.events[j].text, words) != NULL &&
			    strstr(u.events[j].text, bads[i].why) == NULL) {
				fprintf(stderr, "%s: %s\n", bads[i].name,
					u.events[j].text);
				abort();
			}
		peer_expect_end(&p);
		tag = peer_event(&good, 1);
		CHECK_EQ(user_next(&u, EV_MSG, lg).tag, tag);
		peer_expect_delivered(&good, tag);
	}
	peer_close(&good);
	CHECK_EQ(user_left(&u, EV_MSG, 0), 0);
	user_down(&u);
}

static void frame_bad_before_a_link(void)
{
	static struct bytes b;
	struct user         u;
	struct peer         p;

	user_up(&u);
	for (int i = 0; i < 4; i++) {
		peer_connect(&p, u.endpoint, 1);
		if (i == 0)
			msg_event(&b, 2, 1);
		else if (i == 1)
			delivered_tag(&b, &p);
		else if (i == 2)
			magic(&b, &p);
		else
			req_first_2(&b, &p);
		peer_send(&p, &b);
		user_log(&u, "no link, frame");
		peer_expect_end(&p);
	}
	/* Between the first request and its reply, too. */
	user_set(&u, &u.auto_reply, false);
	for (int i = 0; i < 3; i++) {
		peer_connect(&p, u.endpoint, 1);
		peer_request(&p, 1, true);
		user_next(&u, EV_REQUEST, 0);
		if (i == 0) {
			msg_event(&b, 2, 1);
			peer_send(&p, &b);
		} else if (i == 1) {
			delivered_tag(&b, &p);
			peer_send(&p, &b);
		} else {
			peer_request(&p, 2, false);
		}
		user_log(&u, "no link, frame");
		peer_expect_end(&p);
	}
	CHECK_EQ(user_left(&u, EV_LINK, 0), 0);
	user_down(&u);
}

/* Frames cut anywhere are put together again. */
static void frame_byte_by_byte(void)
{
	static struct bytes b;
	struct user         u;
	struct peer         p;

	user_up(&u);
	up(&u, &p, 1);
	msg_nvec(&b, 2, 3, 5);
	for (size_t i = 0; i < b.len; i++) {
		struct bytes one = { .len = 1, .data = { b.data[i] } };

		peer_send(&p, &one);
	}
	CHECK_EQ(user_next(&u, EV_MSG, 0).states, 15);
	peer_expect_delivered(&p, 2);
	peer_close(&p);
	user_down(&u);
}

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Noise, and valid frames with a few bytes changed. */
static void frame_random(void)
{
	static struct bytes b;
	uint32_t            seed = 20240229;
	struct user         u;
	struct peer         good;
	uint64_t            lg;
	unsigned            rounds = scale >= 10000 ? 400 : 40;

	user_up(&u);
	lg = up(&u, &good, 1);
	for (unsigned i = 0; i < rounds; i++) {
		struct peer p;

		if (i % 2 == 0) {
			peer_connect(&p, u.endpoint, 2);
			b.len = 1 + next_random(&seed) % 2000;
			for (size_t j = 0; j < b.len; j++)
				b.data[j] = (uint8_t)next_random(&seed);
			if (i % 4 == 0)
				memcpy(b.data, "HAXL\1\0", 6);
			peer_send(&p, &b);
		} else {
			peer_up(&p, u.endpoint, 2);
			for (int k = 0; k < 5; k++) {
				size_t at;

				if (next_random(&seed) % 2 == 0)
					msg_nvec(&b, 2 + (uint64_t)k * 2,
						 next_random(&seed) % 1024, 1);
				else
					bads[next_random(&seed) %
					     (sizeof bads / sizeof bads[0])]
						.make(&b, &p);
				at = next_random(&seed) % b.len;
				b.data[at] = (uint8_t)next_random(&seed);
				peer_send(&p, &b);
			}
		}
		peer_close(&p);
	}
	peer_event(&good, 42);
	CHECK_EQ(user_next(&u, EV_MSG, lg).msg.u.event.event, 42);
	peer_close(&good);
	user_down(&u);
}

/* Ten seconds for the first frame, however little comes of it. */
static void frame_first_in_time(void)
{
	static struct bytes b;
	struct user         u;
	struct peer         silent;
	struct peer         slow;
	struct peer         good;

	user_up(&u);
	peer_connect(&silent, u.endpoint, 1);
	peer_connect(&slow, u.endpoint, 2);
	up(&u, &good, 3);
	msg_event(&b, 2, 1);
	b.len = 20;
	peer_send(&slow, &b);
	user_log(&u, "no complete first frame");
	user_log(&u, "no complete first frame");
	peer_expect_end(&silent);
	peer_expect_end(&slow);
	peer_event(&good, 42);
	CHECK_EQ(user_next(&u, EV_MSG, 0).msg.u.event.event, 42);
	peer_close(&good);
	user_down(&u);
}

const struct test tests_frame[] = {
	{ "frame_bad_drops_its_link", frame_bad_drops_its_link },
	{ "frame_bad_before_a_link", frame_bad_before_a_link },
	{ "frame_byte_by_byte", frame_byte_by_byte },
	{ "frame_random", frame_random },
	{ "frame_first_in_time", frame_first_in_time },
	{ NULL, NULL },
};
