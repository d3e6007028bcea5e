// SPDX-License-Identifier: MIT
// tls.h - certificates, keys and settings of TLS: read by the master, shared by all workers.
//
// The master reads the files while it may (keys often belong to root) and forks the workers after
// that, so they have certificates, keys and ticket keys in common: a session that one worker began is
// resumed by any other. A reload makes a new struct tls. Its ticket keys are new, too, and the former
// ones are still good for resuming, once, so that a reload doesn't cost every client a handshake.
//
// With several certificates, the name that a client asks for (SNI) chooses the one that bears it; if
// none does, or no name is asked for, the first is used. Names are those of the certificate itself;
// one that is spelled out goes before a wildcard.
#pragma once

#include <stddef.h>

#include <openssl/ssl.h>

#include "server/options.h"

#define TLS_ERROR_SIZE 512

struct tls;

// Reads what OPTIONS name. FORMER (may be NULL) is what is replaced; it isn't changed. Warns in the log
// of certificates that are not valid now. Returns 0; or a negative errno and ERROR, a sentence that
// names the file. Ends with tls_free().
int tls_new(const struct options *options, const struct tls *former, struct tls **tls,
        char error[TLS_ERROR_SIZE]);

// Accepts NULL.
void tls_free(struct tls *tls);

// A new server side of a connection, or NULL if the heap is exhausted.
SSL *tls_accept(const struct tls *tls);

// Which certificate, from 0 in the order of the options, a client gets that asks for NAME.
size_t tls_choose(const struct tls *tls, const char *name);
