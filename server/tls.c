// SPDX-License-Identifier: MIT
// tls.c - certificates, keys and settings of TLS; see tls.h.
#include "server/tls.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "server/log.h"

// Mozilla's "intermediate" list for TLS 1.2, without finite-field Diffie-Hellman; all have forward
// secrecy and are AEAD. Those of TLS 1.3 are all good, and OpenSSL's default.
static const char intermediate_ciphers[] =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
        "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

static const char groups[] = "X25519:P-256:P-384";

// As ALPN has it: each name behind its length.
static const unsigned char protocols[] = "\x08http/1.1";

// What session tickets are sealed with (RFC 5077, 4).
struct ticket_key {
	unsigned char name[16]; // in the ticket, in clear
	unsigned char cipher[32];
	unsigned char mac[32];
};

struct tls {
	SSL_CTX **contexts; // one a certificate
	size_t count;
	struct ticket_key current, former;
};

__attribute__((format(printf, 3, 4))) static int fail(
        char *error, int result, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error, TLS_ERROR_SIZE, format, arguments);
	va_end(arguments);
	return result;
}

// Why OpenSSL refused something, in its words: the first error of its queue. Empties its queue of errors.
static const char *reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());

	ERR_clear_error();
	return text ? text : "no reason is known";
}

// ---------------------------------------------------------------------------------------------
// In a handshake
// ---------------------------------------------------------------------------------------------

static bool bears_name(const struct tls *tls, size_t index, const char *name, unsigned flags)
{
	X509 *certificate = SSL_CTX_get0_certificate(tls->contexts[index]);

	return X509_check_host(certificate, name, 0, flags, NULL) == 1;
}

size_t tls_choose(const struct tls *tls, const char *name)
{
	static const unsigned manners[] = {
	        X509_CHECK_FLAG_NO_WILDCARDS, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS};

	for (size_t manner = 0; manner < sizeof(manners) / sizeof(manners[0]); manner++)
		for (size_t i = 0; i < tls->count; i++)
			if (bears_name(tls, i, name, manners[manner]))
				return i;
	return 0;
}

static int on_server_name(SSL *ssl, int *alert, void *argument)
{
	const struct tls *tls = argument;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	if (!name || tls->count == 1)
		return SSL_TLSEXT_ERR_OK;
	SSL_set_SSL_CTX(ssl, tls->contexts[tls_choose(tls, name)]);
	return SSL_TLSEXT_ERR_OK;
}

// A client that offers protocols, but not this one, is told so instead of getting what it can't read.
static int on_protocols(SSL *ssl, const unsigned char **chosen, unsigned char *length,
        const unsigned char *offered, unsigned offered_length, void *argument)
{
	unsigned char *choice;

	(void)ssl;
	(void)argument;
	if (SSL_select_next_proto(&choice, length, protocols, sizeof(protocols) - 1, offered,
	            offered_length) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*chosen = choice;
	return SSL_TLSEXT_ERR_OK;
}

static bool use_ticket_key(const struct ticket_key *key, const unsigned char *iv,
        EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
	const OSSL_PARAM parameters[] = {
	        OSSL_PARAM_construct_octet_string(
	                OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac, sizeof(key->mac)),
	        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
	        OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, parameters) == 1 &&
	       EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, encrypt) == 1;
}

// Seals a ticket (ENCRYPT), or opens one. Returns 1; 2 to have the ticket replaced by one of the
// current key; 0 if the key isn't known, which makes for a whole handshake; -1 for an error.
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
        EVP_MAC_CTX *mac, int encrypt)
{
	const struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const struct ticket_key *key = &tls->current;

	if (encrypt) {
		memcpy(name, key->name, sizeof(key->name));
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
			return -1;
	} else if (memcmp(name, key->name, sizeof(key->name)) != 0) {
		key = &tls->former;
		if (memcmp(name, key->name, sizeof(key->name)) != 0)
			return 0;
	}
	if (!use_ticket_key(key, iv, cipher, mac, encrypt))
		return -1;
	return key == &tls->current ? 1 : 2;
}

// ---------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------

// Notes that a passphrase is needed. The terminal isn't asked: the master may have none, and a reload
// couldn't wait for the answer.
static int no_passphrase(char *buffer, int size, int writing, void *argument)
{
	bool *is_encrypted = argument;

	(void)buffer;
	(void)size;
	(void)writing;
	*is_encrypted = true;
	return -1;
}

