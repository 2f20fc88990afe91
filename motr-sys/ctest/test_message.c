/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: content, order, exactly once, again after a reconnect. */
#include "peer.h"
#include "user.h"

#include <errno.h>
#include <string.h>

static uint64_t up(struct user *u, struct peer *p)
{
	user_up(u);
	peer_up(p, u->endpoint, 1);
	user_next(u, EV_REQUEST, 0);
	return user_link(u, HAX_LINK_CONNECTED, 0).link;
}

static struct hax_msg in(struct user *u, struct peer *p, struct bytes *b)
{
	struct event ev;

	frame_end(b);
	peer_send(p, b);
	ev = user_next(u, EV_MSG, 0);
	CHECK_EQ(ev.tag, p->tag);
	CHECK_EQ(ev.msg.fid.container, 1);
	CHECK_EQ(ev.msg.source_process.container, 3);
	CHECK_EQ(ev.msg.source_service.key, 6);
	CHECK_EQ(ev.msg.time, 7);
	CHECK_EQ(ev.msg.epoch, 8);
	peer_expect_delivered(p, p->tag);
	return ev.msg;
}

static void begin(struct peer *p, struct bytes *b, uint32_t type)
{
	p->tag += 2;
	msg_begin(b, p->tag, type);
}

static void message_every_type(void)
{
	static struct bytes b;
	struct user         u;
	struct peer         p;
	struct hax_msg      m;

	up(&u, &p);
	begin(&p, &b, HAX_MSG_STOB_IOQ);
	for (uint64_t i = 10; i < 16; i++)
		b64(&b, i);
	for (int64_t i = -3; i < 0; i++)
		b64(&b, (uint64_t)i);
	b64(&b, 20);
	b64(&b, 21);
	b32(&b, 22);
	m = in(&u, &p, &b);
	CHECK_EQ(m.type, HAX_MSG_STOB_IOQ);
	CHECK_EQ(m.u.stob_ioq.conf_sdev.key, 11);
	CHECK_EQ(m.u.stob_ioq.stob_domain.container, 12);
	CHECK_EQ(m.u.stob_ioq.stob.key, 15);
	CHECK_EQ(m.u.stob_ioq.fd, -3);
	CHECK_EQ(m.u.stob_ioq.opcode, -2);
	CHECK_EQ(m.u.stob_ioq.rc, -1);
	CHECK_EQ(m.u.stob_ioq.offset, 20);
	CHECK_EQ(m.u.stob_ioq.size, 21);
	CHECK_EQ(m.u.stob_ioq.bshift, 22);

	begin(&p, &b, HAX_MSG_NVEC);
	b64(&b, HAX_NVEC_GET);
	b64(&b, 31);
	b64(&b, 1);
	b32(&b, 2);
	for (uint32_t i = 1; i <= 2; i++) {
		b64(&b, i);
		b64(&b, i);
		b32(&b, i * 3);
	}
	m = in(&u, &p, &b);
	CHECK_EQ(m.u.nvec.type, HAX_NVEC_GET);
	CHECK_EQ(m.u.nvec.id_of_get, 31);
	CHECK_EQ(m.u.nvec.ignore_same_state, 1);
	CHECK_EQ(m.u.nvec.nr, 2);

	begin(&p, &b, HAX_MSG_FAILURE_VEC_REQ);
	for (uint64_t i = 40; i < 44; i++)
		b64(&b, i);
	m = in(&u, &p, &b);
	CHECK_EQ(m.u.failure_vec.pool.key, 41);
	CHECK_EQ(m.u.failure_vec.cookie[0], 42);
	CHECK_EQ(m.u.failure_vec.cookie[1], 43);
	CHECK_EQ(m.u.failure_vec.nr, 0);

	begin(&p, &b, HAX_MSG_FAILURE_VEC_REP);
	for (uint64_t i = 40; i < 44; i++)
		b64(&b, i);
	b32(&b, 1);
	b64(&b, 1);
	b64(&b, 1);
	b32(&b, 2);
	m = in(&u, &p, &b);
	CHECK_EQ(m.u.failure_vec.pool.key, 41);
	CHECK_EQ(m.u.failure_vec.nr, 1);

	begin(&p, &b, HAX_MSG_KEEPALIVE_REQ);
	b64(&b, 50);
	b64(&b, 51);
	m = in(&u, &p, &b);
	CHECK_EQ(m.u.keepalive.id.hi, 50);
	CHECK_EQ(m.u.keepalive.id.lo, 51);

	begin(&p, &b, HAX_MSG_KEEPALIVE_REP);
	b64(&b, 50);
	b64(&b, 51);
	b64(&b, 52);
	m = in(&u, &p, &b);
	CHECK_EQ(m.u.keepalive.id.lo, 51);
	CHECK_EQ(m.u.keepalive.counter, 52);

	for (uint32_t type = HAX_MSG_EVENT_PROCESS;
	     type <= HAX_MSG_EVENT_SERVICE; type++) {
		begin(&p, &b, type);
		b64(&b, 60);
		b64(&b, 61);
		b64(&b, 62);
		m = in(&u, &p, &b);
		CHECK_EQ(m.type, type);
		CHECK_EQ(m.u.event.event, 60);
		CHECK_EQ(m.u.event.type, 61);
		CHECK_EQ(m.u.event.pid, 62);
	}

	begin(&p, &b, HAX_MSG_EVENT_RPC);
	b64(&b, 70);
	b64(&b, 71);
	m = in(&u, &p, &b);
	CHECK_EQ(m.u.rpc.attempts, 70);
	CHECK_EQ(m.u.rpc.state, 71);

	begin(&p, &b, HAX_MSG_BE_IO_ERR);
	b32(&b, 80);
	b8(&b, 81);
	b8(&b, 82);
	m = in(&u, &p, &b);
	CHECK_EQ(m.u.be_io_err.errcode, 80);
	CHECK_EQ(m.u.be_io_err.location, 81);
	CHECK_EQ(m.u.be_io_err.io_opcode, 82);

	begin(&p, &b, HAX_MSG_SNS_ERR);
	b32(&b, 90);
	b8(&b, 91);
	m = in(&u, &p, &b);
	CHECK_EQ(m.type, HAX_MSG_SNS_ERR);
	CHECK_EQ(m.u.sns_err.errcode, 90);
	CHECK_EQ(m.u.sns_err.opcode, 91);
	peer_close(&p);
	user_down(&u);
}

