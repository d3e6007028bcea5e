// SPDX-License-Identifier: MIT
// fuzz_websocket_gate.c - frames: the judgement does not depend on cuts, and libwebsockets takes what was
// approved, delivers exactly the payload, and answers exactly the pings.
#include "tests/fuzz/fuzz.h"

#include "server/log.h"
#include "server/lws_loop.h"
#include "server/websocket_gate.h"

#define LIMIT 60000 // octets of a message

// What a connection came to: the payloads, the PONGs and the end, in the order in which they came.
struct transcript {
	char *octets;
	size_t length;
};

struct run {
	struct lws_seam seam;
	struct websocket_gate gate;
	struct transcript payload, pongs;
	char *input; // its own copy: the gate may change it
	size_t begin, end;
	uint64_t expected; // octets of payload that were approved
	int result;        // a close code, WEBSOCKET_GATE_CLOSE, or 0
	uint16_t code;
};

static struct lws_loop loop;

static void note(struct transcript *transcript, const void *octets, size_t length)
{
	if (length)
		memcpy(transcript->octets + transcript->length, octets, length);
	transcript->length += length;
}

static void on_output(struct lws_seam *seam, const void *data, size_t length)
{
	struct run *run = (struct run *)seam; // its first member

	if (length < 4 || memcmp(data, "HTTP", 4) != 0)
		note(&run->pongs, data, length);
}

static void on_payload(struct lws_seam *seam, const char *data, size_t length)
{
	note(&((struct run *)seam)->payload, data, length);
}

static const struct lws_seam_side side = {on_output, on_payload};

static void start(struct run *run, const uint8_t *data, size_t size)
{
	memset(run, 0, sizeof(*run));
	run->input = malloc(size + 1);
	run->payload.octets = malloc(size + 1);
	run->pongs.octets = malloc(size + 1);
	fuzz_require(run->input && run->payload.octets && run->pongs.octets);
	memcpy(run->input, data, size);
	websocket_gate_init(&run->gate, LIMIT, true);
	fuzz_require(
	        lws_loop_open(&loop, &run->seam, &side, "dGhlIHNhbXBsZSBub25jZQ==", "", 0) == 0);
}

// The answer to the PING at FRAME, as it should be.
static void check_pong(const struct run *run, const char *frame, size_t length, size_t before)
{
	const char *pong = run->pongs.octets + before;

	fuzz_require(run->pongs.length == before + length - 4);
	fuzz_require((uint8_t)pong[0] == 0x8a && (size_t)pong[1] == length - 6);
	for (size_t i = 6; i < length; i++)
		fuzz_require(pong[i - 4] == (char)(frame[i] ^ frame[2 + (i - 6) % 4]));
}

// Lets in what has arrived up to END.
static void feed(struct run *run, size_t end)
{
	struct websocket_close close;

	run->end = end;
	while (run->result == 0) {
		char *data = run->input + run->begin;
		size_t have = run->end - run->begin, pongs = run->pongs.length;
		int result = websocket_gate_feed(&run->gate, data, have, &close);

		fuzz_require(run->gate.approved <= have);
		if (result == WEBSOCKET_GATE_MORE)
			break;
		if (result == WEBSOCKET_GATE_DATA || result == WEBSOCKET_GATE_MESSAGE ||
		        result == WEBSOCKET_GATE_PING) {
			fuzz_require(run->gate.approved > 0);
			fuzz_require(
			        lws_loop_feed(&loop, &run->seam, data, run->gate.approved) == 0);
			if (result == WEBSOCKET_GATE_PING)
				check_pong(run, data, run->gate.approved, pongs);
			else
				run->expected += run->gate.approved - run->gate.header;
		} else if (result == WEBSOCKET_GATE_CLOSE) {
			run->code = close.code;
			fuzz_require(close.code == WEBSOCKET_NO_CODE ||
			             websocket_gate_is_code(close.code));
			run->result = result;
		} else if (result != WEBSOCKET_GATE_PONG) {
			fuzz_require(result == 1002 || result == 1007 || result == 1009);
			fuzz_require(run->gate.why != NULL);
			run->result = result;
		}
		run->begin += run->gate.approved;
	}
	fuzz_require(run->payload.length == run->expected);
}

static void finish(struct run *run)
{
	lws_loop_close(&loop, &run->seam);
	fuzz_require(!run->seam.wsi);
	free(run->input);
	free(run->payload.octets);
	free(run->pongs.octets);
}

static bool same(const struct transcript *a, const struct transcript *b)
{
	return a->length == b->length && memcmp(a->octets, b->octets, a->length) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t cut = fuzz_cut(&data, &size);
	struct run whole, pieces;

	if (!loop.context) {
		log_init("-", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
		fuzz_require(lws_loop_init(&loop) == 0);
	}
	start(&whole, data, size);
	start(&pieces, data, size);
	feed(&whole, size);
	feed(&pieces, cut);
	for (size_t end = cut; pieces.result == 0 && end < size;)
		feed(&pieces, ++end);
	fuzz_require(whole.result == pieces.result && whole.code == pieces.code);
	// An error is found with the first octet that decides it, so nothing is delivered that wasn't before.
	fuzz_require(same(&whole.payload, &pieces.payload) && same(&whole.pongs, &pieces.pongs));
	finish(&whole);
	finish(&pieces);
	return 0;
}
