// SPDX-License-Identifier: MIT
// Numbers with units: what each unit makes of them, and what isn't one.
#include "channel/quantity.h"

#include "tests/test.h"

#define UNTOUCHED 0xabcdef

static uint64_t quantity;

static bool read_up_to(const char *text, enum channel_unit unit, uint64_t most)
{
	// Without its NUL, and with a digit and a unit behind it, neither of which it has.
	size_t length = strlen(text);
	char *copy = malloc(length + 2);
	bool result;

	memcpy(copy, text, length);
	memcpy(copy + length, "7K", 2);
	quantity = UNTOUCHED;
	result = channel_quantity_read(copy, length, unit, most, &quantity);
	free(copy);
	return result;
}

#define EXPECT_QUANTITY(TEXT, UNIT, EXPECTED)                                                      \
	do {                                                                                       \
		EXPECT(read_up_to(TEXT, UNIT, UINT64_MAX));                                        \
		EXPECT(quantity == (EXPECTED));                                                    \
	} while (0)

#define EXPECT_NONE(TEXT, UNIT)                                                                    \
	do {                                                                                       \
		EXPECT(!read_up_to(TEXT, UNIT, UINT64_MAX));                                       \
		EXPECT(quantity == UNTOUCHED);                                                     \
	} while (0)

TEST(units_multiply)
{
	EXPECT_QUANTITY("0", CHANNEL_NUMBER, 0);
	EXPECT_QUANTITY("0042", CHANNEL_NUMBER, 42);
	EXPECT_QUANTITY("5", CHANNEL_OCTETS, 5);
	EXPECT_QUANTITY("5K", CHANNEL_OCTETS, 5 << 10);
	EXPECT_QUANTITY("5M", CHANNEL_OCTETS, 5 << 20);
	EXPECT_QUANTITY("5G", CHANNEL_OCTETS, 5ull << 30);
	EXPECT_QUANTITY("5", CHANNEL_TIME, 5000);
	EXPECT_QUANTITY("5ms", CHANNEL_TIME, 5);
	EXPECT_QUANTITY("5s", CHANNEL_TIME, 5000);
	EXPECT_QUANTITY("5m", CHANNEL_TIME, 300000);
	EXPECT_QUANTITY("5h", CHANNEL_TIME, 18000000);
	EXPECT_QUANTITY("5d", CHANNEL_TIME, 432000000);
}

TEST(units_may_be_in_either_case)
{
	EXPECT_QUANTITY("5k", CHANNEL_OCTETS, 5 << 10);
	EXPECT_QUANTITY("5g", CHANNEL_OCTETS, 5ull << 30);
	EXPECT_QUANTITY("5MS", CHANNEL_TIME, 5);
	EXPECT_QUANTITY("5Ms", CHANNEL_TIME, 5);
	EXPECT_QUANTITY("5M", CHANNEL_TIME, 300000);
}

TEST(fractions_are_rounded)
{
	EXPECT_QUANTITY("2.5", CHANNEL_TIME, 2500);
	EXPECT_QUANTITY(".5s", CHANNEL_TIME, 500);
	EXPECT_QUANTITY("0.0004", CHANNEL_TIME, 0);
	EXPECT_QUANTITY("0.0005", CHANNEL_TIME, 1);
	EXPECT_QUANTITY("0.9999", CHANNEL_TIME, 1000);
	EXPECT_QUANTITY("1.5K", CHANNEL_OCTETS, 1536);
	EXPECT_QUANTITY("0.999999999G", CHANNEL_OCTETS, (1 << 30) - 1);
	EXPECT_QUANTITY("0.999999999d", CHANNEL_TIME, 86400000);
	// Digits too many make no difference, however many.
	EXPECT_QUANTITY("0.33333333333333333333333333333333333333", CHANNEL_TIME, 333);
}

TEST(what_has_no_parts_has_no_fractions)
{
	EXPECT_NONE("1.0", CHANNEL_NUMBER);
	EXPECT_NONE("1.5", CHANNEL_OCTETS);
	EXPECT_NONE("1.5ms", CHANNEL_TIME);
}

TEST(nothing_is_no_quantity)
{
	EXPECT_NONE("", CHANNEL_NUMBER);
	EXPECT_NONE("", CHANNEL_TIME);
	EXPECT_NONE("K", CHANNEL_OCTETS);
	EXPECT_NONE("ms", CHANNEL_TIME);
	EXPECT_NONE(".", CHANNEL_TIME);
	EXPECT_NONE(".s", CHANNEL_TIME);
}

TEST(negative_numbers_are_none)
{
	EXPECT_NONE("-1", CHANNEL_NUMBER);
	EXPECT_NONE("-0", CHANNEL_OCTETS);
	EXPECT_NONE("-1s", CHANNEL_TIME);
	EXPECT_NONE("1.-5", CHANNEL_TIME);
}

TEST(junk_is_refused_wherever_it_is)
{
	static const char *const junk[] = {"x", "1x", "x1", "+1", " 1", "1 ", "1 s", "1.s", "1..5",
	        "1.5.5", "1e3", "0x10", "inf", "nan", "1,5", "1sm", "1mss", "1KB", "1KK", "1\xb2",
	        "\xd9\xa1"};

	for (size_t i = 0; i < sizeof junk / sizeof *junk; i++) {
		EXPECT_NONE(junk[i], CHANNEL_NUMBER);
		EXPECT_NONE(junk[i], CHANNEL_OCTETS);
		EXPECT_NONE(junk[i], CHANNEL_TIME);
	}
	EXPECT(!channel_quantity_read("1\0", 2, CHANNEL_NUMBER, UINT64_MAX, &quantity));
}

TEST(each_kind_has_its_own_units)
{
	EXPECT_NONE("1K", CHANNEL_NUMBER);
	EXPECT_NONE("1s", CHANNEL_NUMBER);
	EXPECT_NONE("1s", CHANNEL_OCTETS);
	EXPECT_NONE("1K", CHANNEL_TIME);
}

TEST(what_is_more_than_fits_is_refused)
{
	EXPECT_QUANTITY("18446744073709551615", CHANNEL_NUMBER, UINT64_MAX);
	EXPECT_NONE("18446744073709551616", CHANNEL_NUMBER); // the digit overflows it
	EXPECT_NONE("18446744073709551620", CHANNEL_NUMBER); // the factor of ten does
	EXPECT_NONE("99999999999999999999999999", CHANNEL_NUMBER);
	EXPECT_QUANTITY("18014398509481983K", CHANNEL_OCTETS, 18014398509481983ull << 10);
	EXPECT_NONE("18014398509481984K", CHANNEL_OCTETS);
	EXPECT_QUANTITY("18446744073709551.615", CHANNEL_TIME, UINT64_MAX);
	EXPECT_NONE("18446744073709551.616", CHANNEL_TIME);
}

TEST(what_is_more_than_wanted_is_refused)
{
	EXPECT(read_up_to("64K", CHANNEL_OCTETS, 65536));
	EXPECT(quantity == 65536);
	EXPECT(!read_up_to("64K", CHANNEL_OCTETS, 65535));
	EXPECT(quantity == UNTOUCHED);
	EXPECT(read_up_to("0", CHANNEL_NUMBER, 0));
}