/* Compares the bytes of a message with ours, but for the time. */
static void expect_bytes(struct peer *p, struct bytes *want)
{
	static struct frame f;
	enum { TIME_AT = 8 + 4 + 48 };

	frame_end(want);
	CHECK(peer_frame(p, &f));
	CHECK_EQ(f.type, MSG);
	CHECK_EQ(f.len, want->len - 16);
	memset(f.payload + TIME_AT, 0, 8);
	CHECK(memcmp(f.payload, want->data + 16, f.len) == 0);
}

static void head(struct bytes *b, uint64_t tag, uint32_t type,
		 struct hax_fid fid, struct hax_fid source)
{
	frame_begin(b, MSG);
	b64(b, tag);
	b32(b, type);
	bfid(b, fid);
	bfid(b, source);
	b64(b, 0);
	b64(b, 0);
	b64(b, 0);
	b64(b, 0);
}

static void message_sent_bytes(void)
{
	static struct bytes         b;
	static const struct hax_fid none;
	struct hax_fid              pool = { 0x6f00000000000001, 9 };
	struct hax_note             notes[2] = { { { 1, 2 }, 3, 0xffffffff },
						 { { 4, 5 }, 6, 0 } };
	uint64_t                    cookie[2] = { 7, 8 };
	struct user                 u;
	struct peer                 p;
	uint64_t                    link = up(&u, &p);
	uint64_t                    tag;
	struct hax_nvec             nvec = {
		HAX_NVEC_SET, 77, 1, 2, notes };

	CHECK_EQ(hax_bridge_send_nvec(u.bridge, link, &nvec, &tag), 0);
	head(&b, tag, HAX_MSG_NVEC, none, OWN_PROCESS);
	b64(&b, 0);
	b64(&b, 77);
	b64(&b, 1);
	b32(&b, 2);
	for (int i = 0; i < 2; i++) {
		bfid(&b, notes[i].object);
		b32(&b, notes[i].state);
	}
	expect_bytes(&p, &b);

	CHECK_EQ(hax_bridge_send_failure_vec_rep(u.bridge, link, &pool, cookie,
						 notes, 1, &tag), 0);
	head(&b, tag, HAX_MSG_FAILURE_VEC_REP, pool, OWN_PROCESS);
	bfid(&b, pool);
	b64(&b, 7);
	b64(&b, 8);
	b32(&b, 1);
	bfid(&b, notes[0].object);
	b32(&b, notes[0].state);
	expect_bytes(&p, &b);

	CHECK_EQ(hax_bridge_send_process_event(
			 u.bridge, link, &p.process,
			 &(struct hax_conf_event){ 1, 3, 99 }, &tag), 0);
	head(&b, tag, HAX_MSG_EVENT_PROCESS, p.process, p.process);
	b64(&b, 1);
	b64(&b, 3);
	b64(&b, 99);
	expect_bytes(&p, &b);

	nvec.type = 2;
	CHECK_EQ(hax_bridge_send_nvec(u.bridge, link, &nvec, &tag), -EINVAL);
	CHECK_EQ(hax_bridge_send_nvec(u.bridge, 12345, &(struct hax_nvec){ 0 },
				      &tag), -ENOENT);
	peer_close(&p);
	user_down(&u);
}

