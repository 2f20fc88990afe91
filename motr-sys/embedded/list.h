/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HAX_EMBEDDED_LIST_H
#define HAX_EMBEDDED_LIST_H

#include <stdbool.h>

/* Circular doubly linked list; a head points to itself when empty. */
struct emb_list {
	struct emb_list *prev;
	struct emb_list *next;
};

static inline void emb_list_init(struct emb_list *l)
{
	l->prev = l;
	l->next = l;
}

static inline bool emb_list_is_empty(const struct emb_list *l)
{
	return l->next == l;
}

static inline void emb_list_add(struct emb_list *head, struct emb_list *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

/* Of a list or of none: `l` is in none afterwards. */
static inline void emb_list_del(struct emb_list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	emb_list_init(l);
}

#endif
