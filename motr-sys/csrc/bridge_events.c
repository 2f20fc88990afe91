/* SPDX-License-Identifier: Apache-2.0 */
/* What the library calls. */
#include "bridge_state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fid/fid.h"
#include "ha/halon/interface.h"
#include "ha/link.h"
#include "ha/msg.h"
#include "lib/types.h"

#include "msg.h"

enum { LOG_LINE_MAX = 512 };

void hax_say(struct hax_bridge *b, enum hax_log_level level, const char *fmt,
	     ...)
{
	char    line[LOG_LINE_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof line, fmt, args);
	va_end(args);
	b->cb.log(b->cb.ctx, level, line);
}

static struct hax_uint128 id_in(const struct m0_uint128 *id)
{
	return (struct hax_uint128){ id->u_hi, id->u_lo };
}

void hax_reply_again(struct hax_bridge *b, const struct hax_uint128 *req_id)
{
	const struct m0_uint128 id = { .u_hi = req_id->hi, .u_lo = req_id->lo };

	m0_halon_interface_entrypoint_reply(b->hi, &id, -EAGAIN, 0, NULL, NULL,
					    0, NULL, NULL);
}

static void on_entrypoint_request(struct m0_halon_interface *hi,
				  const struct m0_uint128 *req_id,
				  const char *remote_rpc_endpoint,
				  const struct m0_fid *process_fid,
				  const char *git_rev_id, uint64_t pid,
				  bool first_request)
{
	struct hax_bridge                  *b = hax_bridge_instance;
	const struct hax_entrypoint_request up = {
		.req_id          = id_in(req_id),
		.remote_endpoint = remote_rpc_endpoint == NULL
					? "" : remote_rpc_endpoint,
		.process         = hax_fid_in(process_fid),
		.git_rev_id      = git_rev_id == NULL ? "" : git_rev_id,
		.pid             = pid,
		.first           = first_request,
	};
	int rc = hax_reg_request_add(&b->reg, &up.req_id, &up.process,
				     up.remote_endpoint);

	(void)hi;
	if (rc == 0) {
		b->cb.entrypoint_request(b->cb.ctx, &up);
		return;
	}
	if (rc != -ESHUTDOWN)
		hax_say(b, HAX_LOG_ERROR, "entrypoint request of %s is turned "
		    "away: %s", up.remote_endpoint, strerror(-rc));
	hax_reply_again(b, &up.req_id);
}

static void on_msg_received(struct m0_halon_interface *hi,
			    struct m0_ha_link *hl, const struct m0_ha_msg *msg,
			    uint64_t tag)
{
	struct hax_bridge *b = hax_bridge_instance;
	struct hax_msg     up;
	uint64_t           number;

	switch (hax_reg_receive(&b->reg, hl, tag, msg, &number)) {
	case HAX_REG_REPORT:
		if (!hax_msg_in(msg, &up))
			hax_say(b, HAX_LOG_WARN, "message %llu of link %llu claims "
			    "more than %d notes: so many are taken",
			    (unsigned long long)tag,
			    (unsigned long long)number, HAX_NOTES_MAX);
		b->cb.msg_received(b->cb.ctx, number, tag, &up);
		break;
	case HAX_REG_AGAIN:
		hax_say(b, HAX_LOG_ERROR, "message %llu of link %llu came twice",
		    (unsigned long long)tag, (unsigned long long)number);
		m0_halon_interface_delivered(hi, hl, msg);
		break;
	case HAX_REG_WITHHOLD_FIRST:
		hax_say(b, HAX_LOG_ERROR, "no room for message %llu of link %llu: "
		    "from here on its messages are neither reported nor "
		    "acknowledged", (unsigned long long)tag,
		    (unsigned long long)number);
		break;
	case HAX_REG_WITHHOLD:
		break;
	}
}

static void on_msg_is_delivered(struct m0_halon_interface *hi,
				struct m0_ha_link *hl, uint64_t tag)
{
	struct hax_bridge *b = hax_bridge_instance;
	uint64_t           number = hax_reg_sent(&b->reg, hl);

	(void)hi;
	if (number != 0)
		b->cb.msg_is_delivered(b->cb.ctx, number, tag);
}

static void on_msg_is_not_delivered(struct m0_halon_interface *hi,
				    struct m0_ha_link *hl, uint64_t tag)
{
	struct hax_bridge *b = hax_bridge_instance;
	uint64_t           number = hax_reg_sent(&b->reg, hl);

