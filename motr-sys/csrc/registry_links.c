/* SPDX-License-Identifier: Apache-2.0 */
/* The registry's links and their messages. */
#include "registry_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/** A message that the user has not delivered yet. */
struct received {
	struct hax_map_node by_tag;
	const void         *msg;
};

/*
 * Goes on over fini and init, so that a number is never used twice.  Protected
 * by the lock of the one registry there is in a process.
 */
static uint64_t number_last;

static struct hax_link *find_number(struct hax_registry *r, uint64_t number)
{
	struct hax_map_node *node = hax_map_find(&r->links, number);

	return node == NULL ? NULL : HAX_CONTAINER_OF(node, struct hax_link,
						      by_number);
}

static struct hax_link *find_handle(struct hax_registry *r, const void *handle)
{
	struct hax_map_node *node =
		hax_map_find(&r->handles, (uintptr_t)handle);

	return node == NULL ? NULL : HAX_CONTAINER_OF(node, struct hax_link,
						      by_handle);
}

static void hold(struct hax_registry *r, struct hax_link *link)
{
	link->refs++;
	r->calls++;
}

static void link_free(struct hax_link *link)
{
	struct hax_map_node *node;

	while ((node = hax_map_any(&link->received)) != NULL) {
		hax_map_remove(&link->received, node);
		free(HAX_CONTAINER_OF(node, struct received, by_tag));
	}
	hax_map_fini(&link->received);
	free(link);
}

/* Drops and takes the lock again when the link has to be given back. */
static void put(struct hax_registry *r, struct hax_link *link)
{
	if (link->refs == 1 && link->state == HAX_LINK_LEAVING &&
	    !link->given_back && !link->gone) {
		link->given_back = true;
		pthread_mutex_unlock(&r->lock);
		r->give_back(r->ctx, link->handle);
		pthread_mutex_lock(&r->lock);
	}
	if (--link->refs == 0 && link->gone)
		link_free(link);
	hax_reg_call_end(r);
}

static int tables_add(struct hax_registry *r, struct hax_link *link)
{
	int rc;

	if (r->links.nr >= HAX_LINKS_MAX)
		return -ENOSPC;
	link->number = number_last + 1;
	rc = hax_map_insert(&r->links, &link->by_number, link->number);
	if (rc != 0)
		return rc;
	rc = hax_map_insert(&r->handles, &link->by_handle,
			    (uintptr_t)link->handle);
	if (rc != 0) {
		hax_map_remove(&r->links, &link->by_number);
		return rc;
	}
	number_last++;
	return 0;
}

int hax_reg_link_add(struct hax_registry *r, void *handle,
		     const struct hax_uint128 *req_id, const char *endpoint,
		     struct hax_link **out)
{
	struct hax_link          *link = calloc(1, sizeof *link);
	const struct hax_request *req;
	int                       rc;

	if (link == NULL)
		return -ENOMEM;
	link->handle = handle;
	pthread_mutex_lock(&r->lock);
	req = hax_reg_request_find(r, req_id);
	if (req != NULL) {
		link->process = req->process;
		if (req->endpoint[0] != '\0')
			endpoint = req->endpoint;
	}
	snprintf(link->endpoint, sizeof link->endpoint, "%s", endpoint);
	rc = tables_add(r, link);
	if (rc == 0)
		hold(r, link);
	pthread_mutex_unlock(&r->lock);
	if (rc != 0)
		free(link);
	else
		*out = link;
	return rc;
}

struct hax_link *hax_reg_link_get(struct hax_registry *r, const void *handle)
{
	struct hax_link *link;

	pthread_mutex_lock(&r->lock);
	link = find_handle(r, handle);
	if (link != NULL)
		hold(r, link);
	pthread_mutex_unlock(&r->lock);
	return link;
}

struct hax_link *hax_reg_link_drop(struct hax_registry *r, const void *handle)
{
	struct hax_link *link;

	pthread_mutex_lock(&r->lock);
	link = find_handle(r, handle);
	if (link != NULL) {
		hold(r, link);
		if (link->state == HAX_LINK_ACTIVE)
			link->state = HAX_LINK_DROPPING;
	}
	pthread_mutex_unlock(&r->lock);
	return link;
}