static void message_received_order(void)
{
	struct user u;
	struct peer p;
	uint64_t    link = up(&u, &p);
	uint64_t    tags[10];

	user_set(&u, &u.auto_deliver, false);
	for (int i = 0; i < 10; i++)
		peer_event(&p, (uint64_t)i);
	for (int i = 0; i < 10; i++) {
		struct event ev = user_next(&u, EV_MSG, link);

		CHECK_EQ(ev.msg.u.event.event, i);
		tags[i] = ev.tag;
	}
	/* Delivered late and out of order. */
	for (int i = 9; i >= 0; i--) {
		CHECK_EQ(hax_bridge_delivered(u.bridge, link, tags[i]), 0);
		CHECK_EQ(hax_bridge_delivered(u.bridge, link, tags[i]),
			 -ENOENT);
		peer_expect_delivered(&p, tags[i]);
	}
	CHECK_EQ(hax_bridge_delivered(u.bridge, link, 1000), -ENOENT);
	CHECK_EQ(hax_bridge_delivered(u.bridge, 99999, tags[0]), -ENOENT);
	peer_close(&p);
	user_down(&u);
}

static void message_delivered_order(void)
{
	static const int acks[] = { 4, 0, 0, 2, 1, 4, 3 };
	struct user      u;
	struct peer      p;
	uint64_t         link = up(&u, &p);
	uint64_t         tags[5];

	for (int i = 0; i < 5; i++) {
		tags[i] = user_send(&u, link, OWN_PROCESS, 1, 1);
		CHECK(i == 0 || tags[i] > tags[i - 1]);
		CHECK_EQ(peer_expect_msg(&p, HAX_MSG_NVEC), tags[i]);
	}
	for (size_t i = 0; i < sizeof acks / sizeof acks[0]; i++)
		peer_delivered(&p, tags[acks[i]]);
	for (int i = 0; i < 5; i++)
		CHECK_EQ(user_next(&u, EV_DELIVERED, link).tag, tags[i]);
	/* Behind a message, so that nothing is on its way any more. */
	peer_event(&p, 1);
	user_next(&u, EV_MSG, link);
	CHECK_EQ(user_left(&u, EV_DELIVERED, 0), 0);
	CHECK_EQ(user_left(&u, EV_NOT_DELIVERED, 0), 0);
	peer_close(&p);
	user_down(&u);
}

static void *reply_one(void *arg)
{
	struct user       *u = arg;
	struct hax_thread *thread;
	struct event       ev = user_next(u, EV_REQUEST, 0);

	CHECK_EQ(hax_bridge_thread_adopt(u->bridge, &thread), 0);
	CHECK_EQ(user_reply(u, &ev.req_id, 0), 0);
	hax_bridge_thread_shun(thread);
	return NULL;
}

/* Delivered while a callback of the link runs: reported when it is over. */
static void message_delivered_during_a_reply(void)
{
	struct user u;
	struct peer p;
	struct peer other;
	pthread_t   thread;
	uint64_t    link = up(&u, &p);
	uint64_t    tag;

	peer_up(&other, u.endpoint, 2);
	user_next(&u, EV_REQUEST, 0);
	user_set(&u, &u.auto_reply, false);
	user_set(&u, &u.hold_reused, true);
	CHECK_EQ(pthread_create(&thread, NULL, reply_one, &u), 0);
	tag = user_send(&u, link, OWN_PROCESS, 1, 1);
	CHECK_EQ(peer_expect_msg(&p, HAX_MSG_NVEC), tag);
	peer_request(&p, 5, false);
	user_wait_flag(&u, &u.is_held);
	peer_delivered(&p, tag);
	/* Two round trips, so that the loop has seen it and gone round. */
	for (int i = 0; i < 2; i++)
		peer_expect_delivered(&p, peer_event(&p, 1));
	for (int i = 0; i < 2; i++)
		peer_expect_delivered(&other, peer_event(&other, 1));
	CHECK_EQ(user_left(&u, EV_DELIVERED, link), 0);
	user_set(&u, &u.hold_reused, false);
	CHECK_EQ(user_next(&u, EV_DELIVERED, link).tag, tag);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(peer_reply(&p).seq, 5);
	peer_close(&p);
	peer_close(&other);
	user_down(&u);
}

