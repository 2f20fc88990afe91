/* SPDX-License-Identifier: Apache-2.0 */
#include "registry_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void hax_reg_init(struct hax_registry *r,
		  void (*give_back)(void *ctx, void *handle), void *ctx)
{
	*r = (struct hax_registry){ .give_back = give_back, .ctx = ctx };
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->idle, NULL);
}

void hax_reg_fini(struct hax_registry *r)
{
	hax_map_fini(&r->requests);
	hax_map_fini(&r->links);
	hax_map_fini(&r->handles);
	pthread_cond_destroy(&r->idle);
	pthread_mutex_destroy(&r->lock);
}

void hax_reg_open(struct hax_registry *r, const struct hax_fid *process)
{
	pthread_mutex_lock(&r->lock);
	r->process = *process;
	r->stopping = false;
	pthread_mutex_unlock(&r->lock);
}

struct hax_fid hax_reg_process(struct hax_registry *r)
{
	struct hax_fid process;

	pthread_mutex_lock(&r->lock);
	process = r->process;
	pthread_mutex_unlock(&r->lock);
	return process;
}

void hax_reg_call_end(struct hax_registry *r)
{
	if (--r->calls == 0)
		pthread_cond_broadcast(&r->idle);
}

static uint64_t request_key(const struct hax_uint128 *id)
{
	return id->lo ^ (id->hi * UINT64_C(0x9e3779b97f4a7c15));
}

static struct hax_request *request_of(struct hax_map_node *node)
{
	return HAX_CONTAINER_OF(node, struct hax_request, by_id);
}

struct hax_request *hax_reg_request_find(struct hax_registry *r,
					 const struct hax_uint128 *id)
{
	struct hax_map_node *node = hax_map_find(&r->requests, request_key(id));

	for (; node != NULL; node = hax_map_same(node)) {
		struct hax_request *req = request_of(node);

		if (req->id.hi == id->hi && req->id.lo == id->lo)
			return req;
	}
	return NULL;
}

static void request_del(struct hax_registry *r, struct hax_request *req)
{
	hax_map_remove(&r->requests, &req->by_id);
	free(req);
}

int hax_reg_request_add(struct hax_registry *r, const struct hax_uint128 *id,
			const struct hax_fid *process, const char *endpoint)
{
	struct hax_request *req = calloc(1, sizeof *req);
	int                 rc = req == NULL ? -ENOMEM : 0;

	if (req != NULL) {
		req->id = *id;
		req->process = *process;
		snprintf(req->endpoint, sizeof req->endpoint, "%s", endpoint);
	}
	pthread_mutex_lock(&r->lock);
	if (r->stopping)
		rc = -ESHUTDOWN;
	else if (r->requests.nr >= HAX_REQUESTS_MAX)
		rc = -ENOSPC;
	if (rc == 0)
		rc = hax_map_insert(&r->requests, &req->by_id,
				    request_key(id));
	pthread_mutex_unlock(&r->lock);
	if (rc != 0)
		free(req);
	return rc;
}

static void request_hold(struct hax_registry *r, struct hax_request *req)
{
	req->replying = true;
	r->calls++;
}

struct hax_request *hax_reg_request_take(struct hax_registry *r,
					 const struct hax_uint128 *id)
{
	struct hax_request *req;

	pthread_mutex_lock(&r->lock);
	req = hax_reg_request_find(r, id);
	if (req != NULL && req->replying)
		req = NULL;
	if (req != NULL)
		request_hold(r, req);
	pthread_mutex_unlock(&r->lock);
	return req;
}

struct hax_request *hax_reg_request_take_any(struct hax_registry *r)
{
	struct hax_request  *req = NULL;
	struct hax_map_node *node;

	pthread_mutex_lock(&r->lock);
	r->stopping = true;
	/* The few that are skipped are being answered by other threads. */
	for (node = hax_map_any(&r->requests); node != NULL;
	     node = hax_map_next(&r->requests, node))
		if (!request_of(node)->replying) {
			req = request_of(node);
			request_hold(r, req);
			break;
		}
	pthread_mutex_unlock(&r->lock);
	return req;
}

void hax_reg_request_done(struct hax_registry *r, struct hax_request *req)
{
	pthread_mutex_lock(&r->lock);
	request_del(r, req);
	hax_reg_call_end(r);
	pthread_mutex_unlock(&r->lock);
}

void hax_reg_settle(struct hax_registry *r)
{
	struct hax_map_node *node;

	pthread_mutex_lock(&r->lock);
	while (r->calls > 0)
		pthread_cond_wait(&r->idle, &r->lock);
	while ((node = hax_map_any(&r->requests)) != NULL)
		request_del(r, request_of(node));
	pthread_mutex_unlock(&r->lock);
}
