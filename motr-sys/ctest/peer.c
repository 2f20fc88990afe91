/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void put(struct bytes *b, uint64_t v, size_t n)
{
	CHECK(b->len + n <= sizeof b->data);
	while (n-- > 0) {
		b->data[b->len++] = (uint8_t)v;
		v >>= 8;
	}
}

void b8(struct bytes *b, uint8_t v) { put(b, v, 1); }
void b16(struct bytes *b, uint16_t v) { put(b, v, 2); }
void b32(struct bytes *b, uint32_t v) { put(b, v, 4); }
void b64(struct bytes *b, uint64_t v) { put(b, v, 8); }

void bfid(struct bytes *b, struct hax_fid fid)
{
	b64(b, fid.container);
	b64(b, fid.key);
}

void bstr(struct bytes *b, const char *s)
{
	size_t len = strlen(s);

	b16(b, (uint16_t)len);
	CHECK(b->len + len <= sizeof b->data);
	memcpy(b->data + b->len, s, len);
	b->len += len;
}

void frame_begin(struct bytes *b, uint16_t type)
{
	b->len = 0;
	b8(b, 'H');
	b8(b, 'A');
	b8(b, 'X');
	b8(b, 'L');
	b16(b, 1);
	b16(b, type);
	b32(b, 0);
	b32(b, 0);
}

void frame_end(struct bytes *b)
{
	size_t len = b->len;

	b->len = 8;
	b32(b, (uint32_t)(len - 16));
	b->len = len;
}

static socklen_t address(const char *endpoint, struct sockaddr_storage *addr)
{
	struct sockaddr_un  *un = (struct sockaddr_un *)addr;
	struct sockaddr_in  *in4 = (struct sockaddr_in *)addr;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)addr;
	socklen_t            len = sizeof *un;

	memset(addr, 0, sizeof *addr);
	if (strncmp(endpoint, "unix:", 5) == 0) {
		un->sun_family = AF_UNIX;
		strcpy(un->sun_path, endpoint + 5);
	} else {
		const char *at = strchr(endpoint, '@');
		char        ip[64] = { 0 };

		memcpy(ip, endpoint + 9, (size_t)(at - endpoint - 9));
		if (strchr(ip, ':') != NULL) {
			in6->sin6_family = AF_INET6;
			in6->sin6_port = htons((uint16_t)atoi(at + 1));
			CHECK_EQ(inet_pton(AF_INET6, ip, &in6->sin6_addr), 1);
			len = sizeof *in6;
		} else {
			in4->sin_family = AF_INET;
			in4->sin_port = htons((uint16_t)atoi(at + 1));
			CHECK_EQ(inet_pton(AF_INET, ip, &in4->sin_addr), 1);
			len = sizeof *in4;
		}
	}
	return len;
}

void peer_socket(struct peer *p, const char *endpoint, uint64_t key)
{
	struct sockaddr_storage addr;

	(void)address(endpoint, &addr);
	*p = (struct peer){ .process = { 0x7200000000000001, key } };
	p->fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(p->fd >= 0);
}

void peer_dial(struct peer *p, const char *endpoint)
{
	struct sockaddr_storage addr;
	socklen_t               len = address(endpoint, &addr);

	CHECK_EQ(connect(p->fd, (struct sockaddr *)&addr, len), 0);
}

void peer_connect(struct peer *p, const char *endpoint, uint64_t key)
{
	peer_socket(p, endpoint, key);
	peer_dial(p, endpoint);
}

void peer_close(struct peer *p)
{
	close(p->fd);
	p->fd = -1;
}

void peer_send(struct peer *p, const struct bytes *b)
{
	size_t at = 0;

	while (at < b->len) {
		struct pollfd pfd = { .fd = p->fd, .events = POLLOUT };
		ssize_t       n = send(p->fd, b->data + at, b->len - at,
				       MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			/* Two sides that wait for each other fail here. */
			CHECK_EQ(poll(&pfd, 1, WAIT_MS), 1);
			continue;
		}
		/* The bridge may have hung up on what we sent before. */
		if (n < 0)
			return;
		at += (size_t)n;
	}
}

void peer_request(struct peer *p, uint64_t seq, bool first)
{
	struct bytes b;

	frame_begin(&b, REQ);
	b64(&b, seq);
	b8(&b, first);
	b64(&b, first ? 0 : p->instance);
	b64(&b, first ? 0 : p->link);
	bfid(&b, p->process);
	b64(&b, 4711);
	bstr(&b, "inet:tcp:127.0.0.1@3000");
	bstr(&b, "v1");
	frame_end(&b);
	peer_send(p, &b);
}

