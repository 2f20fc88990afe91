/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process in the tests: a raw socket, and its own idea of rfc/6-wire.md.
 */
#ifndef HAX_CTEST_PEER_H
#define HAX_CTEST_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bridge.h"
#include "check.h"

enum { REQ = 1, REP = 2, MSG = 3, DELIVERED = 4 };
enum { CONNECTED = 0, REUSED = 1, ABSENT = 2 };

struct bytes {
	size_t  len;
	uint8_t data[70000];
};

void b8(struct bytes *b, uint8_t v);
void b16(struct bytes *b, uint16_t v);
void b32(struct bytes *b, uint32_t v);
void b64(struct bytes *b, uint64_t v);
void bfid(struct bytes *b, struct hax_fid fid);
void bstr(struct bytes *b, const char *s);
/* Begins a frame; frame_end() sets its length. */
void frame_begin(struct bytes *b, uint16_t type);
void frame_end(struct bytes *b);

struct peer {
	int            fd;
	struct hax_fid process;
	/* What the last reply said. */
	uint64_t       instance;
	uint64_t       link;
	uint64_t       tag;
};

struct frame {
	uint16_t type;
	size_t   len;
	/* Of MSG and DELIVERED. */
	uint64_t tag;
	/* Of MSG. */
	uint32_t msg_type;
	uint8_t  payload[32768];
};

struct reply {
	uint64_t seq;
	int32_t  rc;
	uint8_t  status;
	uint64_t instance;
	uint64_t link;
	uint32_t quorum;
	uint16_t nr;
};

/* The two halves of peer_connect(). */
void peer_socket(struct peer *p, const char *endpoint, uint64_t key);
void peer_dial(struct peer *p, const char *endpoint);
void peer_connect(struct peer *p, const char *endpoint, uint64_t key);
/* A connection, a first request and its reply. */
void peer_up(struct peer *p, const char *endpoint, uint64_t key);
/* A new connection with what is known of the link. */
struct reply peer_again(struct peer *p, const char *endpoint);
void peer_close(struct peer *p);
void peer_send(struct peer *p, const struct bytes *b);
void peer_request(struct peer *p, uint64_t seq, bool first);
struct reply peer_reply(struct peer *p);
/* @return false at the end of the connection */
bool peer_frame(struct peer *p, struct frame *f);
void peer_expect_end(struct peer *p);
/* The next frame is this one. */
void peer_expect_delivered(struct peer *p, uint64_t tag);
uint64_t peer_expect_msg(struct peer *p, uint32_t msg_type);
void peer_delivered(struct peer *p, uint64_t tag);
/* Head of a MSG frame, up to the body. */
void msg_begin(struct bytes *b, uint64_t tag, uint32_t type);
void msg_event(struct bytes *b, uint64_t tag, uint64_t event);
void msg_nvec(struct bytes *b, uint64_t tag, uint32_t nr, uint32_t state);
/* A process event with the next tag, which is returned. */
uint64_t peer_event(struct peer *p, uint64_t event);
void peer_event_tagged(struct peer *p, uint64_t tag, uint64_t event);

#endif
