/* SPDX-License-Identifier: Apache-2.0 */
/* init, start, stop, fini: the life of the interface. */
#include "embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/thread.h"

int m0_halon_interface_init(struct m0_halon_interface **hi_out,
			    const char *build_git_rev_id,
			    const char *build_configure_opts,
			    const char *debug_options, const char *node_uuid)
{
	struct m0_halon_interface *hi = calloc(1, sizeof *hi);
	emb_t                     *e = calloc(1, sizeof *e);
	pthread_condattr_t         attr;

	(void)build_git_rev_id;
	(void)build_configure_opts;
	(void)debug_options;
	(void)node_uuid;
	if (hi == NULL || e == NULL) {
		free(hi);
		free(e);
		return -ENOMEM;
	}
	hi->hif_internal = e;
	e->hi = hi;
	e->epoll_fd = -1;
	e->wake_fd = -1;
	e->listen_fd = -1;
	e->spare_fd = -1;
	pthread_mutex_init(&e->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&e->changed, &attr);
	pthread_condattr_destroy(&attr);
	emb_list_init(&e->conns);
	emb_list_init(&e->dead);
	emb_list_init(&e->touched);
	emb_list_init(&e->timed);
	emb_list_init(&e->waiting);
	e->room_max = EMB_ROOM_MAX;
	emb_list_init(&e->ready);
	emb_list_init(&e->zombies);
	emb_list_init(&e->self_inbox);
	*hi_out = hi;
	return 0;
}

void m0_halon_interface_fini(struct m0_halon_interface *hi)
{
	emb_t *e = hi->hif_internal;

	while (!emb_list_is_empty(&e->zombies)) {
		struct emb_list *l = e->zombies.next;

		emb_list_del(l);
		emb_link_free(HAX_CONTAINER_OF(l, struct m0_ha_link,
					       in_ready));
	}
	hax_map_fini(&e->links);
	hax_map_fini(&e->reqs);
	pthread_cond_destroy(&e->changed);
	pthread_mutex_destroy(&e->lock);
	free(e);
	hi->hif_internal = NULL;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_all(emb_t *e)
{
	emb_endpoint_close(e);
	close_fd(&e->wake_fd);
	close_fd(&e->epoll_fd);
	close_fd(&e->spare_fd);
	e->phase = EMB_IDLE;
	e->woken = false;
	e->polling = false;
}

static int watch(emb_t *e, int *fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = fd };

	return epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, *fd, &ev) == 0 ? 0
								    : -errno;
}

static int open_all(emb_t *e)
{
	int rc;

	e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (e->epoll_fd < 0)
		return -errno;
	e->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->wake_fd < 0)
		return -errno;
	e->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	rc = emb_endpoint_listen(e);
	if (rc < 0)
		return rc;
	e->listen_fd = rc;
	rc = watch(e, &e->wake_fd);
	return rc != 0 ? rc : watch(e, &e->listen_fd);
}

/* A number no earlier run had; the clock's resolution is below a start. */
static uint64_t instance_number(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return ((uint64_t)now.tv_sec * UINT64_C(1000000000) +
		(uint64_t)now.tv_nsec) | 1;
}

