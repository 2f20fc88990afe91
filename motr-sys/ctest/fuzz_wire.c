/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libFuzzer's entry to the wire decoder.  The first bytes of the input are a
 * frame, or with a wrong magic a payload for every decoder.  What is decoded as
 * a message must be encoded to the same bytes.
 */
#include "check.h"
#include "wire.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void message(const uint8_t *payload, size_t len)
{
	static uint8_t    frame[WIRE_FRAME_MAX];
	struct m0_ha_msg *msg;
	const char       *why;
	uint64_t          tag;
	size_t            size;
	size_t            n;

	if (wire_msg_peek(payload, len, &tag, &size) != NULL)
		return;
	CHECK(size <= sizeof *msg);
	/* As long as the bridge makes it, so that ASan sees its end. */
	msg = calloc(1, size);
	CHECK(msg != NULL);
	why = wire_msg_decode(payload, len, msg);
	if (why == NULL) {
		n = wire_msg_encode(frame, sizeof frame, 0, msg);
		CHECK_EQ(n, WIRE_HEADER_LEN + len);
		CHECK_EQ(n, wire_msg_len(msg));
		wire_msg_retag(frame, tag);
		CHECK(memcmp(frame + WIRE_HEADER_LEN, payload, len) == 0);
	}
	free(msg);
}

static void request(const uint8_t *payload, size_t len)
{
	struct wire_entrypoint_req req;

	if (wire_entrypoint_req_decode(payload, len, &req) != NULL)
		return;
	CHECK(strlen(req.endpoint) <= WIRE_STR_MAX);
	CHECK(strlen(req.git_rev) <= WIRE_STR_MAX);
	CHECK_EQ(len, 8 + 1 + 8 + 8 + 16 + 8 + 2 + strlen(req.endpoint) + 2 +
		      strlen(req.git_rev));
}

static void delivered(const uint8_t *payload, size_t len)
{
	uint8_t  frame[WIRE_DELIVERED_LEN];
	uint64_t tag;

	if (wire_delivered_decode(payload, len, &tag) != NULL)
		return;
	CHECK_EQ(wire_delivered_encode(frame, sizeof frame, tag), sizeof frame);
	CHECK_EQ(len, 8);
	CHECK(memcmp(frame + WIRE_HEADER_LEN, payload, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct wire_header h;
	uint8_t           *payload;

	if (len < WIRE_HEADER_LEN)
		return 0;
	if (wire_header_decode(data, &h) == NULL) {
		CHECK(h.length <= WIRE_PAYLOAD_MAX);
		data += WIRE_HEADER_LEN;
		len -= WIRE_HEADER_LEN;
		if (len < h.length)
			return 0;
		len = h.length;
	}
	if (len > WIRE_PAYLOAD_MAX)
		return 0;
	/* A copy of its own, so that ASan sees its end. */
	payload = malloc(len);
	CHECK(payload != NULL || len == 0);
	if (len > 0)
		memcpy(payload, data, len);
	message(payload, len);
	request(payload, len);
	delivered(payload, len);
	free(payload);
	return 0;
}
