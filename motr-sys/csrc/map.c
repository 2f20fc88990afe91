/* SPDX-License-Identifier: Apache-2.0 */
#include "map.h"

#include <errno.h>
#include <stdlib.h>

enum { BUCKETS_MIN = 16 };

static size_t bucket_of(uint64_t key, size_t nr_buckets)
{
	/* Keys are counters and addresses: the multiplication spreads both. */
	return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) &
	       (nr_buckets - 1);
}

/* Without memory for more buckets the map stays as it is: slower, not wrong. */
static void grow(struct hax_map *map)
{
	size_t                nr = map->nr_buckets == 0 ? BUCKETS_MIN
							: map->nr_buckets * 2;
	struct hax_map_node **buckets = calloc(nr, sizeof *buckets);

	if (buckets == NULL)
		return;
	for (size_t i = 0; i < map->nr_buckets; i++) {
		struct hax_map_node *node = map->buckets[i];

		while (node != NULL) {
			struct hax_map_node *next = node->next;
			size_t               b = bucket_of(node->key, nr);

			node->next = buckets[b];
			buckets[b] = node;
			node = next;
		}
	}
	free(map->buckets);
	map->buckets = buckets;
	map->nr_buckets = nr;
	map->first = 0;
}

int hax_map_insert(struct hax_map *map, struct hax_map_node *node, uint64_t key)
{
	size_t b;

	if (map->nr >= map->nr_buckets)
		grow(map);
	if (map->nr_buckets == 0)
		return -ENOMEM;
	b = bucket_of(key, map->nr_buckets);
	node->key = key;
	node->next = map->buckets[b];
	map->buckets[b] = node;
	if (b < map->first)
		map->first = b;
	map->nr++;
	return 0;
}

static struct hax_map_node *first_with(struct hax_map_node *node, uint64_t key)
{
	while (node != NULL && node->key != key)
		node = node->next;
	return node;
}

struct hax_map_node *hax_map_find(const struct hax_map *map, uint64_t key)
{
	if (map->nr == 0)
		return NULL;
	return first_with(map->buckets[bucket_of(key, map->nr_buckets)], key);
}

struct hax_map_node *hax_map_same(const struct hax_map_node *node)
{
	return first_with(node->next, node->key);
}

void hax_map_remove(struct hax_map *map, struct hax_map_node *node)
{
	struct hax_map_node **at =
		&map->buckets[bucket_of(node->key, map->nr_buckets)];

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	node->next = NULL;
	map->nr--;
}

struct hax_map_node *hax_map_any(struct hax_map *map)
{
	if (map->nr == 0)
		return NULL;
	while (map->buckets[map->first] == NULL)
		map->first++;
	return map->buckets[map->first];
}

struct hax_map_node *hax_map_next(const struct hax_map *map,
				  const struct hax_map_node *node)
{
	size_t b = map->first;

	if (node != NULL) {
		if (node->next != NULL)
			return node->next;
		b = bucket_of(node->key, map->nr_buckets) + 1;
	}
	for (; b < map->nr_buckets; b++)
		if (map->buckets[b] != NULL)
			return map->buckets[b];
	return NULL;
}

void hax_map_fini(struct hax_map *map)
{
	free(map->buckets);
	*map = (struct hax_map){ 0 };
}