static void message_again_to_process(void)
{
	struct user u;
	struct peer p;
	struct peer old;
	uint64_t    link = up(&u, &p);
	uint64_t    tags[4];

	for (int i = 0; i < 3; i++) {
		tags[i] = user_send(&u, link, OWN_PROCESS, 1, 1);
		CHECK_EQ(peer_expect_msg(&p, HAX_MSG_NVEC), tags[i]);
	}
	peer_delivered(&p, tags[1]);
	peer_event(&p, 1);
	user_next(&u, EV_MSG, link);
	old = p;
	CHECK_EQ(peer_again(&p, u.endpoint).status, REUSED);
	CHECK_EQ(peer_expect_msg(&p, HAX_MSG_NVEC), tags[0]);
	CHECK_EQ(peer_expect_msg(&p, HAX_MSG_NVEC), tags[2]);
	/* New ones come behind those that came again. */
	tags[3] = user_send(&u, link, OWN_PROCESS, 1, 1);
	CHECK_EQ(peer_expect_msg(&p, HAX_MSG_NVEC), tags[3]);
	CHECK_EQ(user_left(&u, EV_DELIVERED, 0), 0);
	peer_delivered(&p, tags[0]);
	CHECK_EQ(user_next(&u, EV_DELIVERED, link).tag, tags[0]);
	CHECK_EQ(user_next(&u, EV_DELIVERED, link).tag, tags[1]);
	peer_delivered(&p, tags[3]);
	peer_delivered(&p, tags[2]);
	CHECK_EQ(user_next(&u, EV_DELIVERED, link).tag, tags[2]);
	CHECK_EQ(user_next(&u, EV_DELIVERED, link).tag, tags[3]);
	peer_close(&p);
	peer_close(&old);
	user_down(&u);
}

static void message_again_to_bridge(void)
{
	struct user u;
	struct peer p;
	uint64_t    link = up(&u, &p);

	user_set(&u, &u.auto_deliver, false);
	for (int i = 0; i < 3; i++) {
		peer_event(&p, (uint64_t)i);
		user_next(&u, EV_MSG, link);
	}
	peer_close(&p);
	/* The acknowledgement is lost with the connection. */
	CHECK_EQ(hax_bridge_delivered(u.bridge, link, 2), 0);
	CHECK_EQ(peer_again(&p, u.endpoint).status, REUSED);
	for (uint64_t tag = 2; tag <= 6; tag += 2)
		peer_event_tagged(&p, tag, tag);
	peer_expect_delivered(&p, 2);
	p.tag = 6;
	peer_event(&p, 42);
	CHECK_EQ(user_next(&u, EV_MSG, link).msg.u.event.event, 42);
	CHECK_EQ(hax_bridge_delivered(u.bridge, link, 6), 0);
	peer_expect_delivered(&p, 6);
	CHECK_EQ(hax_bridge_delivered(u.bridge, link, 4), 0);
	peer_expect_delivered(&p, 4);
	CHECK_EQ(hax_bridge_delivered(u.bridge, link, 8), 0);
	peer_expect_delivered(&p, 8);
	CHECK_EQ(user_left(&u, EV_MSG, 0), 0);
	peer_close(&p);
	user_down(&u);
}

const struct test tests_message[] = {
	{ "message_every_type", message_every_type },
	{ "message_sent_bytes", message_sent_bytes },
	{ "message_received_order", message_received_order },
	{ "message_delivered_order", message_delivered_order },
	{ "message_delivered_during_a_reply",
	  message_delivered_during_a_reply },
	{ "message_again_to_process", message_again_to_process },
	{ "message_again_to_bridge", message_again_to_bridge },
	{ NULL, NULL },
};
