/* SPDX-License-Identifier: Apache-2.0 */
#include "args.h"

#include <string.h>

bool hax_args_callbacks(const struct hax_callbacks *cb)
{
	return cb != NULL && cb->entrypoint_request != NULL &&
	       cb->msg_received != NULL && cb->msg_is_delivered != NULL &&
	       cb->msg_is_not_delivered != NULL && cb->link != NULL &&
	       cb->log != NULL;
}

/* What any backend can carry: printable ASCII, shorter than HAX_ENDPOINT_MAX. */
static bool endpoint_is_valid(const char *endpoint)
{
	size_t len = strnlen(endpoint, HAX_ENDPOINT_MAX);

	if (len >= HAX_ENDPOINT_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (endpoint[i] < 0x20 || endpoint[i] > 0x7e)
			return false;
	return true;
}

bool hax_args_reply(int rc, uint32_t confd_nr, const struct hax_fid *confd_fids,
		    const char *const *confd_endpoints, const char *rm_endpoint)
{
	if (rc > 0 || confd_nr > HAX_CONFD_MAX ||
	    (confd_nr > 0 && (confd_fids == NULL || confd_endpoints == NULL)) ||
	    (rm_endpoint != NULL && !endpoint_is_valid(rm_endpoint)))
		return false;
	for (uint32_t i = 0; i < confd_nr; i++)
		if (confd_endpoints[i] == NULL ||
		    !endpoint_is_valid(confd_endpoints[i]))
			return false;
	return true;
}

bool hax_args_notes(const struct hax_note *notes, uint64_t nr)
{
	return nr <= HAX_NOTES_MAX && (nr == 0 || notes != NULL);
}

bool hax_args_nvec(const struct hax_nvec *nvec)
{
	return nvec != NULL &&
	       (nvec->type == HAX_NVEC_SET || nvec->type == HAX_NVEC_GET) &&
	       hax_args_notes(nvec->notes, nvec->nr);
}
