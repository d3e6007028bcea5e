// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>

#include "channel/cli_top.h"

bool top_list_begin(struct top_list *list, uint32_t room)
{
	// One more, to swap with.
	void *grown = realloc(list->items, ((size_t)room + 1) * list->size);

	list->count = 0;
	list->offered = 0;
	list->room = grown ? room : 0;
	if (grown)
		list->items = grown;
	return grown != NULL;
}

static char *item_at(struct top_list *list, uint32_t index)
{
	return list->items + index * list->size;
}

// Whether the item at A is worse, so that it belongs above the one at B.
static bool is_worse(struct top_list *list, uint32_t a, uint32_t b)
{
	return list->compare(item_at(list, a), item_at(list, b)) > 0;
}

static void swap(struct top_list *list, uint32_t a, uint32_t b)
{
	char *spare = item_at(list, list->room);

	memcpy(spare, item_at(list, a), list->size);
	memcpy(item_at(list, a), item_at(list, b), list->size);
	memcpy(item_at(list, b), spare, list->size);
}

static void rise(struct top_list *list, uint32_t at)
{
	for (; at > 0 && is_worse(list, at, (at - 1) / 2); at = (at - 1) / 2)
		swap(list, at, (at - 1) / 2);
}

static void sink(struct top_list *list, uint32_t at)
{
	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= list->count)
			return;
		if (child + 1 < list->count && is_worse(list, child + 1, child))
			child++;
		if (!is_worse(list, child, at))
			return;
		swap(list, at, child);
		at = child;
	}
}

void top_list_offer(struct top_list *list, const void *item)
{
	list->offered++;
	if (list->count < list->room) {
		memcpy(item_at(list, list->count), item, list->size);
		rise(list, list->count++);
	} else if (list->room > 0 && list->compare(item, item_at(list, 0)) < 0) {
		memcpy(item_at(list, 0), item, list->size);
		sink(list, 0);
	}
}

void top_list_end(struct top_list *list)
{
	if (list->count > 0)
		qsort(list->items, list->count, list->size, list->compare);
}

void top_list_fini(struct top_list *list)
{
	free(list->items);
	list->items = NULL;
	list->room = list->count = 0;
}
