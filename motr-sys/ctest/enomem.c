/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A short life of a bridge, in which the n-th allocation fails, for n = 1, 2,
 * ... until none is left to fail.  Each life is a process of its own, under
 * ASan with its search for leaks: it must neither crash nor leak nor hang.  What
 * it achieves is its own affair, except without failures.
 *
 * Linked with --wrap for malloc, calloc and realloc, which catches our own calls
 * and none of the C library's.
 */
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t nr, size_t size);
void *__real_realloc(void *ptr, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t nr, size_t size);
void *__wrap_realloc(void *ptr, size_t size);

/* Allocations until the one that fails; 0: none fails any more. */
static unsigned long left;
static unsigned long made;
static unsigned long failed;

static bool fails(void)
{
	unsigned long n = __atomic_add_fetch(&made, 1, __ATOMIC_SEQ_CST);

	if (left == 0 || n != left)
		return false;
	__atomic_store_n(&failed, 1, __ATOMIC_SEQ_CST);
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t nr, size_t size)
{
	return fails() ? NULL : __real_calloc(nr, size);
}

void *__wrap_realloc(void *ptr, size_t size)
{
	return fails() ? NULL : __real_realloc(ptr, size);
}

enum { PEER = 1, SILENCE_MS = 300, LIFE_S = 300 };

static struct hax_bridge *bridge;
static uint64_t           self;
static unsigned long      got;
static unsigned long      ended;

static void on_request(void *ctx, const struct hax_entrypoint_request *req)
{
	static const struct hax_fid fid = { 1, 2 };
	static const char *const    endpoint = "e";

	(void)ctx;
	(void)hax_bridge_entrypoint_reply(bridge, &req->req_id, 0, 1, &fid,
					  &endpoint, 1, &fid, endpoint);
}

static void on_msg(void *ctx, uint64_t link, uint64_t tag,
		   const struct hax_msg *msg)
{
	const struct hax_note note = { .object = msg->fid, .state = 1 };
	const struct hax_nvec nvec = { .nr = 1, .notes = &note };
	uint64_t              sent;
	int                   rc;

	(void)ctx;
	if (link != self) {
		__atomic_add_fetch(&got, 1, __ATOMIC_SEQ_CST);
		rc = hax_bridge_send_nvec(bridge, link, &nvec, &sent);
		CHECK(rc == 0 || rc == -ENOMEM);
	}
	CHECK_EQ(hax_bridge_delivered(bridge, link, tag), 0);
}

static void on_end(void *ctx, uint64_t link, uint64_t tag)
{
	(void)ctx;
	(void)link;
	(void)tag;
	__atomic_add_fetch(&ended, 1, __ATOMIC_SEQ_CST);
}

static void on_link(void *ctx, const struct hax_link_event *event)
{
	(void)ctx;
	if (event->kind == HAX_LINK_CONNECTED && self == 0)
		self = event->link;
	if (event->kind == HAX_LINK_DISCONNECTING)
		CHECK_EQ(hax_bridge_disconnect(bridge, event->link), 0);
}

static void on_log(void *ctx, enum hax_log_level level, const char *text)
{
	(void)ctx;
	(void)level;
	(void)text;
}

/*
 * What the bridge says to a process that asks, sends three events and takes
 * what comes, until the bridge hangs up or has said all it has to say.
 */
static bool talk(struct peer *p, bool first)
{
	static struct frame f;
	unsigned            acks = 0;
	unsigned            msgs = 0;
	unsigned            silent = 0;

	peer_request(p, 1, first);
	if (!peer_frame(p, &f) || f.type != REP)
		return false;
	memcpy(&p->instance, f.payload + 13, 8);
	memcpy(&p->link, f.payload + 21, 8);
	for (int i = 0; i < 3; i++)
		peer_event(p, 1);
	while (acks < 3 || msgs < 3) {
		struct pollfd pfd = { .fd = p->fd, .events = POLLIN };

		/* What was withheld or could not be sent will not come. */
		while (poll(&pfd, 1, SILENCE_MS) == 0) {
			if (__atomic_load_n(&failed, __ATOMIC_SEQ_CST) != 0)
				return false;
			CHECK((silent += SILENCE_MS) < WAIT_MS);
		}
		if (!peer_frame(p, &f))
			return false;
		if (f.type == DELIVERED)
			acks++;
		if (f.type == MSG) {
			msgs++;
			peer_delivered(p, f.tag);
		}
	}
	return true;
}

