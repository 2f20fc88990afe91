/* SPDX-License-Identifier: Apache-2.0 */
/* Time under the name Motr gives it in lib/time.h: nanoseconds. */
#ifndef HAX_EMBEDDED_LIB_TIME_H
#define HAX_EMBEDDED_LIB_TIME_H

#include "lib/types.h"

typedef uint64_t m0_time_t;

#endif
