// SPDX-License-Identifier: MIT
// http_param.h - parameters of Content-Type and Content-Disposition: `main; name=value; name="value"`.
//
// The division is that of Django 3.2 (django.http.multipartparser): a parameter ends at a ';' that has
// an even number of double quotes before it, whether backslashes precede those or not, because
// browsers write `name="a\"` for the name `a\`; a part without '=' is skipped.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/http_form.h"

// The parameters that are still to come.
struct http_param {
	struct http_form_text rest;
};

// Starts on a field's value; *MAIN (may be NULL) gets what stands before the first parameter,
// without white space around it.
void http_param_init(
        struct http_param *param, const char *value, size_t length, struct http_form_text *main);

// The next parameter: its name and its value as it is written, quotes included, both views without
// white space around them. False after the last.
bool http_param_next(
        struct http_param *param, struct http_form_text *name, struct http_form_text *value);

// Copies VALUE to OUT, which has room for value.length octets, without the quotes around it and
// the backslashes before backslashes and quotes in it. Returns the length. OUT may be value.data.
size_t http_param_unquote(char *out, struct http_form_text value);

// TEXT without white space around it.
struct http_form_text http_param_strip(struct http_form_text text);

// Whether TEXT is LITERAL (in lower case), in any letter case.
bool http_param_is(struct http_form_text text, const char *literal);
