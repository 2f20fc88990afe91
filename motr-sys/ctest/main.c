/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the tests; with arguments, those whose names contain one of them. */
#include "check.h"

#include <string.h>
#include <unistd.h>

/*
 * A test that hangs is ended, its name being the last line.  No test waits that
 * long: it is for a wait that has no limit of its own, under TSan or valgrind on
 * a machine several times overloaded.
 */
enum { WATCHDOG_S = 1200 };

unsigned long scale = 100000;

static int wanted(const char *name, int argc, char **argv)
{
	if (argc < 2)
		return 1;
	for (int i = 1; i < argc; i++)
		if (strstr(name, argv[i]) != NULL)
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	const struct test *const all[] = {
		tests_registry, tests_start, tests_link,  tests_message,
		tests_frame, tests_limit, tests_broadcast, tests_room,
		tests_stress,
	};
	const char *text = getenv("HAX_CTEST_SCALE");
	unsigned    nr = 0;

	if (text != NULL)
		scale = strtoul(text, NULL, 10);
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		for (const struct test *t = all[i]; t->name != NULL; t++) {
			if (!wanted(t->name, argc, argv))
				continue;
			printf("%s\n", t->name);
			fflush(stdout);
			alarm(WATCHDOG_S);
			t->run();
			nr++;
		}
	printf("%u tests passed\n", nr);
	return nr == 0;
}
