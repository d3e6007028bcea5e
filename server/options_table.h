// SPDX-License-Identifier: MIT
// options_table.h - every option of `forebay serve`, once: included several times by options.[ch].
//
// OPTION_GROUP(TITLE) starts a heading of --help. OPTION(TYPE, FIELD, DEFAULT, RANGE, VALUE, EFFECT, HELP):
//   TYPE    decides the C type of options->FIELD and the syntax of its value, see options.h
//   FIELD   the member of struct options; the option's name is FIELD with '-' for '_'
//   DEFAULT as a user would write it; NULL for none
//   RANGE   "LEAST..MOST" as a user would write them, "one|two|three" for an ENUM, or NULL
//   VALUE   what --help calls the value
//   EFFECT  of a change at a reload: RELOAD takes effect, RESTART waits for a restart
//   HELP    one line, without a full stop
//
// No #pragma once here: each inclusion defines the two macros anew.

// These rows are no C.
// clang-format off

OPTION_GROUP("Listening")
OPTION(ADDRESSES, bind, "127.0.0.1:8000", NULL, "ADDRESS", RELOAD,
        "listen on HOST:PORT, [IPV6]:PORT or unix:/PATH; https:// before a host is for TLS; port 0 "
        "takes any free one")
OPTION(ADDRESSES, status_bind, NULL, NULL, "ADDRESS", RELOAD,
        "tell about the server itself there, written as for bind: /status, /metrics and /healthz; "
        "none by default, for whoever can connect sees names of channels and processes")
OPTION(INTEGER, backlog, "1024", "1..65535", "N", RELOAD,
        "connections that may wait to be accepted, per address")
OPTION(WORKERS, workers, "auto", "1..128", "N", RELOAD,
        "worker processes; auto: as many as there are processors")
OPTION(INTEGER, max_connections, "16384", "1..1000000", "N", RELOAD,
        "client connections per worker; above it, new ones wait in the backlog")

OPTION_GROUP("TLS")
OPTION(PATHS, tls_certificate, NULL, NULL, "FILE", RELOAD,
        "certificate for https:// addresses, with the intermediate ones behind it, in PEM; of several, "
        "the one that bears the name the client asks for, or else the first; read again at a reload")
OPTION(PATHS, tls_key, NULL, NULL, "FILE", RELOAD,
        "private key in PEM, without a passphrase: one for each certificate in the same order, or none "
        "if they are in the certificates' files")
OPTION(ENUM, tls_min_version, "1.2", "1.2|1.3", "VERSION", RELOAD, "oldest version of TLS to speak")
OPTION(STRING, tls_ciphers, NULL, NULL, "LIST", RELOAD,
        "cipher suites for TLS 1.2, as OpenSSL names them, instead of Mozilla's intermediate ones")

OPTION_GROUP("Layer")
OPTION(STRING, layer, "default", NULL, "NAME", RESTART,
        "name of the channel layer that requests are sent to; servers with different applications "
        "need one each")
OPTION(SIZE, layer_size, "48M", "4M..1024G", "SIZE", RESTART, "shared memory of the layer")
OPTION(INTEGER, layer_channels, "1024", "16..1000000", "N", RESTART,
        "named channels that can exist at a time")
OPTION(INTEGER, layer_reply_channels, "65536", "16..16000000", "N", RESTART,
        "reply channels that can exist at a time: requests and connections in progress")
OPTION(INTEGER, layer_groups, "0", "0..500000", "N", RESTART,
        "groups of channels that can exist at a time; 0: as many as suit the layer's size")
OPTION(STRING, layer_group, NULL, NULL, "GROUP", RESTART,
        "user group whose processes may attach to the layer too")
OPTION(CAPACITIES, capacity, NULL, NULL, "PATTERN=N[/POLICY]", RESTART,
        "messages that a channel whose name matches holds, and what a send does when it is full: refuse (the "
        "default), drop-oldest, or keep-latest, which drops all that wait; the first match wins, built in last are "
        "http.response!*=16, http.request.body?*=16, http.*=1000, "
        "websocket.receive.content?*=16, websocket.send!*=32, websocket.*=1000, *=100")
