/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash map from a 64-bit key to nodes that live inside the caller's structures.
 * It takes no lock and owns no node.  Several nodes may have the same key.
 */
#ifndef HAX_MOTR_SYS_MAP_H
#define HAX_MOTR_SYS_MAP_H

#include <stddef.h>
#include <stdint.h>

struct hax_map_node {
	struct hax_map_node *next;
	uint64_t             key;
};

/** All zero is an empty map. */
struct hax_map {
	struct hax_map_node **buckets;
	size_t                nr_buckets;
	size_t                nr;
	/** No bucket below this one has a node. */
	size_t                first;
};

#define HAX_CONTAINER_OF(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

/** @return 0; -ENOMEM, only for the first node of a map */
int hax_map_insert(struct hax_map *map, struct hax_map_node *node, uint64_t key);
struct hax_map_node *hax_map_find(const struct hax_map *map, uint64_t key);
/** The next node with the key of `node`, or NULL. */
struct hax_map_node *hax_map_same(const struct hax_map_node *node);
/** `node` is in the map. */
void hax_map_remove(struct hax_map *map, struct hax_map_node *node);
/** Any node, which stays in the map; NULL if there is none. */
struct hax_map_node *hax_map_any(struct hax_map *map);
/**
 * The node after `node` in no particular order, from NULL to NULL.  The map does
 * not change meanwhile.  From NULL it begins where hax_map_any() found a node.
 */
struct hax_map_node *hax_map_next(const struct hax_map *map,
				  const struct hax_map_node *node);
/** Frees the buckets of an empty map; it can be used again. */
void hax_map_fini(struct hax_map *map);

#endif
