// SPDX-License-Identifier: MIT
// test_tls_stream.c - both ends of TLS in one process, over sockets that take and give little at a
// time: what is written arrives, in order, whole, and whatever parts it was written in.
#include "server/tls_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tests/test.h"

static char certificate_path[64];

// Writes certificate and key for NAME to one file.
static void make_certificate(const char *name, const char *names)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
	FILE *file;

	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
	        (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
	X509_add_ext(certificate, extension, -1);
	X509_set_pubkey(certificate, key);
	X509_sign(certificate, key, EVP_sha256());
	snprintf(certificate_path, sizeof(certificate_path), "%s/%s", test_directory, name);
	file = fopen(certificate_path, "w");
	PEM_write_X509(file, certificate);
	PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	fclose(file);
	X509_EXTENSION_free(extension);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

// A server's settings with a certificate for each of COUNT names.
static struct tls *make_tls(const char *const (*names)[2], size_t count)
{
	char *paths[8], error[TLS_ERROR_SIZE];
	struct options options = {.tls_certificate = {paths, count}};
	struct tls *tls;
	int result;

	for (size_t i = 0; i < count; i++) {
		make_certificate(names[i][0], names[i][1]);
		paths[i] = strdup(certificate_path);
	}
	result = tls_new(&options, NULL, &tls, error);
	for (size_t i = 0; i < count; i++) {
		unlink(paths[i]);
		free(paths[i]);
	}
	if (result < 0)
		printf("# %s\n", error);
	return tls;
}

TEST(the_name_chooses_the_certificate)
{
	static const char *const names[][2] = {
	        {"a", "DNS:a.test"},
	        {"b", "DNS:*.b.test, DNS:b.test"},
	        {"c", "DNS:x.b.test"},
	        {"d", "DNS:a.test"},
	};
	struct tls *tls = make_tls(names, 4);

	EXPECT(tls);
	EXPECT_INT(tls_choose(tls, "a.test"), 0);
	EXPECT_INT(tls_choose(tls, "b.test"), 1);
	EXPECT_INT(tls_choose(tls, "y.b.test"), 1);
	EXPECT_INT(tls_choose(tls, "x.b.test"), 2);
	EXPECT_INT(tls_choose(tls, "X.B.Test"), 2);
	EXPECT_INT(tls_choose(tls, "z.y.b.test"), 0);
	EXPECT_INT(tls_choose(tls, ""), 0);
	EXPECT_INT(tls_choose(tls, "nobody.test"), 0);
	tls_free(tls);
}

// A server's stream and a client of OpenSSL's.
struct pair {
	struct tls *tls;
	struct tls_stream stream;
	SSL_CTX *context;
	SSL *client;
	int fds[2];
};

static void open_pair(struct pair *pair, int version)
{
	static const char *const names[][2] = {{"a", "DNS:a.test"}};
	const int small = 4096;

	signal(SIGPIPE, SIG_IGN);
	pair->tls = make_tls(names, 1);
	EXPECT(pair->tls);
	EXPECT_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair->fds), 0);
	setsockopt(pair->fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	setsockopt(pair->fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	EXPECT_INT(tls_stream_init(&pair->stream, pair->tls, pair->fds[0]), 0);
	pair->context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(pair->context, version);
	pair->client = SSL_new(pair->context);
	SSL_set_fd(pair->client, pair->fds[1]);
	SSL_set_connect_state(pair->client);
}

static void shake_hands(struct pair *pair)
{
	const char *why = "none";
	int result = TLS_STREAM_WAIT;

	while (result == TLS_STREAM_WAIT) {
		SSL_do_handshake(pair->client);
		result = tls_stream_handshake(&pair->stream, &why);
	}
	EXPECT_INT(result, 0);
	while (SSL_do_handshake(pair->client) != 1)
		;
}

static void close_pair(struct pair *pair)
{
	SSL_free(pair->client);
	SSL_CTX_free(pair->context);
	tls_stream_fini(&pair->stream);
	tls_stream_fini(&pair->stream);
	tls_free(pair->tls);
	close(pair->fds[0]);
	close(pair->fds[1]);
}

enum { SIZE = 200000 };
static unsigned char sent[SIZE], moved[SIZE], received[SIZE];

// Cuts LENGTH octets at DATA into parts of varying size, some empty. Returns how many parts.
static int cut(struct iovec *parts, int most, unsigned char *data, size_t length, unsigned *seed)
{
	static const size_t sizes[] = {1, 0, 100, 16384, 16383, 5, 40000, 16385, 0, 700};
	int count = 0;

	while (length > 0 && count < most) {
		size_t size = sizes[(*seed)++ % (sizeof(sizes) / sizeof(sizes[0]))];

		if (size > length)
			size = length;
		parts[count++] = (struct iovec){data, size};
		data += size;
		length -= size;
	}
	return count;
}

// Writes everything while the client reads a little now and then. What is refused is offered again from
// another place, and cut otherwise, with at least as much.
static void pass_on(struct pair *pair)
{
	size_t written = 0, got = 0, refused = 0, count;
	unsigned seed = 0;

	for (size_t i = 0; i < SIZE; i++)
		sent[i] = moved[i] = (unsigned char)(i * 7 + i / 256);
	while (got < SIZE) {
		unsigned char *from = refused % 2 ? moved : sent;
		struct iovec parts[64];
		ssize_t result = tls_stream_write(&pair->stream, parts,
		        cut(parts, 64, from + written, SIZE - written, &seed));

		if (result < 0) {
			EXPECT_INT(errno, EAGAIN);
			refused++;
		} else {
			written += (size_t)result;
		}
		if (SSL_read_ex(pair->client, received + got, 1000, &count))
			got += count;
	}
	EXPECT_INT(written, SIZE);
	EXPECT(refused > 10);
	EXPECT(memcmp(sent, received, SIZE) == 0);
}

TEST(what_is_written_in_any_parts_arrives)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

	for (int i = 0; i < 2; i++) {
		struct pair pair;

		open_pair(&pair, versions[i]);
		if (test_failed())
			return;
		shake_hands(&pair);
		if (!test_failed())
			pass_on(&pair);
		close_pair(&pair);
	}
}

