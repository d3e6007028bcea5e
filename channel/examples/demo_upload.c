// SPDX-License-Identifier: MIT
// demo_upload.c - request bodies, however large: their size and SHA-256.
//
// A body that fits into a message comes with the request, as its content. A larger one comes in
// messages of its own, on the channel that the request names in `body_channel`. How much of it is
// under way at a time is limited by that channel's capacity, so memory stays flat here, in the
// layer and in the server, and a client that sends faster than we hash is slowed down.
#include "channel/examples/demo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include <openssl/evp.h>

#define DIGEST_SIZE 32                    // octets of a SHA-256
#define HEX_SIZE    (2 * DIGEST_SIZE + 1) // as text, with its NUL

struct demo_upload {
	struct demo_upload *next;
	char reply_channel[FOREBAY_NAME_SIZE];
	char body_channel[FOREBAY_NAME_SIZE];
	EVP_MD_CTX *digest;
	uint64_t size;
	int64_t heard; // when the last part came, by demo_now()
};

static struct demo_upload *upload_new(const char *reply_channel, const char *body_channel)
{
	struct demo_upload *upload = calloc(1, sizeof *upload);

	if (!upload)
		return NULL;
	upload->digest = EVP_MD_CTX_new();
	if (!upload->digest || !EVP_DigestInit_ex(upload->digest, EVP_sha256(), NULL)) {
		EVP_MD_CTX_free(upload->digest);
		free(upload);
		return NULL;
	}
	snprintf(upload->reply_channel, sizeof upload->reply_channel, "%s", reply_channel);
	snprintf(upload->body_channel, sizeof upload->body_channel, "%s", body_channel);
	upload->heard = demo_now();
	return upload;
}

static void upload_free(struct demo_upload *upload)
{
	EVP_MD_CTX_free(upload->digest);
	free(upload);
}

// Unlinks and frees the upload that *LINK points to, and stops listening for it.
static void end(struct demo *demo, struct demo_upload **link)
{
	struct demo_upload *upload = *link;

	forebay_ignore(demo->layer, upload->body_channel);
	*link = upload->next;
	upload_free(upload);
}

// Takes the content of MESSAGE in, where it lies in shared memory: nothing is copied.
static void take(struct demo_upload *upload, struct forebay_message *message)
{
	struct iovec parts[FOREBAY_CONTENT_IOV];
	int count = forebay_message_content_iov(message, parts, FOREBAY_CONTENT_IOV);

	for (int i = 0; i < count; i++) {
		EVP_DigestUpdate(upload->digest, parts[i].iov_base, parts[i].iov_len);
		upload->size += parts[i].iov_len;
	}
}

// Ends the digest and writes it in hexadecimal.
static void finish_digest(struct demo_upload *upload, char hex[HEX_SIZE])
{
	unsigned char digest[DIGEST_SIZE];

	EVP_DigestFinal_ex(upload->digest, digest, NULL);
	for (int i = 0; i < DIGEST_SIZE; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static void answer(struct demo *demo, struct demo_upload *upload)
{
	char hex[HEX_SIZE], json[HEX_SIZE + 64];
	int length;

	finish_digest(upload, hex);
	length = snprintf(json, sizeof json, "{\"size\": %llu, \"sha256\": \"%s\"}\n",
	        (unsigned long long)upload->size, hex);
	demo_reply(demo, upload->reply_channel, 200, "application/json", json, (size_t)length);
}

// Whether the body was a form without files. The server has then made it into `post`, and there are
// no octets left to hash.
static bool is_text_form(struct forebay_message *request)
{
	const struct forebay_value *post = forebay_get(forebay_message_root(request), "post");

	return post && post->length > 0 && !forebay_message_content(request, &(size_t){0}, NULL);
}

void demo_upload_start(
        struct demo *demo, struct forebay_message *request, const char *reply_channel)
{
	const char *body_channel = forebay_get_string(request, "body_channel", NULL);
	struct demo_upload *upload;

	if (!body_channel && is_text_form(request)) {
		demo_reply_text(demo, reply_channel, 415,
		        "A form's fields are in `post`: give the body another Content-Type.\n");
		return;
	}
	upload = upload_new(reply_channel, body_channel ? body_channel : "");
	if (!upload) {
		demo_reply_text(demo, reply_channel, 503, "Out of memory\n");
	} else if (!body_channel) { // all of it is here, be it nothing
		take(upload, request);
		answer(demo, upload);
		upload_free(upload);
	} else if (forebay_listen(demo->layer, body_channel) != 0) {
		upload_free(upload); // the client has left already
	} else {
		upload->next = demo->uploads;
		demo->uploads = upload;
	}
}

bool demo_upload_continue(struct demo *demo, struct forebay_message *message)
{
	const char *channel = forebay_message_channel(message);
	struct demo_upload **link = &demo->uploads;

	while (*link && strcmp((*link)->body_channel, channel) != 0)
		link = &(*link)->next;
	if (!*link)
		return false;
	if (forebay_get_boolean(message, "closed", false)) { // left in the middle of the body
		end(demo, link);
		return true;
	}
	take(*link, message);
	(*link)->heard = demo_now();
	if (!forebay_get_boolean(message, "more_content", false)) {
		answer(demo, *link);
		end(demo, link);
	}
	return true;
}

void demo_upload_drop(struct demo *demo, const char *reply_channel)
{
	for (struct demo_upload **link = &demo->uploads; *link; link = &(*link)->next) {
		if (strcmp((*link)->reply_channel, reply_channel) == 0) {
			end(demo, link);
			return;
		}
	}
}

void demo_upload_sweep(struct demo *demo)
{
	const int64_t quiet = 1000;
	int64_t now = demo_now();

	for (struct demo_upload **link = &demo->uploads; *link;) {
		struct demo_upload *upload = *link;

		// Listening again changes nothing, but tells whether the channel has ended.
		if (now - upload->heard > quiet &&
		        forebay_listen(demo->layer, upload->body_channel) != 0)
			end(demo, link);
		else
			link = &upload->next;
	}
}
