/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What bridge.c needs of a backend beyond Motr's own headers.  Each backend
 * brings its implementation: embedded/log.c, csrc/libmotr.c.
 */
#ifndef HAX_MOTR_SYS_BACKEND_H
#define HAX_MOTR_SYS_BACKEND_H

/** `level` is a hax_log_level; `text` has no newline and is ours for the call. */
typedef void (*hax_backend_log_fn)(void *ctx, int level, const char *text);

/**
 * Where the backend's lines of log go; NULL: nowhere.  Called while no
 * interface runs.  The function may be called from any thread, with no lock of
 * the backend held.
 */
void hax_backend_set_log(hax_backend_log_fn fn, void *ctx);

/** m0_halon_interface_start() has returned 0; on its thread. */
void hax_backend_started(void);

#endif
