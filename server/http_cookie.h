// SPDX-License-Identifier: MIT
// http_cookie.h - the Cookie field as django.http.cookie.parse_cookie reads it.
//
// The octets are taken for UTF-8, what is broken becomes U+FFFD. Fields are separated by ';', Unicode
// white space around names and values is stripped, a field without '=' is a value with an empty
// name, a value in double quotes loses them and its backslash escapes (\ooo, \c). Of several
// cookies with one name the last wins, in the place of the first. No input is an error.
#pragma once

#include "server/http_form.h"

// Adds the cookies in LENGTH octets of TEXT to COOKIES, each name with one value. Several Cookie
// fields of one request are to be joined by "; " (RFC 9113, 8.2.3) or parsed one after the other.
// Returns 0, -ENOMEM, or HTTP_FORM_TOO_MANY or HTTP_FORM_TOO_LARGE, which can't happen while
// the limits of the form exceed those of the head. In every case COOKIES stays usable.
int http_cookie_parse(struct http_form *cookies, const char *text, size_t length);
