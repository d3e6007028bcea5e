// SPDX-License-Identifier: MIT
// test_balance.c - who has many more clients than another worker that takes some is ahead, and nobody else.
#include "server/balance.h"

#include <sys/wait.h>
#include <unistd.h>

#include "tests/test.h"

TEST(who_is_alone_is_never_ahead)
{
	struct balance *balance = balance_new(3);

	EXPECT(!balance_is_ahead(balance, 1, 1000000));
	balance_show(balance, 1, 0); // its own number, which may be out of date
	EXPECT(!balance_is_ahead(balance, 1, 1000000));
	balance_free(balance);
	EXPECT(!balance_is_ahead(NULL, 1, 1000000));
	balance_show(NULL, 1, 0);
	balance_free(NULL);
}

TEST(who_has_a_few_more_than_another_is_not_ahead_and_who_has_many_more_is)
{
	struct balance *balance = balance_new(3);

	balance_show(balance, 1, 50);
	balance_show(balance, 2, 100);
	EXPECT(!balance_is_ahead(balance, 3, 0));
	EXPECT(!balance_is_ahead(balance, 3, 51));
	EXPECT(balance_is_ahead(balance, 3, 100));
	EXPECT(balance_is_ahead(balance, 2, 100));
	EXPECT(!balance_is_ahead(balance, 1, 50));
	balance_show(balance, 1, BALANCE_AWAY);
	EXPECT(!balance_is_ahead(balance, 3, 100));
	balance_free(balance);
}

TEST(a_process_that_was_forked_later_shows_what_it_has)
{
	struct balance *balance = balance_new(2);
	pid_t pid = fork();

	if (pid == 0) {
		balance_show(balance, 2, 7);
		_exit(0);
	}
	EXPECT_INT(waitpid(pid, NULL, 0), pid);
	EXPECT(balance_is_ahead(balance, 1, 100));
	EXPECT(!balance_is_ahead(balance, 1, 8));
	balance_free(balance);
}