/* @return false at the end of the connection */
static bool read_exactly(struct peer *p, void *buf, size_t len)
{
	uint8_t *at = buf;

	while (len > 0) {
		struct pollfd pfd = { .fd = p->fd, .events = POLLIN };
		ssize_t       n;

		CHECK_EQ(poll(&pfd, 1, WAIT_MS), 1);
		n = recv(p->fd, at, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static uint64_t get(const uint8_t **at, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)(*at)[i] << (8 * i);
	*at += n;
	return v;
}

bool peer_frame(struct peer *p, struct frame *f)
{
	uint8_t        head[16];
	const uint8_t *at = head;

	if (!read_exactly(p, head, sizeof head))
		return false;
	CHECK(memcmp(at, "HAXL", 4) == 0);
	at += 4;
	CHECK_EQ(get(&at, 2), 1);
	f->type = (uint16_t)get(&at, 2);
	f->len = get(&at, 4);
	CHECK_EQ(get(&at, 4), 0);
	CHECK(f->len <= sizeof f->payload);
	if (!read_exactly(p, f->payload, f->len))
		return false;
	at = f->payload;
	if (f->type == MSG || f->type == DELIVERED)
		f->tag = get(&at, 8);
	if (f->type == MSG)
		f->msg_type = (uint32_t)get(&at, 4);
	return true;
}

struct reply peer_reply(struct peer *p)
{
	static __thread struct frame f;
	const uint8_t               *at = f.payload;
	struct reply                 r;
	size_t                       len;

	CHECK(peer_frame(p, &f));
	CHECK_EQ(f.type, REP);
	r.seq = get(&at, 8);
	r.rc = (int32_t)get(&at, 4);
	r.status = (uint8_t)get(&at, 1);
	r.instance = get(&at, 8);
	r.link = get(&at, 8);
	r.quorum = (uint32_t)get(&at, 4);
	at += 16;
	len = get(&at, 2);
	at += len;
	r.nr = (uint16_t)get(&at, 2);
	for (uint16_t i = 0; i < r.nr; i++) {
		at += 16;
		len = get(&at, 2);
		at += len;
	}
	CHECK_EQ(at - f.payload, f.len);
	CHECK(r.instance != 0);
	CHECK((r.link == 0) == (r.status == ABSENT));
	p->instance = r.instance;
	p->link = r.link;
	return r;
}

void peer_up(struct peer *p, const char *endpoint, uint64_t key)
{
	struct reply r;

	peer_connect(p, endpoint, key);
	peer_request(p, 1, true);
	r = peer_reply(p);
	CHECK_EQ(r.seq, 1);
	CHECK_EQ(r.status, CONNECTED);
}

struct reply peer_again(struct peer *p, const char *endpoint)
{
	struct peer old = *p;

	peer_connect(p, endpoint, old.process.key);
	p->instance = old.instance;
	p->link = old.link;
	p->tag = old.tag;
	peer_request(p, 2, false);
	return peer_reply(p);
}

void peer_expect_end(struct peer *p)
{
	static __thread struct frame f;

	while (peer_frame(p, &f))
		;
	peer_close(p);
}

void peer_expect_delivered(struct peer *p, uint64_t tag)
{
	static __thread struct frame f;

	CHECK(peer_frame(p, &f));
	CHECK_EQ(f.type, DELIVERED);
	CHECK_EQ(f.tag, tag);
}

uint64_t peer_expect_msg(struct peer *p, uint32_t msg_type)
{
	static __thread struct frame f;

	CHECK(peer_frame(p, &f));
	CHECK_EQ(f.type, MSG);
	CHECK_EQ(f.msg_type, msg_type);
	return f.tag;
}

void peer_delivered(struct peer *p, uint64_t tag)
{
	struct bytes b;

	frame_begin(&b, DELIVERED);
	b64(&b, tag);
	frame_end(&b);
	peer_send(p, &b);
}

void msg_begin(struct bytes *b, uint64_t tag, uint32_t type)
{
	frame_begin(b, MSG);
	b64(b, tag);
	b32(b, type);
	bfid(b, (struct hax_fid){ 1, 2 });
	bfid(b, (struct hax_fid){ 3, 4 });
	bfid(b, (struct hax_fid){ 5, 6 });
	b64(b, 7);
	b64(b, 8);
}

void msg_event(struct bytes *b, uint64_t tag, uint64_t event)
{
	msg_begin(b, tag, HAX_MSG_EVENT_PROCESS);
	b64(b, event);
	b64(b, 3);
	b64(b, 4711);
	frame_end(b);
}

void msg_nvec(struct bytes *b, uint64_t tag, uint32_t nr, uint32_t state)
{
	msg_begin(b, tag, HAX_MSG_NVEC);
	b64(b, HAX_NVEC_GET);
	b64(b, 99);
	b64(b, 0);
	b32(b, nr);
	for (uint32_t i = 0; i < nr; i++) {
		bfid(b, (struct hax_fid){ 0x7200000000000001, i });
		b32(b, state);
	}
	frame_end(b);
}

void peer_event_tagged(struct peer *p, uint64_t tag, uint64_t event)
{
	struct bytes b;

	msg_event(&b, tag, event);
	peer_send(p, &b);
}

uint64_t peer_event(struct peer *p, uint64_t event)
{
	p->tag += 2;
	peer_event_tagged(p, p->tag, event);
	return p->tag;
}
