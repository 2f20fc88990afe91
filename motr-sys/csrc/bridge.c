/* SPDX-License-Identifier: Apache-2.0 */
/* The life of an interface, and the threads that may use it. */
#include "bridge_state.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "fid/fid.h"
#include "ha/halon/interface.h"
#include "lib/thread.h"

#include "args.h"
#include "backend.h"
#include "msg.h"

#ifndef HAX_BACKEND
#error "HAX_BACKEND is the name of the backend, a string: see build.rs"
#endif
#ifndef HAX_BACKEND_VERSION
#error "HAX_BACKEND_VERSION is the version of the backend, a string: see build.rs"
#endif

struct hax_thread {
	struct m0_thread thread;
};

static pthread_mutex_t instance_lock = PTHREAD_MUTEX_INITIALIZER;
struct hax_bridge     *hax_bridge_instance;

static void backend_log(void *ctx, int level, const char *text)
{
	struct hax_bridge *b = ctx;

	b->cb.log(b->cb.ctx, (enum hax_log_level)level, text);
}

const char *hax_bridge_backend(void)
{
	return HAX_BACKEND;
}

const char *hax_bridge_version(void)
{
	return HAX_BACKEND_VERSION;
}

static void give_back(void *ctx, void *handle)
{
	struct hax_bridge *b = ctx;

	m0_halon_interface_disconnect(b->hi, handle);
}

static void bridge_free(struct hax_bridge *b)
{
	hax_backend_set_log(NULL, NULL);
	pthread_mutex_lock(&instance_lock);
	hax_bridge_instance = NULL;
	pthread_mutex_unlock(&instance_lock);
	hax_reg_fini(&b->reg);
	free(b);
}

int hax_bridge_init(struct hax_bridge **out, const char *node_uuid,
		    const struct hax_callbacks *callbacks)
{
	struct hax_bridge *b;
	bool               taken;
	int                rc;

	if (out == NULL || !hax_args_callbacks(callbacks))
		return -EINVAL;
	b = calloc(1, sizeof *b);
	if (b == NULL)
		return -ENOMEM;
	pthread_mutex_lock(&instance_lock);
	taken = hax_bridge_instance != NULL;
	if (!taken)
		hax_bridge_instance = b;
	pthread_mutex_unlock(&instance_lock);
	if (taken) {
		free(b);
		return -EBUSY;
	}
	b->cb = *callbacks;
	hax_reg_init(&b->reg, give_back, b);
	hax_backend_set_log(backend_log, b);
	/* The versions need not be compared: we link what we found. */
	rc = m0_halon_interface_init(&b->hi, "", "",
				     "disable-compatibility-check", node_uuid);
	if (rc != 0) {
		bridge_free(b);
		return rc;
	}
	rc = hax_backend_opened();
	if (rc != 0) {
		m0_halon_interface_fini(b->hi);
		free(b->hi);
		bridge_free(b);
		return rc;
	}
	*out = b;
	return 0;
}

/* Waits for calls on other threads, then forgets what the library forgot. */
static void settle(struct hax_bridge *b)
{
	struct hax_link *link;

	hax_reg_settle(&b->reg);
	while ((link = hax_reg_link_end_any(&b->reg)) != NULL)
		hax_report_end(b, link);
}

int hax_bridge_start(struct hax_bridge *b, const char *endpoint,
		     const struct hax_fid *process,
		     const struct hax_fid *ha_service,
		     const struct hax_fid *rm_service)
{
	struct m0_fid process_fid;
	struct m0_fid ha_fid;
	struct m0_fid rm_fid;
	int           rc;

	if (b == NULL || endpoint == NULL || process == NULL ||
	    ha_service == NULL || rm_service == NULL)
		return -EINVAL;
	if (b->started)
		return -EALREADY;
	process_fid = hax_fid_out(process);
	ha_fid = hax_fid_out(ha_service);
	rm_fid = hax_fid_out(rm_service);
	rc = hax_backend_starting(endpoint);
	if (rc != 0)
		return rc;
	hax_reg_open(&b->reg, process);
	rc = hax_library_start(b, endpoint, &process_fid, &ha_fid, &rm_fid);
	if (rc == 0)
		hax_backend_started();
	else
		settle(b);
	b->started = rc == 0;
	return rc;
}

void hax_bridge_stop(struct hax_bridge *b)
{
	struct hax_request *req;

	if (b == NULL || !b->started)
		return;
	/* The library does not stop while a process waits for its entrypoint. */
	while ((req = hax_reg_request_take_any(&b->reg)) != NULL) {
		hax_reply_again(b, &req->id);
		hax_reg_request_done(&b->reg, req);
	}
	m0_halon_interface_stop(b->hi);
	settle(b);
	b->started = false;
}

void hax_bridge_fini(struct hax_bridge *b)
{
	if (b == NULL)
		return;
	hax_backend_closing();
	m0_halon_interface_fini(b->hi);
	free(b->hi);
	bridge_free(b);
}

int hax_bridge_thread_adopt(struct hax_bridge *b, struct hax_thread **out)
{
	struct hax_thread *thread;
	int                rc;

	if (b == NULL || out == NULL)
		return -EINVAL;
	thread = calloc(1, sizeof *thread);
	if (thread == NULL)
		return -ENOMEM;
	rc = m0_halon_interface_thread_adopt(b->hi, &thread->thread);
	if (rc != 0) {
		free(thread);
		return rc;
	}
	*out = thread;
	return 0;
}

void hax_bridge_thread_shun(struct hax_thread *thread)
{
	if (thread == NULL)
		return;
	m0_halon_interface_thread_shun();
	free(thread);
}