OPTION(DROPS, drop, NULL, NULL, "PATTERN=PERCENT", RESTART,
        "share of the messages to channels whose name matches that is dropped on purpose, to test how an "
        "application bears it: http.request=5, websocket.send!*=0.1; the first match wins; $FOREBAY_DROP_SEED "
        "makes it the same ones each time")
OPTION(DURATION, expiry, "60s", "1s..24h", "TIME", RESTART,
        "age at which a message that nobody has received is dropped")

OPTION(DURATION, group_expiry, "24h", "1s..1000h", "TIME", RESTART,
        "time after which a channel that hasn't been added anew leaves a group")
OPTION(HISTORIES, group_history, NULL, NULL, "PATTERN=N", RESTART,
        "messages to a group whose name matches that are kept for who has missed some; PATTERN=N/SIZE/TIME "
        "bounds their memory (default 1M) and age (default 10m) as well; the first match wins")

OPTION_GROUP("Application")
OPTION(STRING, app, NULL, NULL, "COMMAND", RELOAD,
        "command line of a consumer to start, supervise and restart; it finds the layer's name in "
        "$FOREBAY_LAYER, and is asked to end by SIGTERM")
OPTION(INTEGER, app_processes, "1", "1..1024", "N", RELOAD, "how many of them")

OPTION_GROUP("Process")
OPTION(BOOLEAN, daemon, "no", NULL, NULL, RESTART,
        "run in the background; the command returns when the server listens")
OPTION(PATH, pid_file, NULL, NULL, "FILE", RESTART,
        "write the master's process id there; a second start with the same file is refused")
OPTION(STRING, user, NULL, NULL, "USER", RESTART,
        "user that workers and applications run as, when started by root")
OPTION(STRING, group, NULL, NULL, "GROUP", RESTART,
        "their group, by default the main group of the user")
OPTION(PATH, working_directory, NULL, NULL, "DIRECTORY", RESTART, "change to this directory")
OPTION(CONFIG, config, NULL, NULL, "FILE", RESTART,
        "read options from this file: lines of `name = value`, without dashes; the command line wins")
OPTION(DURATION, shutdown_timeout, "30s", "0..24h", "TIME", RELOAD,
        "how long a graceful stop may take before the processes that are left are killed")

OPTION_GROUP("Logs")
OPTION(ENUM, log_level, "info", "error|warning|info|debug", "LEVEL", RELOAD,
        "least severe events to log")
OPTION(PATH, log_file, "-", NULL, "FILE", RELOAD, "log there; - is the standard error output")
OPTION(ENUM, log_format, "text", "text|json", "FORMAT", RELOAD, "how events are written")
OPTION(PATH, access_log, "off", NULL, "FILE", RELOAD,
        "write one line a request there; - is the standard output, off is none")
OPTION(ENUM, access_log_format, "combined", "combined|json", "FORMAT", RELOAD,
        "how requests are written; combined is followed by the seconds that the request and the "
        "consumer took")

OPTION_GROUP("Time-outs")
OPTION(DURATION, head_timeout, "15s", "10ms..1h", "TIME", RELOAD,
        "for a request's head to be complete, or 408; for a TLS handshake")
OPTION(DURATION, body_timeout, "30s", "10ms..24h", "TIME", RELOAD,
        "without a byte of an awaited body, or 408")
OPTION(SIZE, body_min_rate, "100", "0..1G", "SIZE", RELOAD,
        "octets a second that a body must average after its first 10 seconds, or 408; 0 is no limit")
OPTION(DURATION, idle_timeout, "75s", "10ms..24h", "TIME", RELOAD,
        "between two requests of a connection, before it is closed")
OPTION(DURATION, response_timeout, "60s", "10ms..24h", "TIME", RELOAD,
        "for the consumer's answer to arrive, or its next part when the client has taken those before")
OPTION(INTEGER, timeout_status, "504", "503..504", "STATUS", RELOAD,
        "status of the answer when the consumer's doesn't arrive in time")
OPTION(DURATION, request_timeout, "0", "0..24h", "TIME", RELOAD,
        "for a request as a whole, from its first byte to the last of the answer; 0 is no limit")