	(void)hi;
	if (number != 0)
		b->cb.msg_is_not_delivered(b->cb.ctx, number, tag);
}

/* Reports on a link that is held, and ends the hold. */
static void report_link(struct hax_bridge *b, enum hax_link_event_kind kind,
			struct hax_link *link, const struct m0_uint128 *req_id)
{
	struct hax_link_event event = {
		.kind            = kind,
		.link            = link->number,
		.process         = link->process,
		.remote_endpoint = link->endpoint,
	};

	if (req_id != NULL)
		event.req_id = id_in(req_id);
	b->cb.link(b->cb.ctx, &event);
	hax_reg_link_put(&b->reg, link);
}

void hax_report_end(struct hax_bridge *b, struct hax_link *link)
{
	report_link(b, HAX_LINK_DISCONNECTED, link, NULL);
}

static void on_link_connected(struct m0_halon_interface *hi,
			      const struct m0_uint128 *req_id,
			      struct m0_ha_link *hl)
{
	struct hax_bridge       *b = hax_bridge_instance;
	const struct hax_uint128 id = id_in(req_id);
	char                     endpoint[HAX_ENDPOINT_MAX] = "";
	struct hax_link         *link = hax_reg_link_end(&b->reg, hl);
	int                      rc;

	(void)hi;
	if (link != NULL) {
		hax_say(b, HAX_LOG_WARN, "a link ended without being reported");
		hax_report_end(b, link);
	}
	m0_ha_link_rpc_endpoint(hl, endpoint, sizeof endpoint);
	endpoint[sizeof endpoint - 1] = '\0';
	rc = hax_reg_link_add(&b->reg, hl, &id, endpoint, &link);
	if (rc == 0)
		report_link(b, HAX_LINK_CONNECTED, link, req_id);
	else
		hax_say(b, HAX_LOG_ERROR, "link of %s cannot be kept: %s.  Nothing "
		    "of it is reported, and no message acknowledged",
		    endpoint, strerror(-rc));
}

static void on_link_reused(struct m0_halon_interface *hi,
			   const struct m0_uint128 *req_id,
			   struct m0_ha_link *hl)
{
	struct hax_bridge *b = hax_bridge_instance;
	struct hax_link   *link = hax_reg_link_get(&b->reg, hl);

	(void)hi;
	if (link != NULL)
		report_link(b, HAX_LINK_REUSED, link, req_id);
	else
		hax_say(b, HAX_LOG_WARN, "a link that is not kept was reused");
}

static void on_link_absent(struct m0_halon_interface *hi,
			   const struct m0_uint128 *req_id)
{
	struct hax_bridge          *b = hax_bridge_instance;
	const struct hax_link_event event = {
		.kind            = HAX_LINK_ABSENT,
		.req_id          = id_in(req_id),
		.remote_endpoint = "",
	};

	(void)hi;
	b->cb.link(b->cb.ctx, &event);
}

static void on_link_is_disconnecting(struct m0_halon_interface *hi,
				     struct m0_ha_link *hl)
{
	struct hax_bridge *b = hax_bridge_instance;
	struct hax_link   *link = hax_reg_link_drop(&b->reg, hl);

	if (link != NULL)
		report_link(b, HAX_LINK_DISCONNECTING, link, NULL);
	else
		/* Nobody else can agree to its end. */
		m0_halon_interface_disconnect(hi, hl);
}

static void on_link_disconnected(struct m0_halon_interface *hi,
				 struct m0_ha_link *hl)
{
	struct hax_bridge *b = hax_bridge_instance;
	struct hax_link   *link = hax_reg_link_end(&b->reg, hl);

	(void)hi;
	if (link != NULL)
		hax_report_end(b, link);
}

int hax_library_start(struct hax_bridge *b, const char *endpoint,
		      const struct m0_fid *process,
		      const struct m0_fid *ha_service,
		      const struct m0_fid *rm_service)
{
	return m0_halon_interface_start(
		b->hi, endpoint, process, ha_service, rm_service,
		on_entrypoint_request, on_msg_received, on_msg_is_delivered,
		on_msg_is_not_delivered, on_link_connected, on_link_reused,
		on_link_absent, on_link_is_disconnecting, on_link_disconnected);
}
