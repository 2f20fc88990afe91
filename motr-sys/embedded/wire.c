/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <string.h>

enum { WIRE_VERSION = 1 };

static const uint8_t magic[4] = { 'H', 'A', 'X', 'L' };

static uint64_t get(struct wire_reader *r, size_t bytes)
{
	uint64_t v = 0;

	if (r->bad || (size_t)(r->end - r->at) < bytes) {
		r->bad = true;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)r->at[i] << (8 * i);
	r->at += bytes;
	return v;
}

uint8_t wire_get_u8(struct wire_reader *r)
{
	return (uint8_t)get(r, 1);
}

uint16_t wire_get_u16(struct wire_reader *r)
{
	return (uint16_t)get(r, 2);
}

uint32_t wire_get_u32(struct wire_reader *r)
{
	return (uint32_t)get(r, 4);
}

uint64_t wire_get_u64(struct wire_reader *r)
{
	return get(r, 8);
}

struct m0_fid wire_get_fid(struct wire_reader *r)
{
	struct m0_fid fid;

	fid.f_container = wire_get_u64(r);
	fid.f_key = wire_get_u64(r);
	return fid;
}

/* `out` has WIRE_STR_MAX + 1 bytes. */
static const char *get_str(struct wire_reader *r, char *out)
{
	uint16_t len = wire_get_u16(r);

	if (r->bad)
		return "payload is too short";
	if (len > WIRE_STR_MAX)
		return "string is too long";
	if ((size_t)(r->end - r->at) < len) {
		r->bad = true;
		return "payload is too short";
	}
	for (uint16_t i = 0; i < len; i++) {
		if (r->at[i] < 0x20 || r->at[i] > 0x7e)
			return "string is not printable";
		out[i] = (char)r->at[i];
	}
	out[len] = '\0';
	r->at += len;
	return NULL;
}

static const char *at_end(const struct wire_reader *r)
{
	if (r->bad)
		return "payload is too short";
	return r->at == r->end ? NULL : "payload is too long";
}

static void put(struct wire_writer *w, uint64_t v, size_t bytes)
{
	if (w->bad || (size_t)(w->end - w->at) < bytes) {
		w->bad = true;
		return;
	}
	for (size_t i = 0; i < bytes; i++)
		w->at[i] = (uint8_t)(v >> (8 * i));
	w->at += bytes;
}

void wire_put_u8(struct wire_writer *w, uint8_t v)
{
	put(w, v, 1);
}

void wire_put_u16(struct wire_writer *w, uint16_t v)
{
	put(w, v, 2);
}

void wire_put_u32(struct wire_writer *w, uint32_t v)
{
	put(w, v, 4);
}

void wire_put_u64(struct wire_writer *w, uint64_t v)
{
	put(w, v, 8);
}

void wire_put_fid(struct wire_writer *w, const struct m0_fid *fid)
{
	wire_put_u64(w, fid->f_container);
	wire_put_u64(w, fid->f_key);
}

static void put_str(struct wire_writer *w, const char *str)
{
	size_t len = strnlen(str, WIRE_STR_MAX + 1);

	if (len > WIRE_STR_MAX) {
		w->bad = true;
		return;
	}
	wire_put_u16(w, (uint16_t)len);
	if (w->bad || (size_t)(w->end - w->at) < len) {
		w->bad = true;
		return;
	}
	memcpy(w->at, str, len);
	w->at += len;
}

void wire_put_header(struct wire_writer *w, uint16_t type, uint32_t length)
{
	for (size_t i = 0; i < sizeof magic; i++)
		wire_put_u8(w, magic[i]);
	wire_put_u16(w, WIRE_VERSION);
	wire_put_u16(w, type);
	wire_put_u32(w, length);
	wire_put_u32(w, 0);
}

