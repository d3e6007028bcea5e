// SPDX-License-Identifier: MIT
// cli_top.h - what the files of the subcommand top share.
//
//   cli_top.c         the command: options, keys, the layer that comes and goes
//   cli_top_sample.c  one look at a layer and at the processes in it
//   cli_top_list.c    the best of many, of which there is no room for all
//   cli_top_frame.c   what of it is shown, as lines of text, of any width and height
//   cli_top_screen.c  these lines on a terminal
//
// A look costs what it has to: channels and groups are walked over once, and only the best few are kept, as many
// as can be shown. How long it took decides when the next one may come (top_pause()).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel/forebay.h"
#include "channel/usage.h"

// ---------------------------------------------------------------------------------------------
// The best of many
// ---------------------------------------------------------------------------------------------

// Of all items that are offered, those ROOM that come first in an order. A heap with the worst on top.
struct top_list {
	int (*compare)(const void *a, const void *b); // less than 0: A comes before B
	size_t size;                                  // octets of an item
	uint32_t room, count;
	uint64_t offered;
	char *items;
};

// Empties LIST, for ROOM items. False if the heap is exhausted; then it has no room.
bool top_list_begin(struct top_list *list, uint32_t room);
void top_list_offer(struct top_list *list, const void *item);
// The best item comes first then. Nothing is offered any more.
void top_list_end(struct top_list *list);
void top_list_fini(struct top_list *list);

static inline const void *top_list_at(const struct top_list *list, uint32_t index)
{
	return list->items + index * list->size;
}

// ---------------------------------------------------------------------------------------------
// A look
// ---------------------------------------------------------------------------------------------

enum top_sort { TOP_RATE, TOP_WAITING, TOP_OLDEST, TOP_FULL, TOP_DROPPED, TOP_NAME, TOP_SORTS };
extern const char *const top_sort_names[TOP_SORTS];
enum top_process_sort { TOP_BY_SLOT, TOP_BY_MESSAGES, TOP_BY_PROCESSOR, TOP_BY_MEMORY };

struct top_process {
	uint32_t slot;
	int32_t pid;
	char role[17];
	bool alive;
	uint64_t sent, received; // of all who had the slot
	struct channel_usage usage;
	// Since the look before; negative if that isn't known.
	double sent_rate, received_rate; // a second
	double processor;                // percent of one
	double http, websockets;         // open connections; negative if it doesn't say
};

struct top_channel {
	struct forebay_channel_stat stat; // without its name
	uint64_t dropped;                 // of all reasons
	char name[FOREBAY_NAME_SIZE];
};

struct top_group {
	uint64_t size;
	char name[FOREBAY_NAME_SIZE];
};

enum { TOP_PROCESSES = 256 };

struct top_sample {
	int64_t at;         // when it was taken, ms
	double cost;        // ms of processor time that it took
	int64_t ticks;      // of the kernel in a second
	const char *proc;   // where that says what processes use: "/proc"
	enum top_sort sort; // of channels
	bool reverse;       // the last comes first
	enum top_process_sort process_sort;
	struct forebay_layer_stat layer;
	struct top_process processes[TOP_PROCESSES];
	uint32_t process_count;
	struct top_list channels, groups; // of struct top_channel, struct top_group
	char news[80]; // which processes have come and gone since the look before; or ""
};

void top_sample_init(struct top_sample *sample);
void top_sample_fini(struct top_sample *sample);

// Looks at LAYER at the time NOW (ms); keeps the best ROOM channels and groups. BEFORE is the look before, or NULL.
// Returns 0, -ENOMEM or what forebay_stat() returns.
int top_sample_take(struct top_sample *sample, const struct top_sample *before,
        struct forebay *layer, int64_t now, uint32_t room);

// How long to wait from one look to the next, in ms, if INTERVAL is wanted: looking never takes more than a hundredth
// of one processor's time.
int64_t top_pause(const struct top_sample *sample, int64_t interval);

// ---------------------------------------------------------------------------------------------
// What is shown
// ---------------------------------------------------------------------------------------------

enum top_section { TOP_ALL, TOP_ONLY_PROCESSES, TOP_ONLY_CHANNELS, TOP_ONLY_GROUPS, TOP_SECTIONS };

struct top_view {
	uint32_t width, height;
	enum top_section section;
	uint32_t offset;  // lines that the list is scrolled by
	int64_t interval; // ms
	bool paused, help;
	const char *layer;
	const char *notice; // instead of the sample's news; or NULL
	const char *clock;  // the time of day
};

enum top_style { TOP_PLAIN, TOP_HEAD, TOP_ALARM };

// Shows one line of the frame, which isn't longer than the view's width.
typedef void (*top_line)(const char *text, enum top_style style, void *context);

// Shows SAMPLE (NULL: there is none now), at most the view's height of lines.
void top_frame(
        const struct top_sample *sample, const struct top_view *view, top_line show, void *context);

// How many lines the list has that is scrolled (in a pause: has been kept), and how many of them are seen at a time.
uint32_t top_frame_lines(const struct top_sample *sample, const struct top_view *view);
uint32_t top_frame_page(const struct top_sample *sample, const struct top_view *view);

// ---------------------------------------------------------------------------------------------
// The terminal
// ---------------------------------------------------------------------------------------------

enum {
	TOP_KEY_NONE = 0, // time is up, or a signal has come
	TOP_KEY_UP = 256,
	TOP_KEY_DOWN,
	TOP_KEY_PAGE_UP,
	TOP_KEY_PAGE_DOWN,
	TOP_KEY_HOME,
	TOP_KEY_END,
	TOP_KEY_RESIZE,
};

// Takes the terminal over. NULL, or why it can't be used, as the rest of a sentence.
const char *top_screen_begin(void);
// Gives it back as it was. Also if it never was taken, or was given back before.
void top_screen_end(void);
void top_screen_size(uint32_t *width, uint32_t *height);
void top_screen_draw(const struct top_sample *sample, const struct top_view *view);
// Waits at most LIMIT ms for a key: a character, or one of the above.
int top_screen_key(int limit);
