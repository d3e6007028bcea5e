// SPDX-License-Identifier: MIT
// parity_driver.c - lets test_django_parity.py ask the parsers: a case in, a line of JSON out.
//
// A case is a line "KIND LENGTH ARGUMENT" and LENGTH octets. The kinds, and their answers:
//	query    (argument: charset)       {"key": ["value", ...], ...}, or an outcome as a number
//	cookie                             {"name": "value", ...}
//	path                               "path", or 400
//	multipart (argument: content type) {"key": [...]} of the text fields, or a status
//	files     (argument: content type) [[name, file name, length], ...], or a status
#include "server/http_cookie.h"
#include "server/http_form.h"
#include "server/http_multipart.h"
#include "server/http_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What the multipart parser reports goes here; the parser comes first, so it is found by a cast.
struct body {
	struct http_multipart multipart;
	struct http_form form;
	struct http_form_text file; // the buffer behind it is file_name
	char field[4096], file_name[8192];
	enum http_form_charset charset;
	const char *separator;
	bool print_files;
};

static void print_string(struct http_form_text text)
{
	putchar('"');
	for (size_t i = 0; i < text.length; i++) {
		unsigned char octet = (unsigned char)text.data[i];

		if (octet < ' ' || octet == '"' || octet == '\\' || octet == 0x7F)
			printf("\\u%04x", octet);
		else
			putchar(octet);
	}
	putchar('"');
}

static void print_form(const struct http_form *form, bool lists)
{
	struct http_form_cursor cursor = {0};
	struct http_form_text key, value;
	const char *before_key = "";

	putchar('{');
	while (http_form_next_key(form, &cursor, &key)) {
		const char *before_value = lists ? "[" : "";

		fputs(before_key, stdout);
		print_string(key);
		putchar(':');
		while (http_form_next_value(form, &cursor, &value)) {
			fputs(before_value, stdout);
			print_string(value);
			before_value = ",";
		}
		fputs(lists ? "]" : "", stdout);
		before_key = ",";
	}
	puts("}");
}

static void query(const char *data, size_t length, const char *charset)
{
	struct http_form form;

	http_form_init(&form, 0, 0);
	int result =
	        http_form_parse(&form, data, length, http_form_charset(charset, strlen(charset)));
	if (result)
		printf("%d\n", result);
	else
		print_form(&form, true);
	http_form_fini(&form);
}

static void cookie(const char *data, size_t length)
{
	struct http_form form;

	http_form_init(&form, 100000, 0);
	int result = http_cookie_parse(&form, data, length);
	if (result)
		printf("%d\n", result);
	else
		print_form(&form, false);
	http_form_fini(&form);
}

static void path(const char *data, size_t length)
{
	char *out = malloc(HTTP_PATH_SIZE(length));
	const char *reason;
	size_t size;

	if (!out || http_path_decode(data, length, out, &size, &reason)) {
		puts("400");
	} else {
		print_string((struct http_form_text){out, size});
		putchar('\n');
	}
	free(out);
}

static int part_begin(struct http_multipart *multipart, const struct http_multipart_part *part)
{
	struct body *body = (struct body *)multipart;

	body->file.data = NULL;
	if (!part->filename.data)
		return http_form_open(&body->form, part->name.data, part->name.length);
	memcpy(body->field, part->name.data, part->name.length);
	body->field[part->name.length] = '\0';
	memcpy(body->file_name, part->filename.data, part->filename.length);
	body->file = (struct http_form_text){body->file_name, part->filename.length};
	return 0;
}

static int part_data(struct http_multipart *multipart, const char *data, size_t length)
{
	struct body *body = (struct body *)multipart;

	return body->file.data ? 0 : http_form_append(&body->form, data, length);
}

static int part_end(struct http_multipart *multipart, uint64_t length)
{
	struct body *body = (struct body *)multipart;

	if (!body->file.data)
		return http_form_close(&body->form, body->charset);
	if (body->print_files) {
		fputs(body->separator, stdout);
		body->separator = ",";
		putchar('[');
		print_string((struct http_form_text){body->field, strlen(body->field)});
		putchar(',');
		print_string(body->file);
		printf(",%llu]", (unsigned long long)length);
	}
	return 0;
}

static void multipart(const char *data, size_t length, const char *content_type, bool files)
{
	static const struct http_multipart_callbacks callbacks = {part_begin, part_data, part_end};
	static struct body body;

	body.print_files = files;
	body.separator = files ? "[" : "";
	http_form_init(&body.form, 0, 0);
	http_form_content_type(content_type, strlen(content_type), &body.charset);
	int result = http_multipart_init(
	        &body.multipart, content_type, strlen(content_type), body.charset, 0, &callbacks);
	// In pieces, so that every input also exercises the restarts.
	for (size_t at = 0; result == 0 && at < length; at += 7)
		result = http_multipart_feed(
		        &body.multipart, data + at, length - at < 7 ? length - at : 7);
	if (result == 0)
		result = http_multipart_finish(&body.multipart);
	if (files)
		puts(*body.separator == '[' ? "[]" : "]");
	else if (result)
		printf("%d\n", result);
	else
		print_form(&body.form, true);
	http_form_fini(&body.form);
}

int main(void)
{
	char line[4096], kind[32];
	size_t length;
	int argument;

	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%31s %zu %n", kind, &length, &argument) != 2)
			return EXIT_FAILURE;

		char *data = malloc(length + 1);

		if (!data || fread(data, 1, length, stdin) != length)
			return EXIT_FAILURE;
		if (strcmp(kind, "query") == 0)
			query(data, length, line + argument);
		else if (strcmp(kind, "cookie") == 0)
			cookie(data, length);
		else if (strcmp(kind, "path") == 0)
			path(data, length);
		else
			multipart(data, length, line + argument, strcmp(kind, "files") == 0);
		free(data);
	}
	return EXIT_SUCCESS;
}