const char *wire_header_decode(const uint8_t *buf, struct wire_header *out)
{
	struct wire_reader r = { buf, buf + WIRE_HEADER_LEN, false };
	uint16_t           version;

	out->type = 0;
	out->length = 0;
	if (memcmp(buf, magic, sizeof magic) != 0)
		return "wrong magic";
	r.at += sizeof magic;
	version = wire_get_u16(&r);
	out->type = wire_get_u16(&r);
	out->length = wire_get_u32(&r);
	if (version != WIRE_VERSION)
		return "wrong version";
	if (out->type < WIRE_ENTRYPOINT_REQ || out->type > WIRE_DELIVERED)
		return "unknown type";
	if (out->length > WIRE_PAYLOAD_MAX)
		return "payload is above the limit";
	if (wire_get_u32(&r) != 0)
		return "reserved field is not 0";
	return NULL;
}

const char *wire_entrypoint_req_decode(const uint8_t *payload, size_t len,
				       struct wire_entrypoint_req *out)
{
	struct wire_reader r = { payload, payload + len, false };
	const char        *why;
	uint8_t            first;

	out->seq = wire_get_u64(&r);
	first = wire_get_u8(&r);
	out->first = first == 1;
	out->instance = wire_get_u64(&r);
	out->link = wire_get_u64(&r);
	out->process = wire_get_fid(&r);
	out->pid = wire_get_u64(&r);
	if (r.bad)
		return "payload is too short";
	if (first > 1)
		return "first is neither 0 nor 1";
	why = get_str(&r, out->endpoint);
	if (why == NULL)
		why = get_str(&r, out->git_rev);
	return why == NULL ? at_end(&r) : why;
}

size_t wire_entrypoint_rep_encode(uint8_t *buf, size_t cap,
				  const struct wire_entrypoint_rep *rep)
{
	struct wire_writer w = { buf, buf + cap, false };
	struct wire_writer header;
	size_t             len;

	if (rep->nr > WIRE_CONFD_MAX || cap < WIRE_HEADER_LEN)
		return 0;
	w.at += WIRE_HEADER_LEN;
	wire_put_u64(&w, rep->seq);
	wire_put_u32(&w, (uint32_t)rep->rc);
	wire_put_u8(&w, rep->status);
	wire_put_u64(&w, rep->instance);
	wire_put_u64(&w, rep->link);
	wire_put_u32(&w, rep->quorum);
	wire_put_fid(&w, &rep->rm);
	put_str(&w, rep->rm_endpoint);
	wire_put_u16(&w, rep->nr);
	for (uint16_t i = 0; i < rep->nr; i++) {
		wire_put_fid(&w, &rep->confd_fids[i]);
		put_str(&w, rep->confd_endpoints[i]);
	}
	if (w.bad)
		return 0;
	len = (size_t)(w.at - buf);
	header = (struct wire_writer){ buf, buf + WIRE_HEADER_LEN, false };
	wire_put_header(&header, WIRE_ENTRYPOINT_REP,
			(uint32_t)(len - WIRE_HEADER_LEN));
	return len;
}

const char *wire_delivered_decode(const uint8_t *payload, size_t len,
				  uint64_t *tag)
{
	struct wire_reader r = { payload, payload + len, false };

	*tag = wire_get_u64(&r);
	return at_end(&r);
}

size_t wire_delivered_encode(uint8_t *buf, size_t cap, uint64_t tag)
{
	struct wire_writer w = { buf, buf + cap, false };

	wire_put_header(&w, WIRE_DELIVERED, 8);
	wire_put_u64(&w, tag);
	return w.bad ? 0 : (size_t)(w.at - buf);
}

const char *wire_type_name(uint16_t type)
{
	switch (type) {
	case WIRE_ENTRYPOINT_REQ:
		return "ENTRYPOINT_REQ";
	case WIRE_ENTRYPOINT_REP:
		return "ENTRYPOINT_REP";
	case WIRE_MSG:
		return "MSG";
	case WIRE_DELIVERED:
		return "DELIVERED";
	default:
		return "unknown";
	}
}