static void live(const char *endpoint)
{
	const struct hax_callbacks cb = {
		.entrypoint_request = on_request, .msg_received = on_msg,
		.msg_is_delivered = on_end, .msg_is_not_delivered = on_end,
		.link = on_link, .log = on_log,
	};
	const struct hax_fid fid = { 0x7200000000000001, 1 };
	struct hax_thread   *thread;
	struct hax_note      note = { .object = { 0x7200000000000001, PEER } };
	struct hax_nvec      nvec = { .nr = 1, .notes = &note };
	const uint64_t       cookie[2] = { 1, 2 };
	struct hax_conf_event event = { 0 };
	struct peer          p;
	struct peer          again;
	uint64_t             tag;
	bool                 all = false;
	int                  rc;

	rc = hax_bridge_init(&bridge, NULL, &cb);
	if (rc != 0) {
		CHECK_EQ(rc, -ENOMEM);
		return;
	}
	rc = hax_bridge_start(bridge, endpoint, &fid, &fid, &fid);
	if (rc == 0) {
		peer_connect(&p, endpoint, PEER);
		all = talk(&p, true);
		if (all) {
			/* The link moves to a new connection. */
			peer_connect(&again, endpoint, PEER);
			again.instance = p.instance;
			again.link = p.link;
			again.tag = p.tag;
			all = talk(&again, false);
			peer_close(&again);
		}
		peer_close(&p);
		if (hax_bridge_thread_adopt(bridge, &thread) == 0)
			hax_bridge_thread_shun(thread);
		/* The process is alive, then failed: its link is dropped. */
		note.state = 1;
		(void)hax_bridge_send_nvec(bridge, self, &nvec, &tag);
		note.state = 2;
		(void)hax_bridge_send_nvec(bridge, self, &nvec, &tag);
		(void)hax_bridge_send_failure_vec_rep(
			bridge, self, &fid, cookie, &note, 1, &tag);
		(void)hax_bridge_send_process_event(bridge, self, &fid, &event,
						    &tag);
		hax_bridge_stop(bridge);
	} else {
		CHECK_EQ(rc, -ENOMEM);
	}
	hax_bridge_fini(bridge);
	if (left == 0) {
		CHECK(all);
		CHECK_EQ(got, 6);
		CHECK_EQ(ended, 6 + 4);
	}
}

struct life {
	pid_t pid;
	int   fd;
};

static struct life begin(const char *dir, unsigned long n)
{
	struct life l;
	char        endpoint[64];
	char        c;
	int         fds[2];

	CHECK_EQ(pipe(fds), 0);
	l.fd = fds[0];
	l.pid = fork();
	CHECK(l.pid >= 0);
	if (l.pid == 0) {
		left = n;
		alarm(LIFE_S);
		snprintf(endpoint, sizeof endpoint, "unix:%s/%lu", dir, n);
		live(endpoint);
		c = failed != 0;
		CHECK_EQ(write(fds[1], &c, 1), 1);
		exit(0);
	}
	close(fds[1]);
	return l;
}

/* @return whether an allocation was there to fail */
static bool end(const struct life *l, unsigned long n)
{
	char c = 0;
	int  status;

	CHECK_EQ(waitpid(l->pid, &status, 0), l->pid);
	if (status != 0) {
		fprintf(stderr, "allocation %lu: status %#x\n", n,
			(unsigned)status);
		exit(1);
	}
	CHECK_EQ(read(l->fd, &c, 1), 1);
	close(l->fd);
	return c != 0;
}

int main(void)
{
	/* Some lives take seconds of waiting: stop() misses a lost message. */
	enum { AT_ONCE = 24 };
	char          dir[] = "/tmp/hax-enomem-XXXXXX";
	struct life   lives[AT_ONCE];
	unsigned long n = 0;
	unsigned long runs = 0;
	bool          more = true;

	CHECK(mkdtemp(dir) != NULL);
	lives[0] = begin(dir, 0);
	CHECK(!end(&lives[0], 0));
	while (more) {
		for (unsigned i = 0; i < AT_ONCE; i++)
			lives[i] = begin(dir, n + 1 + i);
		for (unsigned i = 0; i < AT_ONCE; i++) {
			if (end(&lives[i], n + 1 + i))
				runs++;
			else
				more = false;
		}
		n += AT_ONCE;
	}
	rmdir(dir);
	printf("%lu lives with an allocation that failed\n", runs);
	return 0;
}
