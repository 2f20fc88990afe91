/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: accept, read, close, and when to write. */
#include "embedded.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	IN_MIN       = 4096,
	/** Reads of one connection before others get their turn. */
	READS_MAX    = 8,
	/** Connections accepted before those we have get their turn. */
	ACCEPTS_MAX  = 64,
};

static void write_frames(emb_t *e, struct emb_conn *c);

/*
 * While the loop sleeps, whoever has something to write writes it: to wake the
 * loop costs more.  Replies, and connections that are held or have not taken
 * all of it, are the loop's.
 */
static bool write_now(emb_t *e, struct emb_conn *c)
{
	if (!e->polling || e->woken || c->state != EMB_CONN_BOUND ||
	    c->interest != EPOLLIN || !emb_list_is_empty(&c->reqs) ||
	    !emb_list_is_empty(&c->in_touched))
		return false;
	write_frames(e, c);
	return c->state == EMB_CONN_BOUND && emb_conn_waiting(c) == 0;
}

void emb_conn_touch(emb_t *e, struct emb_conn *c)
{
	if (write_now(e, c))
		return;
	if (emb_list_is_empty(&c->in_touched) && c->state != EMB_CONN_CLOSED)
		emb_list_add(&e->touched, &c->in_touched);
	emb_wake(e);
}

static void peer_name(struct emb_conn *c, const struct sockaddr_storage *addr)
{
	char         ip[INET6_ADDRSTRLEN] = "?";
	struct ucred cred;
	socklen_t    len = sizeof cred;

	if (addr->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)addr;

		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof ip);
		snprintf(c->peer, sizeof c->peer, "inet:tcp:%s@%u", ip,
			 ntohs(in->sin_port));
	} else if (addr->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)addr;

		inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof ip);
		snprintf(c->peer, sizeof c->peer, "inet:tcp:%s@%u", ip,
			 ntohs(in6->sin6_port));
	} else if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ==
		   0) {
		snprintf(c->peer, sizeof c->peer, "unix:pid %ld",
			 (long)cred.pid);
	} else {
		snprintf(c->peer, sizeof c->peer, "unix");
	}
}

static struct emb_conn *conn_new(emb_t *e, int fd,
				 const struct sockaddr_storage *addr)
{
	struct emb_conn   *c = calloc(1, sizeof *c);
	struct epoll_event ev = { .events = EPOLLIN };
	const int          one = 1;

	if (c == NULL)
		return NULL;
	c->fd = fd;
	c->number = ++e->conn_last;
	c->interest = ev.events;
	ev.data.ptr = c;
	if (epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) {
		free(c);
		return NULL;
	}
	if (addr->ss_family != AF_UNIX) {
		/* Only latency and dead peers depend on these two. */
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
				 sizeof one);
		(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one,
				 sizeof one);
	}
	emb_list_init(&c->in_touched);
	emb_list_init(&c->reqs);
	peer_name(c, addr);
	c->deadline_ms = emb_now_ms() + EMB_FIRST_FRAME_MS;
	emb_list_init(&c->in_waiting);
	emb_list_init(&c->in_timed);
	emb_list_add(&e->timed, &c->in_timed);
	emb_list_add(&e->conns, &c->in_all);
	e->conns_nr++;
	return c;
}

static void listen_interest(emb_t *e, uint32_t events)
{
	struct epoll_event ev = { .events = events,
				  .data.ptr = &e->listen_fd };

	if (epoll_ctl(e->epoll_fd, EPOLL_CTL_MOD, e->listen_fd, &ev) != 0)
		emb_log(1, "epoll_ctl: %s", strerror(errno));
}

/*
 * Out of descriptors or memory.  The spare descriptor lets one waiting peer
 * know at once, and a pause keeps the loop from spinning on the rest.
 */