TEST(what_is_pending_is_told_and_the_end_comes_after_it)
{
	struct pair pair;
	char buffer[64];
	size_t count;

	open_pair(&pair, TLS1_3_VERSION);
	shake_hands(&pair);
	EXPECT(!test_failed());
	errno = 0;
	EXPECT_INT(tls_stream_read(&pair.stream, buffer, sizeof(buffer)), -1);
	EXPECT_INT(errno, EAGAIN);
	EXPECT(!tls_stream_pending(&pair.stream));
	EXPECT(SSL_write_ex(pair.client, "one record", 10, &count));
	EXPECT(SSL_write_ex(pair.client, "another", 7, &count));
	EXPECT_INT(SSL_shutdown(pair.client), 0);
	EXPECT_INT(tls_stream_read(&pair.stream, buffer, 4), 4);
	EXPECT(tls_stream_pending(&pair.stream));
	EXPECT_INT(tls_stream_read(&pair.stream, buffer, sizeof(buffer)), 6);
	EXPECT(memcmp(buffer, "record", 6) == 0);
	EXPECT_INT(tls_stream_read(&pair.stream, buffer, sizeof(buffer)), 7);
	EXPECT_INT(tls_stream_read(&pair.stream, buffer, sizeof(buffer)), 0);
	EXPECT_INT(tls_stream_read(&pair.stream, buffer, sizeof(buffer)), 0);
	// The client has only ended its side.
	EXPECT_INT(tls_stream_write(&pair.stream, &(struct iovec){buffer, 6}, 1), 6);
	EXPECT_INT(tls_stream_finish(&pair.stream), 0);
	EXPECT(SSL_read_ex(pair.client, buffer, sizeof(buffer), &count));
	EXPECT_INT(count, 6);
	EXPECT(!SSL_read_ex(pair.client, buffer, sizeof(buffer), &count));
	EXPECT_INT(SSL_get_error(pair.client, 0), SSL_ERROR_ZERO_RETURN);
	close_pair(&pair);
}

// Passes octets from the client to the stream by hand.
static void carry(const char *octets, size_t length, int fd)
{
	EXPECT_INT(write(fd, octets, length), (ssize_t)length);
}

