/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What bridge.c needs of a backend beyond Motr's own headers.  Each backend
 * brings its implementation: embedded/log.c and embedded/hooks.c,
 * csrc/libmotr.c.  The hooks are called on the interface thread.
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

/**
 * m0_halon_interface_init() has returned 0.
 *
 * @return 0, or a negative errno: then the interface is finalised, without
 *         hax_backend_closing()
 */
int hax_backend_opened(void);

/**
 * m0_halon_interface_start() is about to be called with that endpoint.
 *
 * @return 0; a negative errno: it is not called, and a line of log says why
 */
int hax_backend_starting(const char *endpoint);

/** m0_halon_interface_start() has returned 0. */
void hax_backend_started(void);

/** m0_halon_interface_fini() is about to be called. */
void hax_backend_closing(void);

#endif