/* Signals are for the threads of the program: their handlers run there. */
static int loop_start(emb_t *e)
{
	sigset_t all;
	sigset_t old;
	int      rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = -pthread_create(&e->loop, NULL, emb_loop, e);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

int m0_halon_interface_start(
	struct m0_halon_interface *hi, const char *local_rpc_endpoint,
	const struct m0_fid *process_fid, const struct m0_fid *ha_service_fid,
	const struct m0_fid *rm_service_fid,
	void (*entrypoint_request_cb)(struct m0_halon_interface *,
				      const struct m0_uint128 *, const char *,
				      const struct m0_fid *, const char *,
				      uint64_t, bool),
	void (*msg_received_cb)(struct m0_halon_interface *,
				struct m0_ha_link *, const struct m0_ha_msg *,
				uint64_t),
	void (*msg_is_delivered_cb)(struct m0_halon_interface *,
				    struct m0_ha_link *, uint64_t),
	void (*msg_is_not_delivered_cb)(struct m0_halon_interface *,
					struct m0_ha_link *, uint64_t),
	void (*link_connected_cb)(struct m0_halon_interface *,
				  const struct m0_uint128 *,
				  struct m0_ha_link *),
	void (*link_reused_cb)(struct m0_halon_interface *,
			       const struct m0_uint128 *, struct m0_ha_link *),
	void (*link_absent_cb)(struct m0_halon_interface *,
			       const struct m0_uint128 *),
	void (*link_is_disconnecting_cb)(struct m0_halon_interface *,
					 struct m0_ha_link *),
	void (*link_disconnected_cb)(struct m0_halon_interface *,
				     struct m0_ha_link *))
{
	emb_t *e = hi->hif_internal;
	int    rc;

	pthread_mutex_lock(&e->lock);
	rc = e->phase == EMB_IDLE
		? emb_endpoint_parse(local_rpc_endpoint, &e->endpoint)
		: -EALREADY;
	if (rc != 0) {
		pthread_mutex_unlock(&e->lock);
		return rc;
	}
	e->cb = (struct emb_callbacks){
		.entrypoint_request    = entrypoint_request_cb,
		.msg_received          = msg_received_cb,
		.msg_is_delivered      = msg_is_delivered_cb,
		.msg_is_not_delivered  = msg_is_not_delivered_cb,
		.link_connected        = link_connected_cb,
		.link_reused           = link_reused_cb,
		.link_absent           = link_absent_cb,
		.link_is_disconnecting = link_is_disconnecting_cb,
		.link_disconnected     = link_disconnected_cb,
	};
	e->process = *process_fid;
	e->ha_service = *ha_service_fid;
	e->rm_service = *rm_service_fid;
	e->instance = instance_number();
	e->self_ask = true;
	e->self_first = true;
	e->self_answered = false;
	e->self_tag = 0;
	e->drop_begun = false;
	e->accept_paused = false;
	e->accept_warned = false;
	rc = open_all(e);
	if (rc == 0) {
		e->phase = EMB_WORKING;
		rc = loop_start(e);
	}
	if (rc != 0)
		close_all(e);
	while (rc == 0 && !e->self_answered)
		pthread_cond_wait(&e->changed, &e->lock);
	pthread_mutex_unlock(&e->lock);
	return rc;
}

static void await_own_events(emb_t *e)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += EMB_STOP_MS / 1000;
	while (!emb_self_is_quiet(e))
		if (pthread_cond_timedwait(&e->changed, &e->lock, &until) ==
		    ETIMEDOUT)
			break;
	if (!emb_self_is_quiet(e))
		emb_log(2, "our own last events were not delivered in time");
}

void m0_halon_interface_stop(struct m0_halon_interface *hi)
{
	emb_t               *e = hi->hif_internal;
	struct hax_map_node *node;

	pthread_mutex_lock(&e->lock);
	if (e->phase != EMB_WORKING) {
		pthread_mutex_unlock(&e->lock);
		return;
	}
	e->phase = EMB_STOPPING;
	emb_endpoint_close(e);
	emb_self_post_stop(e);
	await_own_events(e);
	/* From here on a reply makes no link and runs no callback. */
	e->phase = EMB_DROPPING;
	while (e->replying > 0)
		pthread_cond_wait(&e->changed, &e->lock);
	emb_wake(e);
	pthread_mutex_unlock(&e->lock);

	pthread_join(e->loop, NULL);

	pthread_mutex_lock(&e->lock);
	emb_conn_reap(e);
	while ((node = hax_map_any(&e->reqs)) != NULL) {
		hax_map_remove(&e->reqs, node);
		emb_req_free(HAX_CONTAINER_OF(node, struct emb_req, by_id));
	}
	emb_self_fini(e);
	close_all(e);
	pthread_mutex_unlock(&e->lock);
	emb_log_flush();
}

int m0_halon_interface_thread_adopt(struct m0_halon_interface *hi,
				    struct m0_thread *thread)
{
	(void)hi;
	thread->t_state = 1;
	return 0;
}

void m0_halon_interface_thread_shun(void)
{
}
