/* SPDX-License-Identifier: Apache-2.0 */
/* init, start, stop, fini, and the self link. */
#include "embedded.h"
#include "peer.h"
#include "user.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void expect_own(struct user *u, uint64_t type, uint64_t event,
		       struct hax_fid fid, uint64_t subject)
{
	struct event ev = user_next(u, EV_MSG, u->self);

	CHECK_EQ(ev.msg.type, type);
	CHECK_EQ(ev.msg.u.event.event, event);
	CHECK_EQ(ev.msg.u.event.type, subject);
	CHECK_EQ(ev.msg.u.event.pid, getpid());
	CHECK_EQ(ev.msg.fid.key, fid.key);
	/* An event of a process names no source. */
	CHECK_EQ(ev.msg.source_process.key,
		 type == HAX_MSG_EVENT_SERVICE ? OWN_PROCESS.key : 0);
	CHECK_EQ(ev.msg.source_service.key,
		 type == HAX_MSG_EVENT_SERVICE ? fid.key : 0);
	CHECK(ev.msg.time != 0);
	CHECK_EQ(ev.tag % 2, 0);
}

enum { P = HAX_MSG_EVENT_PROCESS, S = HAX_MSG_EVENT_SERVICE, M0D = 3,
       RMS = 4, HA = 6 };

static void start_reply_in_callback(void)
{
	struct user  u;
	struct event ev;
	uint64_t     self;

	CHECK(strcmp(hax_bridge_backend(), "embedded") == 0);
	CHECK(strcmp(hax_bridge_version(), "test") == 0);
	user_init(&u);
	CHECK_EQ(user_start(&u), 0);
	self = u.self;
	ev = user_next(&u, EV_REQUEST, 0);
	CHECK(ev.first);
	CHECK(strcmp(ev.text, u.endpoint) == 0);
	CHECK_EQ(ev.process.key, OWN_PROCESS.key);
	ev = user_next(&u, EV_LINK, 0);
	CHECK_EQ(ev.link_kind, HAX_LINK_CONNECTED);
	CHECK_EQ(ev.process.key, OWN_PROCESS.key);
	CHECK(strcmp(ev.text, u.endpoint) == 0);
	CHECK_EQ(hax_bridge_entrypoint_reply(u.bridge, &ev.req_id, 0, 0, NULL,
					     NULL, 0, NULL, NULL), -ENOENT);
	expect_own(&u, P, 0, OWN_PROCESS, M0D);
	expect_own(&u, S, 0, OWN_HA, HA);
	expect_own(&u, S, 1, OWN_HA, HA);
	expect_own(&u, S, 0, OWN_RM, RMS);
	expect_own(&u, S, 1, OWN_RM, RMS);
	expect_own(&u, P, 1, OWN_PROCESS, M0D);
	hax_bridge_stop(u.bridge);
	expect_own(&u, P, 2, OWN_PROCESS, M0D);
	expect_own(&u, S, 2, OWN_RM, RMS);
	expect_own(&u, S, 3, OWN_RM, RMS);
	expect_own(&u, S, 2, OWN_HA, HA);
	expect_own(&u, S, 3, OWN_HA, HA);
	expect_own(&u, P, 3, OWN_PROCESS, M0D);
	CHECK_EQ(user_next(&u, EV_LINK, self).link_kind,
		 HAX_LINK_DISCONNECTING);
	CHECK_EQ(user_next(&u, EV_LINK, self).link_kind,
		 HAX_LINK_DISCONNECTED);
	CHECK_EQ(user_left(&u, EV_LINK, 0), 0);
	CHECK_EQ(user_left(&u, EV_MSG, 0), 0);
	CHECK_EQ(user_left(&u, EV_LOG, 0), 0);
	user_fini(&u);
}

static void *answer(void *arg)
{
	struct user       *u = arg;
	struct hax_thread *thread;
	struct event       ev;

	CHECK_EQ(hax_bridge_thread_adopt(u->bridge, &thread), 0);
	ev = user_next(u, EV_REQUEST, 0);
	CHECK(ev.first);
	CHECK_EQ(user_reply(u, &ev.req_id, -EAGAIN), 0);
	ev = user_next(u, EV_REQUEST, 0);
	CHECK(!ev.first);
	CHECK_EQ(user_reply(u, &ev.req_id, 0), 0);
	CHECK_EQ(user_reply(u, &ev.req_id, 0), -ENOENT);
	hax_bridge_thread_shun(thread);
	return NULL;
}

