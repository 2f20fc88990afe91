/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of log wait here until a thread that holds no lock hands them over,
 * because the sink is the user's code.
 */
#include "backend.h"
#include "embedded.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	LINES_MAX = 128,
	LINE_LEN  = 320,
};

struct line {
	int  level;
	char text[LINE_LEN];
};

static pthread_mutex_t    lock = PTHREAD_MUTEX_INITIALIZER;
static hax_backend_log_fn sink;
static void              *sink_ctx;
static struct line        lines[LINES_MAX];
static size_t             lines_at;
static size_t             lines_nr;
static size_t             lines_lost;

void hax_backend_set_log(hax_backend_log_fn fn, void *ctx)
{
	pthread_mutex_lock(&lock);
	sink = fn;
	sink_ctx = ctx;
	lines_nr = 0;
	lines_lost = 0;
	pthread_mutex_unlock(&lock);
}

void emb_log(int level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	pthread_mutex_lock(&lock);
	if (lines_nr == LINES_MAX) {
		lines_lost++;
	} else {
		struct line *l = &lines[(lines_at + lines_nr) % LINES_MAX];

		l->level = level;
		vsnprintf(l->text, sizeof l->text, fmt, args);
		lines_nr++;
	}
	pthread_mutex_unlock(&lock);
	va_end(args);
}

void emb_log_flush(void)
{
	for (;;) {
		hax_backend_log_fn fn;
		void              *ctx;
		struct line        l;

		pthread_mutex_lock(&lock);
		if (lines_nr == 0 && lines_lost == 0) {
			pthread_mutex_unlock(&lock);
			return;
		}
		if (lines_nr > 0) {
			l = lines[lines_at];
			lines_at = (lines_at + 1) % LINES_MAX;
			lines_nr--;
		} else {
			l.level = 2;
			snprintf(l.text, sizeof l.text,
				 "%zu lines of log were lost", lines_lost);
			lines_lost = 0;
		}
		fn = sink;
		ctx = sink_ctx;
		pthread_mutex_unlock(&lock);
		if (fn != NULL)
			fn(ctx, l.level, l.text);
	}
}