static void accept_trouble(emb_t *e, int error)
{
	int fd;

	if (!e->accept_warned)
		emb_log(1, "cannot accept a connection: %s", strerror(error));
	e->accept_warned = true;
	if (e->spare_fd >= 0) {
		close(e->spare_fd);
		fd = accept4(e->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			close(fd);
		e->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	listen_interest(e, 0);
	e->accept_paused = true;
	e->accept_resume_ms = emb_now_ms() + EMB_ACCEPT_PAUSE_MS;
}

void emb_conn_accept_resume(emb_t *e)
{
	e->accept_paused = false;
	if (e->listen_fd < 0)
		return;
	if (e->spare_fd < 0)
		e->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	listen_interest(e, EPOLLIN);
}

void emb_conn_accept(emb_t *e)
{
	for (int i = 0; i < ACCEPTS_MAX; i++) {
		struct sockaddr_storage addr = { 0 };
		socklen_t               len = sizeof addr;
		int                     fd;

		fd = accept4(e->listen_fd, (struct sockaddr *)&addr, &len,
			     SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				return;
			if (errno == EMFILE || errno == ENFILE ||
			    errno == ENOBUFS || errno == ENOMEM) {
				accept_trouble(e, errno);
				return;
			}
			/* The peer's troubles (ECONNABORTED, ...), or EINTR. */
			continue;
		}
		addr.ss_family = e->endpoint.addr.ss_family;
		if (e->conns_nr >= EMB_CONNS_MAX) {
			emb_log(2, "connection refused: there are %d",
				EMB_CONNS_MAX);
			close(fd);
		} else if (conn_new(e, fd, &addr) == NULL) {
			emb_log(1, "no memory for a connection");
			close(fd);
		} else {
			e->accept_warned = false;
		}
	}
}

void emb_conn_close(emb_t *e, struct emb_conn *c)
{
	if (c->state == EMB_CONN_CLOSED)
		return;
	c->state = EMB_CONN_CLOSED;
	/* A fork may share the socket: only this surely ends its events. */
	(void)epoll_ctl(e->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
	close(c->fd);
	c->fd = -1;
	emb_req_orphan(e, c);
	if (c->link != NULL)
		emb_link_unbind(c->link);
	emb_list_del(&c->in_touched);
	emb_list_del(&c->in_timed);
	emb_list_del(&c->in_waiting);
	emb_list_del(&c->in_all);
	emb_list_add(&e->dead, &c->in_all);
	e->conns_nr--;
}

void emb_conn_reap(emb_t *e)
{
	while (!emb_list_is_empty(&e->dead)) {
		struct emb_conn *c = HAX_CONTAINER_OF(
			e->dead.next, struct emb_conn, in_all);

		emb_list_del(&c->in_all);
		free(c->in);
		free(c->out);
		free(c);
	}
}

void emb_conn_expire(emb_t *e, uint64_t now_ms)
{
	while (!emb_list_is_empty(&e->timed)) {
		struct emb_conn *c = HAX_CONTAINER_OF(
			e->timed.next, struct emb_conn, in_timed);

		if (c->deadline_ms > now_ms)
			return;
		emb_log(2, "connection of %s is closed: %s", c->peer,
			c->state == EMB_CONN_NEW
				? "no complete first frame in time"
				: "it does not read its last reply");
		emb_conn_close(e, c);
	}
}

/* Frames of this connection wait in its buffer or in the socket. */
static bool is_held(const struct emb_conn *c)
{
	return c->state == EMB_CONN_LAST_WORDS ||
	       emb_conn_waiting(c) >= EMB_OUT_HELD || c->msg_waits;
}

/* Whether the frame that begins at `at` is a message for which there is no room. */
static bool has_no_room(const emb_t *e, const struct emb_conn *c,
			const struct wire_header *h, const uint8_t *at,
			size_t have)
{
	/* The tag tells: one that was received before needs no room. */
	return h->type == WIRE_MSG && have >= WIRE_HEADER_LEN + 8 &&
	       !emb_room_is_free(e, c) &&
	       wire_msg_tag(at) > c->link->tag_received;
}

/* Handles complete frames in the buffer, as long as it may. */
static void parse(emb_t *e, struct emb_conn *c)
{
	c->msg_waits = false;
	while (c->state != EMB_CONN_CLOSED && !is_held(c)) {
		size_t             have = c->in_end - c->in_at;
		const uint8_t     *at = c->in + c->in_at;
		struct wire_header h;
		const char        *why;

		if (have < WIRE_HEADER_LEN)
			return;
		why = wire_header_decode(at, &h);
		if (why != NULL) {
			emb_frame_bad(e, c, h.type, why);
			return;
		}
		c->msg_waits = has_no_room(e, c, &h, at, have);
		if (c->msg_waits || have < WIRE_HEADER_LEN + h.length)
			return;
		c->in_at += WIRE_HEADER_LEN + h.length;
		emb_frame(e, c, &h, at + WIRE_HEADER_LEN);
	}
}

/* Makes room for at least the frame that has begun. */
static int make_room(struct emb_conn *c)
{
	size_t             have = c->in_end - c->in_at;
	size_t             want = IN_MIN;
	struct wire_header h;
	uint8_t           *in;

	if (c->in_at > 0) {
		memmove(c->in, c->in + c->in_at, have);
		c->in_at = 0;
		c->in_end = have;
	}
	if (have >= WIRE_HEADER_LEN && wire_header_decode(c->in, &h) == NULL &&
	    want < WIRE_HEADER_LEN + h.length)
		want = WIRE_HEADER_LEN + h.length;
	if (c->in_cap >= want && c->in_cap > have)
		return 0;
	in = realloc(c->in, want);
	if (in == NULL)
		return -ENOMEM;
	c->in = in;
	c->in_cap = want;
	return 0;
}

static void read_frames(emb_t *e, struct emb_conn *c)
{
	for (int i = 0; i < READS_MAX; i++) {
		ssize_t n;

		parse(e, c);
		if (c->state == EMB_CONN_CLOSED || is_held(c))
			return;
		if (make_room(c) != 0) {
			emb_log(1, "no memory to read from %s", c->peer);
			emb_conn_close(e, c);
			return;
		}
		n = recv(c->fd, c->in + c->in_end, c->in_cap - c->in_end,
			 MSG_DONTWAIT);
		if (n > 0) {
			c->in_end += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
			emb_conn_close(e, c);
		return;
	}
	parse(e, c);
}

static void set_interest(emb_t *e, struct emb_conn *c)
{
	uint32_t           events = 0;
	struct epoll_event ev;

	if (!is_held(c))
		events |= EPOLLIN;
	if (emb_conn_waiting(c) > 0)
		events |= EPOLLOUT;
	if (events == c->interest)
		return;
	ev = (struct epoll_event){ .events = events, .data.ptr = c };
	if (epoll_ctl(e->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) != 0) {
		emb_log(1, "epoll_ctl: %s", strerror(errno));
		emb_conn_close(e, c);
		return;
	}
	c->interest = events;
}

/* Replies, acknowledgements and messages, as far as the peer takes them. */
static void write_frames(emb_t *e, struct emb_conn *c)
{
	size_t before;

	do {
		emb_req_flush(e, c);
		if (c->state == EMB_CONN_CLOSED)
			return;
		if (emb_conn_fill(c) != 0) {
			emb_log(1, "no memory to write to %s", c->peer);
			emb_conn_close(e, c);
			return;
		}
		before = emb_conn_waiting(c);
		if (!emb_conn_flush(c)) {
			emb_conn_close(e, c);
			return;
		}
	} while (before > 0 && emb_conn_waiting(c) == 0);
	if (c->state == EMB_CONN_LAST_WORDS && emb_conn_waiting(c) == 0)
		emb_conn_close(e, c);
}

void emb_conn_service(emb_t *e, struct emb_conn *c)
{
	write_frames(e, c);
	if (c->state != EMB_CONN_CLOSED) {
		parse(e, c);
		if (c->state != EMB_CONN_CLOSED)
			write_frames(e, c);
	}
	if (c->state != EMB_CONN_CLOSED)
		set_interest(e, c);
	if (c->state != EMB_CONN_CLOSED)
		emb_room_queue(e, c);
}

void emb_conn_event(emb_t *e, struct emb_conn *c, uint32_t events)
{
	if (c->state == EMB_CONN_CLOSED)
		return;
	if ((events & EPOLLIN) != 0)
		read_frames(e, c);
	else if ((events & (EPOLLERR | EPOLLHUP)) != 0)
		emb_conn_close(e, c);
	if (c->state != EMB_CONN_CLOSED)
		emb_conn_service(e, c);
}