static void start_reply_from_thread(void)
{
	struct user u;
	pthread_t   thread;

	user_init(&u);
	u.auto_reply = false;
	CHECK_EQ(pthread_create(&thread, NULL, answer, &u), 0);
	CHECK_EQ(user_start(&u), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	user_link(&u, HAX_LINK_CONNECTED, u.self);
	user_link(&u, HAX_LINK_REUSED, u.self);
	user_down(&u);
}

static void start_refused_first(void)
{
	struct user u;

	user_init(&u);
	u.refuse = 3;
	CHECK_EQ(user_start(&u), 0);
	CHECK(user_next(&u, EV_REQUEST, 0).first);
	for (int i = 0; i < 3; i++)
		CHECK(!user_next(&u, EV_REQUEST, 0).first);
	CHECK_EQ(user_next(&u, EV_LINK, 0).link_kind, HAX_LINK_CONNECTED);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(user_next(&u, EV_LINK, u.self).link_kind,
			 HAX_LINK_REUSED);
	CHECK_EQ(user_left(&u, EV_LINK, 0), 0);
	user_down(&u);
}

static int try_start(struct user *u, const char *endpoint)
{
	return hax_bridge_start(u->bridge, endpoint, &OWN_PROCESS, &OWN_HA,
				&OWN_RM);
}

static void start_errors(void)
{
	static const char *const bad[] = {
		"", "unix:", "unix:relative", "unix:/", "tcp:127.0.0.1@1",
		"inet:tcp:127.0.0.1", "inet:tcp:127.0.0.1@",
		"inet:tcp:127.0.0.1@0", "inet:tcp:127.0.0.1@65536",
		"inet:tcp:127.0.0.1@1x", "inet:tcp:localhost@1",
		"inet:tcp:[::1]@1", "inet:stream:127.0.0.1@1",
	};
	struct hax_callbacks none = { 0 };
	struct hax_bridge   *second;
	struct sockaddr_un   addr = { .sun_family = AF_UNIX };
	struct user          u;
	char                 longest[5 + 107 + 2] = "unix:/";
	int                  fd;
	FILE                *file;

	user_init(&u);
	CHECK_EQ(hax_bridge_init(&second, NULL, &none), -EINVAL);
	none = (struct hax_callbacks){
		.entrypoint_request = (void *)abort,
		.msg_received = (void *)abort,
		.msg_is_delivered = (void *)abort,
		.msg_is_not_delivered = (void *)abort,
		.link = (void *)abort, .log = (void *)abort,
	};
	CHECK_EQ(hax_bridge_init(&second, NULL, &none), -EBUSY);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		CHECK_EQ(try_start(&u, bad[i]), -EINVAL);
	memset(longest + 6, 'x', 107);
	CHECK_EQ(try_start(&u, longest), -EINVAL);
	CHECK_EQ(try_start(&u, "unix:/proc/no/such/directory"), -ENOENT);
	CHECK_EQ(try_start(&u, "unix:/dev/null/socket"), -ENOTDIR);
	CHECK(try_start(&u, "unix:/proc/socket") < 0);

	strcpy(addr.sun_path, u.endpoint + 5);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
	CHECK_EQ(listen(fd, 1), 0);
	CHECK_EQ(user_start(&u), -EADDRINUSE);
	/* Dead, its file left behind. */
	close(fd);
	CHECK_EQ(user_start(&u), 0);
	CHECK_EQ(try_start(&u, u.endpoint), -EALREADY);
	/* Nothing has changed. */
	user_send(&u, u.self, OWN_PROCESS, 1, 1);
	user_stop(&u);
	CHECK_EQ(access(addr.sun_path, F_OK), -1);

	file = fopen(addr.sun_path, "w");
	CHECK(file != NULL);
	fclose(file);
	CHECK_EQ(user_start(&u), -EADDRINUSE);
	CHECK_EQ(unlink(addr.sun_path), 0);
	CHECK_EQ(user_start(&u), 0);
	user_down(&u);
}

struct racer {
	emb_t              e;
	pthread_barrier_t *begin;
	int                fd;
};

static void *race(void *arg)
{
	struct racer *r = arg;

	pthread_barrier_wait(r->begin);
	r->fd = emb_endpoint_listen(&r->e);
	return NULL;
}

/* Of bridges that find the socket of a dead one, one takes its place. */
static void start_race_for_a_path(void)
{
	enum { RACERS = 3 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	pthread_barrier_t  begin;
	char               endpoint[128];

	snprintf(endpoint, sizeof endpoint, "unix:%s/race", temp_dir());
	strcpy(addr.sun_path, endpoint + 5);
	CHECK_EQ(pthread_barrier_init(&begin, NULL, RACERS), 0);
	for (int round = 0; round < 100; round++) {
		struct racer r[RACERS];
		pthread_t    threads[RACERS];
		struct racer *won = NULL;
		int          fd = socket(AF_UNIX, SOCK_STREAM, 0);

		CHECK_EQ(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
		close(fd);
		for (int i = 0; i < RACERS; i++) {
			r[i] = (struct racer){ .begin = &begin };
			r[i].e.epoll_fd = -1;
			CHECK_EQ(emb_endpoint_parse(endpoint, &r[i].e.endpoint),
				 0);
			CHECK_EQ(pthread_create(&threads[i], NULL, race, &r[i]),
				 0);
		}
		for (int i = 0; i < RACERS; i++) {
			CHECK_EQ(pthread_join(threads[i], NULL), 0);
			if (r[i].fd < 0) {
				CHECK_EQ(r[i].fd, -EADDRINUSE);
				continue;
			}
			CHECK(won == NULL);
			won = &r[i];
		}
		CHECK(won != NULL);
		won->e.listen_fd = won->fd;
		emb_endpoint_close(&won->e);
		CHECK_EQ(access(addr.sun_path, F_OK), -1);
	}
	pthread_barrier_destroy(&begin);
}

static unsigned descriptors(void)
{
	DIR           *d = opendir("/proc/self/fd");
	unsigned       nr = 0;

	CHECK(d != NULL);
	while (readdir(d) != NULL)
		nr++;
	closedir(d);
	return nr;
}

static void start_cycles(void)
{
	unsigned before = descriptors();
	uint64_t last_self = 0;

	for (int i = 0; i < 20; i++) {
		struct user u;

		user_init(&u);
		if (i % 2 == 0) {
			for (int j = 0; j < 2; j++) {
				struct peer p;

				CHECK_EQ(user_start(&u), 0);
				CHECK(u.self > last_self);
				last_self = u.self;
				peer_up(&p, u.endpoint, 1);
				user_stop(&u);
				peer_expect_end(&p);
			}
		}
		user_fini(&u);
	}
	CHECK_EQ(descriptors(), before);
}

static void stop_with_links(void)
{
	struct user  u;
	struct peer  a;
	struct peer  b;
	struct peer  unanswered;
	struct event ev;
	uint64_t     received;
	uint64_t     sent[3];
	uint64_t     la;
	uint64_t     tag;

	user_up(&u);
	peer_up(&a, u.endpoint, 1);
	la = user_link(&u, HAX_LINK_CONNECTED, 0).link;
	peer_up(&b, u.endpoint, 2);
	user_link(&u, HAX_LINK_CONNECTED, 0);
	user_set(&u, &u.auto_deliver, false);
	peer_event(&a, 1);
	received = user_next(&u, EV_MSG, la).tag;
	for (int i = 0; i < 3; i++)
		sent[i] = user_send(&u, la, OWN_PROCESS, 1, 1);
	user_set(&u, &u.auto_reply, false);
	user_next(&u, EV_REQUEST, 0);
	user_next(&u, EV_REQUEST, 0);
	peer_connect(&unanswered, u.endpoint, 3);
	peer_request(&unanswered, 1, true);
	ev = user_next(&u, EV_REQUEST, 0);
	/* Nobody agrees: stop ends all the same. */
	user_set(&u, &u.auto_disconnect, false);
	user_stop(&u);
	user_link(&u, HAX_LINK_DISCONNECTING, la);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(user_next(&u, EV_NOT_DELIVERED, la).tag, sent[i]);
	user_link(&u, HAX_LINK_DISCONNECTED, la);
	CHECK_EQ(hax_bridge_delivered(u.bridge, la, received), -ENOENT);
	CHECK_EQ(hax_bridge_disconnect(u.bridge, la), -ENOENT);
	CHECK_EQ(user_reply(&u, &ev.req_id, 0), -ENOENT);
	CHECK_EQ(hax_bridge_send_nvec(u.bridge, la,
				      &(struct hax_nvec){ 0 }, &tag), -ENOENT);
	peer_expect_end(&a);
	peer_expect_end(&b);
	peer_expect_end(&unanswered);
	user_fini(&u);
}

const struct test tests_start[] = {
	{ "start_reply_in_callback", start_reply_in_callback },
	{ "start_reply_from_thread", start_reply_from_thread },
	{ "start_refused_first", start_refused_first },
	{ "start_errors", start_errors },
	{ "start_race_for_a_path", start_race_for_a_path },
	{ "start_cycles", start_cycles },
	{ "stop_with_links", stop_with_links },
	{ NULL, NULL },
};