// OpenSSL says in several ways that a file can't be opened; errno says it in one.
static int check_readable(const char *what, const char *path, char *error)
{
	FILE *file = fopen(path, "re");
	int result = 0;

	// A directory can be opened, but not read.
	if (!file || (fgetc(file) == EOF && ferror(file)))
		result = -errno;
	if (file)
		fclose(file);
	return result < 0 ? fail(error, result, "cannot read the %s %s: %s", what, path,
	                            strerror(-result))
	                  : 0;
}

static int read_certificate(SSL_CTX *context, const char *path, char *error)
{
	int result = check_readable("certificate", path, error);

	if (result < 0)
		return result;
	if (SSL_CTX_use_certificate_chain_file(context, path) == 1)
		return 0;
	// The first error says what is wrong, those after it what came of it.
	if (ERR_GET_REASON(ERR_peek_error()) == PEM_R_NO_START_LINE) {
		ERR_clear_error();
		return fail(error, -EINVAL, "the file %s holds no certificate (PEM)", path);
	}
	return fail(error, -EINVAL, "cannot use the certificate %s: %s", path, reason());
}

static int refuse_key(const char *path, bool is_encrypted, char *error)
{
	ERR_clear_error();
	if (is_encrypted)
		return fail(error, -EINVAL,
		        "the key %s is encrypted: it has to be without a passphrase", path);
	return fail(error, -EINVAL, "the file %s holds no private key (PEM)", path);
}

static int read_key(SSL_CTX *context, const char *path, const char *certificate, char *error)
{
	bool is_encrypted = false;
	int result = check_readable("key", path, error);
	EVP_PKEY *key;
	BIO *file;

	if (result < 0)
		return result;
	file = BIO_new_file(path, "r");
	key = file ? PEM_read_bio_PrivateKey(file, NULL, no_passphrase, &is_encrypted) : NULL;
	BIO_free(file);
	if (!key)
		return refuse_key(path, is_encrypted, error);
	if (X509_check_private_key(SSL_CTX_get0_certificate(context), key) != 1)
		result = fail(error, -EINVAL, "the key %s doesn't belong to the certificate %s",
		        path, certificate);
	else if (SSL_CTX_use_PrivateKey(context, key) != 1)
		result = fail(error, -EINVAL, "cannot use the key %s: %s", path, reason());
	ERR_clear_error();
	EVP_PKEY_free(key);
	return result;
}

// A certificate that clients won't accept is no reason not to serve those who don't look.
static void warn_of_dates(SSL_CTX *context, const char *path)
{
	const X509 *certificate = SSL_CTX_get0_certificate(context);

	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
		log_warning("the certificate %s has expired", path);
	if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
		log_warning("the certificate %s isn't valid yet", path);
}

static void set_callbacks(SSL_CTX *context, struct tls *tls)
{
	SSL_CTX_set_app_data(context, tls);
	SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
	SSL_CTX_set_tlsext_servername_arg(context, tls);
	SSL_CTX_set_alpn_select_cb(context, on_protocols, NULL);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
}

static int set_up(SSL_CTX *context, const struct options *options, char *error)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION}; // as --tls-min-version
	const char *ciphers = options->tls_ciphers ? options->tls_ciphers : intermediate_ciphers;

	SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
	                                     // HTTP says itself where a request ends.
	                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
	                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	                                  SSL_MODE_RELEASE_BUFFERS);
	// Else a peer that sends nothing but new keys could hold a worker in one call.
	SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_read_ahead(context, 1); // a record's head and body by one system call
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); // tickets do
	SSL_CTX_set_min_proto_version(context, versions[options->tls_min_version]);
	if (SSL_CTX_set_cipher_list(context, ciphers) != 1) {
		ERR_clear_error();
		return fail(error, -EINVAL,
		        "--tls-ciphers: '%s' selects no cipher; `openssl ciphers` lists all",
		        ciphers);
	}
	if (SSL_CTX_set1_groups_list(context, groups) != 1)
		return fail(error, -EINVAL, "OpenSSL lacks the groups %s: %s", groups, reason());
	return 0;
}

