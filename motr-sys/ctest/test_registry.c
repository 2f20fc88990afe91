/* SPDX-License-Identifier: Apache-2.0 */
/* The registry without a library: what is out of reach through a socket. */
#include "check.h"
#include "registry.h"

#include <errno.h>
#include <string.h>

static int handles[2];

static void give_back(void *ctx, void *handle)
{
	unsigned *nr = ctx;

	(void)handle;
	(*nr)++;
}

static struct hax_link *add(struct hax_registry *r, void *handle)
{
	const struct hax_uint128 id = { 1, 2 };
	struct hax_link         *link;

	CHECK_EQ(hax_reg_link_add(r, handle, &id, "e", &link), 0);
	CHECK(strcmp(link->endpoint, "e") == 0);
	hax_reg_link_put(r, link);
	return link;
}

static void end_all(struct hax_registry *r)
{
	struct hax_link *link;

	hax_reg_settle(r);
	while ((link = hax_reg_link_end_any(r)) != NULL)
		hax_reg_link_put(r, link);
	hax_reg_fini(r);
}

/* Beyond its limit a link's messages are kept back, all of them, in order. */
static void registry_withholds(void)
{
	unsigned            given = 0;
	struct hax_registry r;
	struct hax_link    *held;
	uint64_t            number;
	uint64_t            n;
	const char         *msg = "m";

	hax_reg_init(&r, give_back, &given);
	number = add(&r, &handles[0])->number;
	add(&r, &handles[1]);
	for (uint64_t i = 1; i <= HAX_RECEIVED_MAX; i++)
		CHECK_EQ(hax_reg_receive(&r, &handles[0], 2 * i, msg, &n),
			 HAX_REG_REPORT);
	CHECK_EQ(n, number);
	CHECK_EQ(hax_reg_receive(&r, &handles[0], 2, msg, &n), HAX_REG_AGAIN);
	CHECK_EQ(hax_reg_receive(&r, &handles[0], 200000, msg, &n),
		 HAX_REG_WITHHOLD_FIRST);
	CHECK(hax_reg_deliver(&r, number, 200000, &held) == NULL);
	/* There is room again, but the order would be lost. */
	CHECK(hax_reg_deliver(&r, number, 2, &held) == msg);
	hax_reg_link_put(&r, held);
	CHECK(hax_reg_deliver(&r, number, 2, &held) == NULL);
	CHECK_EQ(hax_reg_receive(&r, &handles[0], 200002, msg, &n),
		 HAX_REG_WITHHOLD);
	CHECK(hax_reg_deliver(&r, number, 200002, &held) == NULL);
	/* What was reported before can still be delivered. */
	CHECK(hax_reg_deliver(&r, number, 2 * HAX_RECEIVED_MAX, &held) == msg);
	hax_reg_link_put(&r, held);
	/* Other links have room of their own. */
	CHECK_EQ(hax_reg_receive(&r, &handles[1], 2, msg, &n), HAX_REG_REPORT);
	/* A link that is not kept. */
	CHECK_EQ(hax_reg_receive(&r, &given, 2, msg, &n), HAX_REG_WITHHOLD);
	CHECK_EQ(n, 0);
	end_all(&r);
	CHECK_EQ(given, 0);
}

/* The last hold gives a link back, once, unless it has ended before. */
static void registry_gives_back(void)
{
	unsigned            given = 0;
	struct hax_registry r;
	struct hax_link    *link;
	struct hax_link    *held;
	uint64_t            number;

	hax_reg_init(&r, give_back, &given);
	number = add(&r, &handles[0])->number;
	CHECK_EQ(hax_reg_link_leave(&r, number), -EINVAL);
	CHECK_EQ(hax_reg_send(&r, number, &held), 0);
	link = hax_reg_link_drop(&r, &handles[0]);
	CHECK(link == held);
	CHECK_EQ(hax_reg_link_leave(&r, number), 0);
	CHECK_EQ(hax_reg_link_leave(&r, number), -EALREADY);
	hax_reg_link_put(&r, link);
	CHECK_EQ(given, 0);
	hax_reg_link_put(&r, held);
	CHECK_EQ(given, 1);
	CHECK(hax_reg_link_get(&r, &handles[0]) == link);
	hax_reg_link_put(&r, link);
	CHECK_EQ(given, 1);
	CHECK_EQ(hax_reg_send(&r, number, &held), -ENOENT);
	CHECK_EQ(hax_reg_sent(&r, &handles[0]), number);
	link = hax_reg_link_end(&r, &handles[0]);
	CHECK_EQ(hax_reg_sent(&r, &handles[0]), 0);
	hax_reg_link_put(&r, link);
	CHECK_EQ(given, 1);
	CHECK(add(&r, &handles[0])->number == number + 1);
	end_all(&r);
}

static void registry_answers_all(void)
{
	enum { NR = 1000 };
	const struct hax_fid process = { 1, 2 };
	struct hax_registry  r;
	struct hax_uint128   id = { 0, 0 };
	struct hax_request  *mine;
	struct hax_request  *req;
	unsigned             nr = 0;

	hax_reg_init(&r, give_back, NULL);
	for (id.lo = 0; id.lo < NR; id.lo++)
		CHECK_EQ(hax_reg_request_add(&r, &id, &process, "e"), 0);
	id.lo = 7;
	mine = hax_reg_request_take(&r, &id);
	CHECK(mine != NULL);
	CHECK(hax_reg_request_take(&r, &id) == NULL);
	while ((req = hax_reg_request_take_any(&r)) != NULL) {
		CHECK(req != mine);
		hax_reg_request_done(&r, req);
		nr++;
	}
	CHECK_EQ(nr, NR - 1);
	CHECK_EQ(hax_reg_request_add(&r, &id, &process, "e"), -ESHUTDOWN);
	hax_reg_request_done(&r, mine);
	CHECK(hax_reg_request_take(&r, &id) == NULL);
	end_all(&r);
}

const struct test tests_registry[] = {
	{ "registry_withholds", registry_withholds },
	{ "registry_gives_back", registry_gives_back },
	{ "registry_answers_all", registry_answers_all },
	{ NULL, NULL },
};