OPTION(DURATION, write_timeout, "60s", "10ms..24h", "TIME", RELOAD,
        "for a client to take a byte of what waits for it, before the connection is closed")
OPTION(DURATION, half_close_timeout, "100ms", "0..1m", "TIME", RELOAD,
        "to wait for the answer after the client has ended its side, before it counts as gone")

OPTION_GROUP("Limits")
OPTION(SIZE, max_head, "32K", "1K..1M", "SIZE", RELOAD, "of a request's head, or 431")
OPTION(INTEGER, max_headers, "128", "1..10000", "N", RELOAD, "header fields of a request, or 431")
OPTION(SIZE, max_target, "8000", "16..1M", "SIZE", RELOAD, "of a request's target, or 414")
OPTION(SIZE, max_body, "0", "0..1024G", "SIZE", RELOAD, "of a request's body, or 413; 0 is no limit")
OPTION(SIZE, body_inline, "256K", "1K..700K", "SIZE", RELOAD,
        "of a body that is sent within http.request; a larger one goes through a body_channel")
OPTION(SIZE, max_form, "1M", "1K..64M", "SIZE", RELOAD, "of a form that is parsed, or 413")
OPTION(INTEGER, max_form_fields, "1000", "1..1000000", "N", RELOAD,
        "fields of the query or of a form, or 413")
OPTION(INTEGER, max_parts, "200", "1..100000", "N", RELOAD, "parts of a multipart form, or 413")
OPTION(SIZE, slow_memory, "64M", "0..64G", "SIZE", RELOAD,
        "memory of its own that a worker takes for what slow clients have yet to read, so that they don't keep the "
        "layer's, where that is half in use; if it isn't enough, who has taken nothing for longest, and 5s at least, is cut")
OPTION(INTEGER, retry_after, "1", "0..86400", "SECONDS", RELOAD,
        "Retry-After of the 503 that is answered when http.request is full")

OPTION_GROUP("WebSocket")
OPTION(ENUM, websocket_accept, "now", "now|wait", "WHEN", RELOAD,
        "now, or wait until the consumer of websocket.connect says accept: true")
OPTION(ORIGINS, websocket_origin, NULL, NULL, "ORIGIN", RELOAD,
        "accept only pages of this origin, such as https://example.com, or `same` for that of the "
        "request's Host; others get 403; by default any is accepted")
OPTION(BOOLEAN, websocket_deflate, "no", NULL, NULL, RELOAD,
        "compress messages if the client can (permessage-deflate, without context takeover)")
OPTION(SIZE, websocket_max_message, "1M", "125..1G", "SIZE", RELOAD,
        "of a client's message, compressed and not, or 1009; above 1M, what is larger than a message of the layer, "
        "encoded, goes through a content_channel instead of 1009")
OPTION(DURATION, websocket_full_timeout, "10s", "0..24h", "TIME", RELOAD,
        "for websocket.receive to have room for a message; the client isn't read meanwhile, and "
        "then closed with 1013")
OPTION(DURATION, websocket_ping_interval, "30s", "0..24h", "TIME", RELOAD,
        "without an octet from the client, or one for it that it has yet to take, before it is sent a ping; 0: never")
OPTION(DURATION, websocket_pong_timeout, "30s", "10ms..24h", "TIME", RELOAD,
        "for it to show life then, before the connection is cut")
OPTION(DURATION, websocket_idle_timeout, "0", "0..24h", "TIME", RELOAD,
        "without a message either way, before the connection is closed with 1000; 0: no limit")
OPTION(DURATION, websocket_lifetime, "0", "0..8760h", "TIME", RELOAD,
        "of a connection, before it is closed with 1001; 0: no limit")
OPTION(DURATION, websocket_close_timeout, "5s", "10ms..1h", "TIME", RELOAD,
        "for the client to answer a close")
OPTION(DURATION, websocket_slow_timeout, "0", "0..24h", "TIME", RELOAD,
        "for a client to take all that waits for it; 0: only write-timeout counts")
OPTION(ENUM, websocket_slow, "1013", "1013|1008|drop", "HOW", RELOAD,
        "a client that is slower is closed: with this code, or without a word")
