// SPDX-License-Identifier: MIT
// supervisor.c - when to start a child again that has ended: at once, or later if it keeps dying.
#include "server/supervisor.h"

void supervisor_started(struct supervisor *supervisor, int64_t now)
{
	supervisor->started = now;
}

int64_t supervisor_ended(struct supervisor *supervisor, int64_t now)
{
	int64_t delay = SUPERVISOR_FIRST_MS;

	if (now - supervisor->started >= SUPERVISOR_HEALTHY_MS) {
		supervisor->early = 0;
		return 0;
	}
	supervisor->early++;
	if (supervisor->early == 1)
		return 0;
	for (unsigned i = 2; i < supervisor->early && delay < SUPERVISOR_LAST_MS; i++)
		delay *= 2;
	return delay < SUPERVISOR_LAST_MS ? delay : SUPERVISOR_LAST_MS;
}
