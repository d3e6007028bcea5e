// SPDX-License-Identifier: MIT
#include "tests/model/sites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern struct model_site *const __start_model_sites[], *const __stop_model_sites[];

static int compare(const void *a, const void *b)
{
	const struct model_site *x = *(struct model_site *const *)a;
	const struct model_site *y = *(struct model_site *const *)b;
	int files = strcmp(x->file, y->file);

	return files ? files : x->line - y->line;
}

size_t sites_list(struct model_site **sites)
{
	size_t count = 0;

	for (struct model_site *const *at = __start_model_sites; at < __stop_model_sites; at++) {
		const char *file = (*at)->file;

		// The scenarios' own operations aren't what is examined.
		if (strncmp(file, "scenario", 8) != 0 && strncmp(file, "support", 7) != 0 &&
		        count < SITES_MAX)
			sites[count++] = *at;
	}
	qsort(sites, count, sizeof *sites, compare);
	return count;
}

static const char *order_name(unsigned order)
{
	static const char *const names[] = {"relaxed", "acquire", "release", "acq_rel"};

	return order & MODEL_SEQ_CST ? "seq_cst" : names[order & 3];
}

void sites_text(
        struct model_site **sites, size_t count, size_t site, unsigned order, char text[SITE_TEXT])
{
	const struct model_site *this = sites[site];
	char number[16] = "";
	int nth = 1;

	for (size_t i = 0; i < site && i < count; i++)
		nth += strcmp(sites[i]->function, this->function) == 0 &&
		       strcmp(sites[i]->operation, this->operation) == 0 &&
		       strcmp(sites[i]->object, this->object) == 0;
	if (nth > 1)
		snprintf(number, sizeof number, "#%d", nth);
	snprintf(text, SITE_TEXT, "%s %s %s%s(%s) %s -> %s", this->file, this->function,
	        this->operation, number, this->object, order_name(this->order), order_name(order));
}

bool sites_weaker(const struct model_site *site, unsigned *order)
{
	unsigned base = site->order & (MODEL_ACQUIRE | MODEL_RELEASE);

	// Each alone first, then none.
	if (*order & MODEL_SEQ_CST)
		*order = base;
	else if (*order == (MODEL_ACQUIRE | MODEL_RELEASE))
		*order = MODEL_ACQUIRE;
	else if (*order == MODEL_ACQUIRE && base == (MODEL_ACQUIRE | MODEL_RELEASE))
		*order = MODEL_RELEASE;
	else if (*order != MODEL_RELAXED)
		*order = MODEL_RELAXED;
	else
		return false;
	return true;
}