TEST(a_piece_of_a_record_is_nothing_to_read_on)
{
	struct pair pair;
	char record[256], buffer[64];
	long length;
	size_t count;
	BIO *memory = BIO_new(BIO_s_mem());
	char *octets;

	open_pair(&pair, TLS1_3_VERSION);
	shake_hands(&pair);
	EXPECT(!test_failed());
	SSL_set0_wbio(pair.client, memory);
	EXPECT(SSL_write_ex(pair.client, "one", 3, &count));
	EXPECT(SSL_write_ex(pair.client, "two", 3, &count));
	length = BIO_get_mem_data(memory, &octets);
	EXPECT(length > 10 && length <= (long)sizeof(record));
	memcpy(record, octets, (size_t)length);
	carry(record, (size_t)length - 1, pair.fds[1]);
	EXPECT_INT(tls_stream_read(&pair.stream, buffer, sizeof(buffer)), 3);
	EXPECT(tls_stream_pending(&pair.stream));
	// Who reads on finds only the beginning of a record. To try again at once would be to spin.
	EXPECT_INT(tls_stream_read(&pair.stream, buffer, sizeof(buffer)), -1);
	EXPECT_INT(errno, EAGAIN);
	EXPECT(!tls_stream_pending(&pair.stream));
	carry(record + length - 1, 1, pair.fds[1]);
	EXPECT_INT(tls_stream_read(&pair.stream, buffer, sizeof(buffer)), 3);
	EXPECT(!tls_stream_pending(&pair.stream));
	close_pair(&pair);
}

// More than OpenSSL reads ahead; that much it deals with in one call.
TEST(new_keys_without_end_dont_hold_the_reader)
{
	enum { UPDATES = 2000 };
	const int large = 1 << 20;
	struct pair pair;
	BIO *memory = BIO_new(BIO_s_mem());
	char buffer[64], *octets;
	size_t count;
	long length;

	open_pair(&pair, TLS1_3_VERSION);
	shake_hands(&pair);
	EXPECT(!test_failed());
	setsockopt(pair.fds[1], SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
	SSL_set0_wbio(pair.client, memory);
	for (int i = 0; i < UPDATES; i++) {
		EXPECT(SSL_key_update(pair.client, SSL_KEY_UPDATE_NOT_REQUESTED));
		EXPECT_INT(SSL_do_handshake(pair.client), 1);
	}
	EXPECT(SSL_write_ex(pair.client, "behind", 6, &count));
	length = BIO_get_mem_data(memory, &octets);
	carry(octets, (size_t)length, pair.fds[1]);
	EXPECT_INT(tls_stream_read(&pair.stream, buffer, sizeof(buffer)), -1);
	EXPECT_INT(errno, EAGAIN);
	EXPECT(recv(pair.fds[0], buffer, 1, MSG_PEEK) == 1 || tls_stream_pending(&pair.stream));
	while (tls_stream_read(&pair.stream, buffer, sizeof(buffer)) < 0)
		EXPECT_INT(errno, EAGAIN);
	EXPECT(memcmp(buffer, "behind", 6) == 0);
	close_pair(&pair);
}

TEST(a_peer_that_has_gone_is_an_error_of_writing)
{
	struct pair pair;
	char octet = 0;

	open_pair(&pair, TLS1_3_VERSION);
	shake_hands(&pair);
	EXPECT(!test_failed());
	close(pair.fds[1]);
	EXPECT_INT(tls_stream_write(&pair.stream, &(struct iovec){&octet, 1}, 1), -1);
	EXPECT_INT(errno, EPIPE);
	EXPECT_INT(tls_stream_finish(&pair.stream), 0);
	pair.fds[1] = dup(pair.fds[0]);
	close_pair(&pair);
}

TEST(http_without_tls_is_recognised_and_left_unread)
{
	const char *why = NULL;
	struct pair pair;
	char buffer[16];

	open_pair(&pair, TLS1_3_VERSION);
	EXPECT(!test_failed());
	EXPECT_INT(tls_stream_handshake(&pair.stream, &why), TLS_STREAM_WAIT);
	EXPECT_INT(write(pair.fds[1], "PURGE / HTTP", 12), 12);
	EXPECT_INT(tls_stream_handshake(&pair.stream, &why), TLS_STREAM_NOT_TLS);
	EXPECT_INT(read(pair.fds[0], buffer, sizeof(buffer)), 12);
	close_pair(&pair);
}