// Whether two certificates are for the same names, but have keys of different kinds (RSA, ECDSA).
static bool are_twins(X509 *one, X509 *other)
{
	ASN1_OCTET_STRING *names[2];
	X509 *both[2] = {one, other};

	for (int i = 0; i < 2; i++) {
		int place = X509_get_ext_by_NID(both[i], NID_subject_alt_name, -1);

		if (place < 0)
			return false;
		names[i] = X509_EXTENSION_get_data(X509_get_ext(both[i], place));
	}
	return ASN1_OCTET_STRING_cmp(names[0], names[1]) == 0 &&
	       EVP_PKEY_get_base_id(X509_get0_pubkey(one)) !=
	               EVP_PKEY_get_base_id(X509_get0_pubkey(other));
}

// A context has one certificate for each kind of key, and OpenSSL takes the one that the client can check. So one
// whose names are those of an earlier one, with another kind of key, goes into that one's context too.
static int join_twin(struct tls *tls, size_t index, const char *path, const char *key, char *error)
{
	X509 *certificate = SSL_CTX_get0_certificate(tls->contexts[index]);

	for (size_t i = 0; i < index; i++) {
		SSL_CTX *context = tls->contexts[i];
		int result;

		if (!are_twins(SSL_CTX_get0_certificate(context), certificate))
			continue;
		result = read_certificate(context, path, error);
		return result == 0 ? read_key(context, key, path, error) : result;
	}
	return 0;
}

static int add_certificate(
        struct tls *tls, const struct options *options, size_t index, char *error)
{
	const char *path = options->tls_certificate.items[index];
	const char *key = options->tls_key.count ? options->tls_key.items[index] : path;
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	int result;

	if (!context)
		return fail(error, -ENOMEM, "cannot set TLS up: %s", reason());
	tls->contexts[tls->count++] = context;
	set_callbacks(context, tls);
	result = set_up(context, options, error);
	if (result == 0)
		result = read_certificate(context, path, error);
	if (result == 0)
		result = read_key(context, key, path, error);
	if (result == 0)
		warn_of_dates(context, path);
	return result == 0 ? join_twin(tls, index, path, key, error) : result;
}

static int make_ticket_keys(struct tls *tls, const struct tls *former, char *error)
{
	if (RAND_bytes((unsigned char *)&tls->current, sizeof(tls->current)) != 1 ||
	        RAND_bytes((unsigned char *)&tls->former, sizeof(tls->former)) != 1)
		return fail(error, -EIO, "cannot make keys for session tickets: %s", reason());
	if (former)
		tls->former = former->current;
	return 0;
}

static int check_counts(const struct options *options, char *error)
{
	size_t certificates = options->tls_certificate.count, keys = options->tls_key.count;

	if (certificates == 0)
		return fail(error, -EINVAL, "--bind https://... needs --tls-certificate");
	if (keys && keys != certificates)
		return fail(error, -EINVAL,
		        "there must be one --tls-key for each --tls-certificate, in the same order "
		        "(or none, if they are in the certificates' files): %zu for %zu",
		        keys, certificates);
	return 0;
}

int tls_new(const struct options *options, const struct tls *former, struct tls **tls,
        char error[TLS_ERROR_SIZE])
{
	int result = check_counts(options, error);
	struct tls *fresh;

	*tls = NULL;
	if (result < 0)
		return result;
	fresh = calloc(1, sizeof(*fresh));
	if (fresh)
		fresh->contexts = calloc(options->tls_certificate.count, sizeof(SSL_CTX *));
	if (!fresh || !fresh->contexts) {
		tls_free(fresh);
		return fail(error, -ENOMEM, "out of memory");
	}
	ERR_clear_error();
	result = make_ticket_keys(fresh, former, error);
	for (size_t i = 0; result == 0 && i < options->tls_certificate.count; i++)
		result = add_certificate(fresh, options, i, error);
	if (result < 0)
		tls_free(fresh);
	else
		*tls = fresh;
	return result;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	for (size_t i = 0; i < tls->count; i++)
		SSL_CTX_free(tls->contexts[i]);
	free(tls->contexts);
	OPENSSL_cleanse(&tls->current, sizeof(tls->current));
	OPENSSL_cleanse(&tls->former, sizeof(tls->former));
	free(tls);
}

SSL *tls_accept(const struct tls *tls)
{
	SSL *ssl = SSL_new(tls->contexts[0]);

	if (ssl)
		SSL_set_accept_state(ssl);
	return ssl;
}
