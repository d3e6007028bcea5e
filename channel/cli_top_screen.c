// SPDX-License-Identifier: MIT
// cli_top_screen.c - lines of text on a terminal, by ncurses.
#include "channel/cli_top.h"

#include <curses.h>
#include <stdlib.h>
#include <term.h>
#include <unistd.h>

enum { ALARM_PAIR = 1 };

static SCREEN *screen;

// Whether the terminal has what terminfo(5) calls NAME.
static bool can(const char *name)
{
	const char *sequence = tigetstr(name);

	return sequence && sequence != (char *)-1;
}

const char *top_screen_begin(void)
{
	const char *term = getenv("TERM");
	bool drawable;
	int found;

	if (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
		return "input and output are no terminal";
	if (!term || !*term)
		return "TERM isn't set";
	if (setupterm(term, STDOUT_FILENO, &found) != OK)
		return "TERM names a terminal that isn't known here";
	drawable = can("cup") && can("clear");
	(void)del_curterm(cur_term);
	if (!drawable)
		return "this terminal can't be drawn on";
	screen = newterm(term, stdout, stdin);
	if (!screen)
		return "this terminal can't be used";
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	set_escdelay(50);
	(void)curs_set(0);
	if (has_colors() && start_color() == OK && use_default_colors() == OK)
		(void)init_pair(ALARM_PAIR, COLOR_RED, -1);
	return NULL;
}

void top_screen_end(void)
{
	if (!screen)
		return;
	endwin();
	delscreen(screen);
	screen = NULL;
}

void top_screen_size(uint32_t *width, uint32_t *height)
{
	int rows = getmaxy(stdscr), cells = getmaxx(stdscr);

	*width = cells > 0 ? (uint32_t)cells : 1;
	*height = rows > 0 ? (uint32_t)rows : 1;
}

static void draw_line(const char *text, enum top_style style, void *context)
{
	int *row = context;

	attrset(style == TOP_HEAD    ? A_REVERSE
	        : style == TOP_ALARM ? A_BOLD | COLOR_PAIR(ALARM_PAIR)
	                             : A_NORMAL);
	mvaddstr((*row)++, 0, text);
	attrset(A_NORMAL);
}

void top_screen_draw(const struct top_sample *sample, const struct top_view *view)
{
	int row = 0;

	erase();
	top_frame(sample, view, draw_line, &row);
	refresh();
}

int top_screen_key(int limit)
{
	int key;

	timeout(limit);
	key = getch();
	switch (key) {
	case ERR:
		return TOP_KEY_NONE;
	case KEY_UP:
		return TOP_KEY_UP;
	case KEY_DOWN:
		return TOP_KEY_DOWN;
	case KEY_PPAGE:
		return TOP_KEY_PAGE_UP;
	case KEY_NPAGE:
		return TOP_KEY_PAGE_DOWN;
	case KEY_HOME:
		return TOP_KEY_HOME;
	case KEY_END:
		return TOP_KEY_END;
	case KEY_RESIZE:
		return TOP_KEY_RESIZE;
	default:
		return key;
	}
}
