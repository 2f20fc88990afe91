/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that does all I/O and runs the callbacks. */
#include "embedded.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 64 };

uint64_t emb_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void emb_wake(emb_t *e)
{
	const uint64_t one = 1;

	/* A loop that is at work looks once more before it sleeps. */
	if (e->woken || !e->polling || e->wake_fd < 0)
		return;
	e->woken = true;
	/* It cannot block: the counter is 0 or nearly so. */
	while (write(e->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
		;
}

static void drain_wake(emb_t *e)
{
	uint64_t n;

	while (read(e->wake_fd, &n, sizeof n) < 0 && errno == EINTR)
		;
	e->woken = false;
}

static void drop_everything(emb_t *e)
{
	struct hax_map_node *node = NULL;

	e->drop_begun = true;
	e->drop_deadline_ms = emb_now_ms() + EMB_STOP_MS;
	while (!emb_list_is_empty(&e->conns))
		emb_conn_close(e, HAX_CONTAINER_OF(
			e->conns.next, struct emb_conn, in_all));
	while ((node = hax_map_next(&e->links, node)) != NULL)
		emb_link_drop(e, HAX_CONTAINER_OF(
			node, struct m0_ha_link, by_id));
}

/* Time is over: links that wait for a disconnect end without it. */
static void force_end(emb_t *e)
{
	struct hax_map_node *node = NULL;

	while ((node = hax_map_next(&e->links, node)) != NULL)
		emb_link_touch(e, HAX_CONTAINER_OF(
			node, struct m0_ha_link, by_id));
}

/* One pass over what other threads and callbacks have left to do. */
static void work(emb_t *e)
{
	struct emb_list now;

	emb_self_step(e);
	if (e->phase == EMB_DROPPING && !e->drop_begun)
		drop_everything(e);

	/* What is touched during the pass waits for the next one. */
	emb_list_init(&now);
	while (!emb_list_is_empty(&e->touched)) {
		struct emb_list *l = e->touched.next;

		emb_list_del(l);
		emb_list_add(&now, l);
	}
	while (!emb_list_is_empty(&now)) {
		struct emb_list *l = now.next;

		emb_list_del(l);
		emb_conn_service(e, HAX_CONTAINER_OF(
			l, struct emb_conn, in_touched));
	}
	while (!emb_list_is_empty(&e->ready)) {
		struct emb_list *l = e->ready.next;

		emb_list_del(l);
		emb_list_add(&now, l);
	}
	while (!emb_list_is_empty(&now)) {
		struct emb_list *l = now.next;

		emb_list_del(l);
		emb_link_step(e, HAX_CONTAINER_OF(
			l, struct m0_ha_link, in_ready));
	}
	emb_room_admit(e);
}

static bool work_waits(const emb_t *e)
{
	return !emb_list_is_empty(&e->touched) ||
	       !emb_list_is_empty(&e->ready) || e->self_ask ||
	       !emb_list_is_empty(&e->self_inbox) ||
	       (e->phase == EMB_DROPPING && !e->drop_begun);
}

static int timeout_ms(const emb_t *e)
{
	uint64_t now = emb_now_ms();
	uint64_t at = UINT64_MAX;

	if (work_waits(e))
		return 0;
	if (!emb_list_is_empty(&e->timed))
		at = HAX_CONTAINER_OF(e->timed.next, struct emb_conn,
				      in_timed)->deadline_ms;
	if (e->accept_paused && e->accept_resume_ms < at)
		at = e->accept_resume_ms;
	if (e->drop_begun && e->drop_deadline_ms < at)
		at = e->drop_deadline_ms;
	if (at == UINT64_MAX)
		return -1;
	return at <= now ? 0 : (int)(at - now);
}

void *emb_loop(void *arg)
{
	emb_t             *e = arg;
	struct epoll_event events[EVENTS_MAX];

	pthread_mutex_lock(&e->lock);
	for (;;) {
		uint64_t now;
		int      timeout;
		int      n;

		work(e);
		emb_conn_reap(e);
		if (e->drop_begun && e->links.nr == 0)
			break;
		timeout = timeout_ms(e);
		e->polling = timeout != 0;
		pthread_mutex_unlock(&e->lock);
		emb_log_flush();
		n = epoll_wait(e->epoll_fd, events, EVENTS_MAX, timeout);
		pthread_mutex_lock(&e->lock);
		e->polling = false;
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &e->wake_fd)
				drain_wake(e);
			else if (events[i].data.ptr != &e->listen_fd)
				emb_conn_event(e, events[i].data.ptr,
					       events[i].events);
			else if (e->listen_fd >= 0)
				emb_conn_accept(e);
		}
		now = emb_now_ms();
		emb_conn_expire(e, now);
		if (e->accept_paused && now >= e->accept_resume_ms)
			emb_conn_accept_resume(e);
		if (e->drop_begun && now >= e->drop_deadline_ms)
			force_end(e);
	}
	pthread_mutex_unlock(&e->lock);
	emb_log_flush();
	return NULL;
}
