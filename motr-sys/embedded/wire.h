/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of rfc/6-wire.md, to bytes and back.  Pure functions: no I/O, no
 * allocation, no state.
 *
 * A decoder returns NULL, or a short text that says what is wrong with the
 * frame.  An encoder returns the length of the whole frame with its header, or
 * 0 if the buffer is too short.
 */
#ifndef HAX_EMBEDDED_WIRE_H
#define HAX_EMBEDDED_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fid/fid.h"
#include "ha/msg.h"

enum {
	WIRE_HEADER_LEN    = 16,
	WIRE_PAYLOAD_MAX   = 32768,
	WIRE_FRAME_MAX     = WIRE_HEADER_LEN + WIRE_PAYLOAD_MAX,
	WIRE_DELIVERED_LEN = WIRE_HEADER_LEN + 8,
	WIRE_STR_MAX       = 255,
	WIRE_NOTES_MAX     = M0_HA_STATE_UPDATE_LIMIT,
	WIRE_CONFD_MAX     = 64,
};

enum wire_type {
	WIRE_ENTRYPOINT_REQ = 1,
	WIRE_ENTRYPOINT_REP = 2,
	WIRE_MSG            = 3,
	WIRE_DELIVERED      = 4,
};

enum wire_status {
	WIRE_CONNECTED = 0,
	WIRE_REUSED    = 1,
	WIRE_ABSENT    = 2,
};

struct wire_header {
	uint16_t type;
	uint32_t length;
};

struct wire_entrypoint_req {
	uint64_t      seq;
	bool          first;
	uint64_t      instance;
	uint64_t      link;
	struct m0_fid process;
	uint64_t      pid;
	char          endpoint[WIRE_STR_MAX + 1];
	char          git_rev[WIRE_STR_MAX + 1];
};

struct wire_entrypoint_rep {
	uint64_t             seq;
	int32_t              rc;
	uint8_t              status;
	uint64_t             instance;
	uint64_t             link;
	uint32_t             quorum;
	struct m0_fid        rm;
	const char          *rm_endpoint;
	uint16_t             nr;
	const struct m0_fid *confd_fids;
	const char *const   *confd_endpoints;
};

/** Cursor over the bytes of a payload; after a short read `bad` stays set. */
struct wire_reader {
	const uint8_t *at;
	const uint8_t *end;
	bool           bad;
};

uint8_t       wire_get_u8(struct wire_reader *r);
uint16_t      wire_get_u16(struct wire_reader *r);
uint32_t      wire_get_u32(struct wire_reader *r);
uint64_t      wire_get_u64(struct wire_reader *r);
struct m0_fid wire_get_fid(struct wire_reader *r);

/** Cursor over a buffer to fill; after a short write `bad` stays set. */
struct wire_writer {
	uint8_t *at;
	uint8_t *end;
	bool     bad;
};

void wire_put_u8(struct wire_writer *w, uint8_t v);
void wire_put_u16(struct wire_writer *w, uint16_t v);
void wire_put_u32(struct wire_writer *w, uint32_t v);
void wire_put_u64(struct wire_writer *w, uint64_t v);
void wire_put_fid(struct wire_writer *w, const struct m0_fid *fid);
void wire_put_header(struct wire_writer *w, uint16_t type, uint32_t length);

/** `buf` has WIRE_HEADER_LEN bytes. */
const char *wire_header_decode(const uint8_t *buf, struct wire_header *out);

const char *wire_entrypoint_req_decode(const uint8_t *payload, size_t len,
				       struct wire_entrypoint_req *out);
size_t      wire_entrypoint_rep_encode(uint8_t *buf, size_t cap,
				       const struct wire_entrypoint_rep *rep);

const char *wire_delivered_decode(const uint8_t *payload, size_t len,
				  uint64_t *tag);
size_t      wire_delivered_encode(uint8_t *buf, size_t cap, uint64_t tag);

/**
 * Reads what is needed before a message can be decoded: its tag, and how much of
 * a m0_ha_msg its content takes (see ha/msg.h of this backend).
 */
const char *wire_msg_peek(const uint8_t *payload, size_t len, uint64_t *tag,
			  size_t *msg_size);
/** `msg` has the bytes that wire_msg_peek() told, all zero. */
const char *wire_msg_decode(const uint8_t *payload, size_t len,
			    struct m0_ha_msg *msg);
/** Length of the frame of `msg`; 0 if it cannot be sent. */
size_t      wire_msg_len(const struct m0_ha_msg *msg);
size_t      wire_msg_encode(uint8_t *buf, size_t cap, uint64_t tag,
			    const struct m0_ha_msg *msg);
/** The tag of an encoded message, of which the tag at least is there. */
uint64_t    wire_msg_tag(const uint8_t *frame);
/** Sets the tag of an encoded message. */
void        wire_msg_retag(uint8_t *frame, uint64_t tag);

/** Name of a frame type, for people. */
const char *wire_type_name(uint16_t type);

#endif