int hax_reg_link_leave(struct hax_registry *r, uint64_t number)
{
	struct hax_link *link;
	int              rc = 0;

	pthread_mutex_lock(&r->lock);
	link = find_number(r, number);
	if (link == NULL)
		rc = -ENOENT;
	else if (link->state == HAX_LINK_ACTIVE)
		rc = -EINVAL;
	else if (link->state == HAX_LINK_LEAVING)
		rc = -EALREADY;
	if (rc == 0) {
		hold(r, link);
		link->state = HAX_LINK_LEAVING;
		put(r, link);
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

/* The reference that is taken keeps the memory. */
static void tables_del(struct hax_registry *r, struct hax_link *link)
{
	hold(r, link);
	hax_map_remove(&r->links, &link->by_number);
	hax_map_remove(&r->handles, &link->by_handle);
	link->gone = true;
}

struct hax_link *hax_reg_link_end(struct hax_registry *r, const void *handle)
{
	struct hax_link *link;

	pthread_mutex_lock(&r->lock);
	link = find_handle(r, handle);
	if (link != NULL)
		tables_del(r, link);
	pthread_mutex_unlock(&r->lock);
	return link;
}

struct hax_link *hax_reg_link_end_any(struct hax_registry *r)
{
	struct hax_link     *link = NULL;
	struct hax_map_node *node;

	pthread_mutex_lock(&r->lock);
	node = hax_map_any(&r->links);
	if (node != NULL) {
		link = HAX_CONTAINER_OF(node, struct hax_link, by_number);
		tables_del(r, link);
	}
	pthread_mutex_unlock(&r->lock);
	return link;
}

void hax_reg_link_put(struct hax_registry *r, struct hax_link *link)
{
	pthread_mutex_lock(&r->lock);
	put(r, link);
	pthread_mutex_unlock(&r->lock);
}

int hax_reg_send(struct hax_registry *r, uint64_t number, struct hax_link **out)
{
	struct hax_link *link;
	int              rc = 0;

	pthread_mutex_lock(&r->lock);
	link = find_number(r, number);
	if (link == NULL || link->state == HAX_LINK_LEAVING) {
		rc = -ENOENT;
	} else if (link->sent >= HAX_SENT_MAX) {
		rc = -ENOBUFS;
	} else {
		hold(r, link);
		link->sent++;
		*out = link;
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

uint64_t hax_reg_sent(struct hax_registry *r, const void *handle)
{
	struct hax_link *link;
	uint64_t         number = 0;

	pthread_mutex_lock(&r->lock);
	link = find_handle(r, handle);
	if (link != NULL) {
		number = link->number;
		if (link->sent > 0)
			link->sent--;
	}
	pthread_mutex_unlock(&r->lock);
	return number;
}

static enum hax_reg_received receive(struct hax_link *link,
				     struct received *rec, uint64_t tag)
{
	if (link->withheld)
		return HAX_REG_WITHHOLD;
	if (hax_map_find(&link->received, tag) != NULL)
		return HAX_REG_AGAIN;
	if (rec == NULL || link->received.nr >= HAX_RECEIVED_MAX ||
	    hax_map_insert(&link->received, &rec->by_tag, tag) != 0) {
		link->withheld = true;
		return HAX_REG_WITHHOLD_FIRST;
	}
	return HAX_REG_REPORT;
}

enum hax_reg_received hax_reg_receive(struct hax_registry *r,
				      const void *handle, uint64_t tag,
				      const void *msg, uint64_t *number)
{
	struct received      *rec = calloc(1, sizeof *rec);
	enum hax_reg_received what = HAX_REG_WITHHOLD;
	struct hax_link      *link;

	*number = 0;
	if (rec != NULL)
		rec->msg = msg;
	pthread_mutex_lock(&r->lock);
	link = find_handle(r, handle);
	if (link != NULL) {
		*number = link->number;
		what = receive(link, rec, tag);
	}
	pthread_mutex_unlock(&r->lock);
	if (what != HAX_REG_REPORT)
		free(rec);
	return what;
}

const void *hax_reg_deliver(struct hax_registry *r, uint64_t number,
			    uint64_t tag, struct hax_link **out)
{
	struct hax_map_node *node = NULL;
	const void          *msg = NULL;
	struct hax_link     *link;

	pthread_mutex_lock(&r->lock);
	link = find_number(r, number);
	if (link != NULL && link->state != HAX_LINK_LEAVING)
		node = hax_map_find(&link->received, tag);
	if (node != NULL) {
		struct received *rec =
			HAX_CONTAINER_OF(node, struct received, by_tag);

		hax_map_remove(&link->received, node);
		msg = rec->msg;
		free(rec);
		hold(r, link);
		*out = link;
	}
	pthread_mutex_unlock(&r->lock);
	return msg;
}
