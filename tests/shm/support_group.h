// SPDX-License-Identifier: MIT
// support_group.h - what the tests of groups share: one group, and an attachment to use it.
#pragma once

#include "shm/compact.h"
#include "tests/shm/support.h"

enum {
	ENDPOINTS = 128, // as in the support's geometry
};

static struct attachment a;
static struct shm_entry group;

// An open endpoint as a member, in the zones that ATTACHMENT owns.
__attribute__((unused)) static struct shm_member open_reply(
        struct attachment *attachment, uint32_t index)
{
	struct shm_member member;

	shm_member_set_reply(&member, &attachment->segment, index,
	        shm_endpoint_open(&attachment->segment, index, 0, 1, 0));
	return member;
}

__attribute__((unused)) static void take_endpoints(struct attachment *attachment)
{
	uint32_t scan = 0;

	while (shm_endpoint_take_zone(&attachment->segment, attachment->self.uid, &scan) !=
	        SHM_HANDLE_NONE)
		;
}

__attribute__((unused)) static struct shm_member plain(const char *name)
{
	struct shm_member member;

	shm_member_set_plain(&member, &a.segment, name);
	return member;
}

__attribute__((unused)) static enum shm_result add(struct shm_member member, int64_t now)
{
	return shm_group_add(&a.table, &group, &member, now);
}

__attribute__((unused)) static enum shm_result drop(struct shm_member member, int64_t now)
{
	return shm_group_discard(&a.table, &group, &member, now);
}

__attribute__((unused)) static uint32_t count(int64_t now)
{
	struct shm_member members[7]; // small, so that most lists go on several times
	struct shm_place place = {0};
	uint32_t sum = 0, some;

	while ((some = shm_group_list(&a.table, &group, now, &place, members, 7)) > 0)
		sum += some;
	return sum;
}

__attribute__((unused)) static void begin(void)
{
	attach(&a);
	a.segment.identity = 1; // names' keys depend on it, and are to be the same in every run
	take_endpoints(&a);
	EXPECT_INT(shm_table_make_group(&a.table, "g", &group), SHM_OK);
}

__attribute__((unused)) static void end(void)
{
	detach(&a);
	discard();
}

__attribute__((unused)) static uint32_t groups_in_use(void)
{
	uint32_t used = 0;

	for (uint32_t i = a.segment.channels; i < a.segment.entries; i++)
		used += load_relaxed(&a.segment.channel[i].owner) != SHM_CHANNEL_FREE;
	return used;
}

__attribute__((unused)) static uint64_t group_word(void)
{
	return load_relaxed(&a.segment.channel[group.index].group);
}

__attribute__((unused)) static bool holds(const struct shm_member *wanted, int64_t now)
{
	struct shm_member member;
	struct shm_place place = {0};

	while (shm_group_list(&a.table, &group, now, &place, &member, 1) > 0)
		if (member.key == wanted->key && member.generation == wanted->generation &&
		        strcmp(member.name, wanted->name) == 0)
			return true;
	return false;
}
