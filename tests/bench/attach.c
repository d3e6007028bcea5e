// SPDX-License-Identifier: MIT
#include "tests/bench/attach.h"

#include <stdlib.h>
#include <sys/uio.h>

#define NAME "bench"

struct forebay *bench_layer_attach(
        const struct bench_run *run, const struct forebay_options *options)
{
	struct forebay *layer;

	setenv("FOREBAY_DIR", run->directory, 1);
	if (forebay_open(NAME, options, &layer) != 0)
		bench_die("%s", forebay_error());
	return layer;
}

void bench_layer_make(const struct bench_run *run, const struct forebay_options *options)
{
	forebay_close(bench_layer_attach(run, options));
}

void bench_layer_remove(const struct bench_run *run)
{
	(void)run;
	(void)forebay_remove(NAME);
}

void bench_layer_read(struct forebay_message *message, struct bench_reader *reader)
{
	struct iovec iov[FOREBAY_CONTENT_IOV];
	int count = forebay_message_content_iov(message, iov, FOREBAY_CONTENT_IOV);

	for (int i = 0; i < count; i++)
		bench_read(reader, iov[i].iov_base, iov[i].iov_len);
}
