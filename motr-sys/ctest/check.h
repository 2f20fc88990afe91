/* SPDX-License-Identifier: Apache-2.0 */
/* Checks that end the program with the place and the reason. */
#ifndef HAX_CTEST_CHECK_H
#define HAX_CTEST_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond)                                                       \
	do {                                                              \
		if (!(cond)) {                                            \
			fprintf(stderr, "%s:%d: %s: not true: %s\n",      \
				__FILE__, __LINE__, __func__, #cond);     \
			abort();                                          \
		}                                                         \
	} while (0)

#define CHECK_EQ(left, right)                                             \
	do {                                                              \
		long long left_ = (long long)(left);                      \
		long long right_ = (long long)(right);                    \
		if (left_ != right_) {                                    \
			fprintf(stderr, "%s:%d: %s: %s is %lld, not %s "  \
				"(%lld)\n", __FILE__, __LINE__, __func__, \
				#left, left_, #right, right_);            \
			abort();                                          \
		}                                                         \
	} while (0)

/* What a wait gives up after: far above what a loaded machine needs. */
enum { WAIT_MS = 60000 };

struct test {
	const char *name;
	void      (*run)(void);
};

/* Each file of tests ends its table with {NULL}. */
extern const struct test tests_registry[];
extern const struct test tests_start[];
extern const struct test tests_link[];
extern const struct test tests_message[];
extern const struct test tests_frame[];
extern const struct test tests_limit[];
extern const struct test tests_broadcast[];
extern const struct test tests_room[];
extern const struct test tests_stress[];

/* Messages of the long runs; fewer under valgrind. */
extern unsigned long scale;

#endif
