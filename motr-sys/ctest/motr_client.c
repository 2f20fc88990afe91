/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Motr process that does nothing but talk to its bridge, over libmotr.
 * scripts/try-motr builds and runs it; nothing else does.
 *
 *   motr_client TRANSPORT BRIDGE OWN KEY WHAT
 *
 *   TRANSPORT  libfab or sock
 *   BRIDGE     endpoint of the bridge
 *   OWN        endpoint of its own
 *   KEY        key of its process fid, in hexadecimal
 *   WHAT       gets N ROUNDS PAUSE  sends N NVEC GETs in each round, awaits all
 *                                   answers and acknowledgements, and waits
 *                                   PAUSE seconds between two rounds
 *              io-error             reports BE_IO_ERR, and stays
 *              stay                 connects, and stays
 *
 * Each step is a line on standard output.  After `gets` it says that it has
 * stopped, and ends.  One that stays is ended by a signal.
 *
 * Exit codes: 0 all was answered; 1 it was not; 2 it could not connect;
 * 64 wrong usage.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "conf/ha.h"
#include "fid/fid.h"
#include "ha/ha.h"
#include "ha/msg.h"
#include "module/instance.h"
#include "motr/init.h"
#include "net/buffer_pool.h"
#include "net/net.h"
#include "reqh/reqh.h"
#include "rpc/rpc.h"
#include "rpc/rpc_machine.h"

enum {
	/** GETs that may be unanswered. */
	WINDOW    = 32,
	/** Objects in a GET. */
	OBJECTS   = 16,
	/** How long the last answers of a round may take, s. */
	WAIT_S    = 60,
	BUFFERS   = 100,
	MSG_SIZE  = 1 << 17,
	QUEUE_LEN = 100,
};

static struct m0                  instance;
static struct m0_net_domain       domain;
static struct m0_net_buffer_pool  buffers;
static struct m0_reqh             reqh;
static struct m0_rpc_machine      machine;
static struct m0_ha               ha;
static struct m0_fid              process;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  changed = PTHREAD_COND_INITIALIZER;
/** Answers received, and messages acknowledged and given up. */
static uint64_t        answered;
static uint64_t        delivered;
static uint64_t        lost;

static void count(uint64_t *what)
{
	pthread_mutex_lock(&lock);
	++*what;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

/* Waits until *what is at least `nr`, WAIT_S at most. */
static bool await(const uint64_t *what, uint64_t nr)
{
	struct timespec until;
	bool            reached;
	int             rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&lock);
	while (*what < nr && rc == 0)
		rc = pthread_cond_timedwait(&changed, &lock, &until);
	reached = *what >= nr;
	pthread_mutex_unlock(&lock);
	return reached;
}

static void on_request(struct m0_ha *h, const struct m0_ha_entrypoint_req *req,
		       const struct m0_uint128 *id)
{
	(void)h, (void)req, (void)id;
}

static void on_replied(struct m0_ha *h, struct m0_ha_entrypoint_rep *rep)
{
	(void)h, (void)rep;
	puts("entrypoint");
}

static void on_received(struct m0_ha *h, struct m0_ha_link *hl,
			struct m0_ha_msg *msg, uint64_t tag)
{
	(void)tag;
	if (msg->hm_data.hed_type == M0_HA_MSG_NVEC &&
	    msg->hm_data.u.hed_nvec.hmnv_id_of_get != 0)
		count(&answered);
	m0_ha_delivered(h, hl, msg);
}

static void on_delivered(struct m0_ha *h, struct m0_ha_link *hl, uint64_t tag)
{
	(void)h, (void)hl, (void)tag;
	count(&delivered);
}

static void on_lost(struct m0_ha *h, struct m0_ha_link *hl, uint64_t tag)
{
	(void)h, (void)hl, (void)tag;
	count(&lost);
}

static void on_link(struct m0_ha *h, const struct m0_uint128 *id,
		    struct m0_ha_link *hl)
{
	(void)h, (void)id, (void)hl;
}

static void on_absent(struct m0_ha *h, const struct m0_uint128 *id)
{
	(void)h, (void)id;
	puts("absent");
	/* The bridge has dropped the link: a Motr process ends, and so do we. */
	fflush(stdout);
	_exit(0);
}

static void on_end(struct m0_ha *h, struct m0_ha_link *hl)
{
	(void)h, (void)hl;
}

static const struct m0_net_xprt *transport(const char *name)
{
	for (int i = 0; i < m0_net_xprt_nr(); i++)
		if (strcmp(m0_net_all_xprt_get()[i]->nx_name, name) == 0)
			return m0_net_all_xprt_get()[i];
	return NULL;
}

static int connect_to(const char *name, char *bridge, char *own,
		      struct m0_ha_link **hl)
{
	const struct m0_net_xprt *xprt;
	struct m0_ha_cfg          cfg = {
		.hcf_ops = {
			.hao_entrypoint_request    = on_request,
			.hao_entrypoint_replied    = on_replied,
			.hao_msg_received          = on_received,
			.hao_msg_is_delivered      = on_delivered,
			.hao_msg_is_not_delivered  = on_lost,
			.hao_link_connected        = on_link,
			.hao_link_reused           = on_link,
			.hao_link_absent           = on_absent,
			.hao_link_is_disconnecting = on_end,
			.hao_link_disconnected     = on_end,
		},
		.hcf_rpc_machine = &machine,
		.hcf_addr        = bridge,
		.hcf_reqh        = &reqh,
		.hcf_process_fid = process,
	};
	int                       rc = m0_init(&instance);

	if (rc != 0)
		return rc;
	xprt = transport(name);
	if (xprt == NULL)
		return -EPROTONOSUPPORT;
	m0_net_xprt_default_set(xprt);
	rc = m0_net_domain_init(&domain, xprt) ?:
	     m0_rpc_net_buffer_pool_setup(&domain, &buffers, BUFFERS, 1) ?:
	     M0_REQH_INIT(&reqh, .rhia_dtm = (void *)1,
			  .rhia_mdstore = (void *)1, .rhia_fid = &process);
	if (rc != 0)
		return rc;
	m0_reqh_start(&reqh);
	errno = 0;
	rc = m0_rpc_machine_init(&machine, &domain, own, &reqh, &buffers,
				 M0_BUFFER_ANY_COLOUR, MSG_SIZE, QUEUE_LEN) ?:
	     m0_ha_init(&ha, &cfg) ?:
	     m0_ha_start(&ha);
	if (rc != 0)
		return rc;
	*hl = m0_ha_connect(&ha);
	return *hl == NULL ? -EINVAL : 0;
}

static void send_status(struct m0_ha_link *hl,
			enum m0_conf_ha_process_event event)
{
	m0_conf_ha_process_event_post(&ha, hl, &process, (uint64_t)getpid(),
				      event, M0_CONF_HA_PROCESS_OTHER);
}

static int gets(struct m0_ha_link *hl, uint64_t nr, unsigned rounds,
		unsigned pause_s)
{
	struct m0_ha_msg *msg = calloc(1, sizeof *msg);
	uint64_t          sent = 0;
	uint64_t          tag;
	struct m0_ha_msg_nvec *nvec;

	if (msg == NULL)
		return 1;
	nvec = &msg->hm_data.u.hed_nvec;
	msg->hm_fid = process;
	msg->hm_data.hed_type = M0_HA_MSG_NVEC;
	nvec->hmnv_type = M0_HA_NVEC_GET;
	nvec->hmnv_nr = OBJECTS;
	for (unsigned i = 0; i < OBJECTS; i++)
		nvec->hmnv_arr.hmna_arr[i].no_id =
			M0_FID_TINIT('s', 1, i);
	for (unsigned round = 1; round <= rounds; round++) {
		if (round > 1)
			sleep(pause_s);
		for (uint64_t i = 0; i < nr; i++) {
			if (sent >= WINDOW && !await(&answered,
						     sent - WINDOW + 1))
				break;
			nvec->hmnv_id_of_get = ++sent;
			m0_ha_send(&ha, hl, msg, &tag);
			if (nr >= 10 && i % (nr / 5) == nr / 5 - 1)
				printf("at %lu\n", sent);
		}
		if (sent < round * nr || !await(&answered, sent) ||
		    !await(&delivered, sent)) {
			printf("missing: %lu sent, %lu answered, %lu "
			       "delivered, %lu lost\n", sent, answered,
			       delivered, lost);
			return 1;
		}
		printf("round %u: %lu sent, answered and delivered\n", round,
		       sent);
	}
	free(msg);
	send_status(hl, M0_CONF_HA_PROCESS_STOPPED);
	return await(&delivered, sent + 1) && lost == 0 ? 0 : 1;
}

static int io_error(struct m0_ha_link *hl)
{
	struct m0_ha_msg *msg = calloc(1, sizeof *msg);
	uint64_t          tag;

	if (msg == NULL)
		return 1;
	send_status(hl, M0_CONF_HA_PROCESS_STARTED);
	if (!await(&delivered, 1))
		return 1;
	puts("started");
	msg->hm_fid = process;
	msg->hm_data.hed_type = M0_HA_MSG_BE_IO_ERR;
	msg->hm_data.u.hed_be_io_err.ber_errcode = EIO;
	m0_ha_send(&ha, hl, msg, &tag);
	free(msg);
	puts("reported");
	pause();
	return 0;
}

static void usage(void)
{
	fputs("usage: motr_client libfab|sock BRIDGE OWN KEY gets N ROUNDS "
	      "PAUSE|io-error|stay\n", stderr);
	_exit(64);
}

int main(int argc, char **argv)
{
	struct m0_ha_link *hl = NULL;
	int                rc;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 6 || argc != (strcmp(argv[5], "gets") == 0 ? 9 : 6))
		usage();
	process = M0_FID_TINIT('r', 1, strtoull(argv[4], NULL, 16));
	rc = connect_to(argv[1], argv[2], argv[3], &hl);
	if (rc != 0) {
		fprintf(stderr, "motr_client: %s: %s\n", argv[2],
			strerror(-rc));
		_exit(2);
	}
	puts("connected");
	if (strcmp(argv[5], "gets") == 0)
		rc = gets(hl, strtoull(argv[6], NULL, 10),
			  (unsigned)atoi(argv[7]), (unsigned)atoi(argv[8]));
	else if (strcmp(argv[5], "io-error") == 0)
		rc = io_error(hl);
	else
		pause();
	fflush(stdout);
	/* The library's own end takes long, and shows nothing. */
	_exit(rc);
}
