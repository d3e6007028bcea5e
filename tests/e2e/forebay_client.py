# SPDX-License-Identifier: MIT
"""A small binding of libforebay for scripted consumers in tests: messages are dictionaries."""

import base64
import contextlib
import ctypes
import enum
import json
import os
import pathlib
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A sanitizer build's library can't be loaded by this Python, so the plain build's is used: what is
# in shared memory is the same.
LIBRARY_BUILD = pathlib.Path(os.environ.get("FOREBAY_LIB") or os.environ.get("FOREBAY_BUILD")
                             or ROOT / "build")

TIMEOUT = 120.0  # seconds; bounds a hang, never a measure

NAME_SIZE = 201
TEXT, BINARY, BODY = 1, 2, 4


class Outcome(enum.IntEnum):
    """enum forebay_outcome"""
    OK = 0
    FULL = 1
    TIMEOUT = 2
    GONE = 3
    TOO_LARGE = 4
    BAD_NAME = 5
    BAD_MESSAGE = 6
    NO_MEMORY = 7
    NO_CHANNEL = 8


class Options(ctypes.Structure):
    """struct forebay_options"""
    _fields_ = [("size", ctypes.c_uint64), ("channels", ctypes.c_uint32),
                ("reply_channels", ctypes.c_uint32), ("groups", ctypes.c_uint32),
                ("capacity", ctypes.c_uint32), ("expiry", ctypes.c_uint32),
                ("group_expiry", ctypes.c_uint32), ("capacities", ctypes.c_char_p),
                ("group", ctypes.c_char_p), ("role", ctypes.c_char_p),
                ("must_exist", ctypes.c_bool), ("replace", ctypes.c_bool), ("observe", ctypes.c_bool),
                ("user", ctypes.c_char_p), ("drops", ctypes.c_char_p),
                ("drop_seed", ctypes.c_uint64), ("group_histories", ctypes.c_char_p)]


COUNTER, GAUGE, HISTOGRAM = 0, 1, 2


class Metric(ctypes.Structure):
    """struct forebay_metric"""
    _fields_ = [("layer", ctypes.c_void_p), ("index", ctypes.c_uint32), ("kind", ctypes.c_int)]

    def add(self, amount):
        library().forebay_metric_add(ctypes.byref(self), amount)

    def set(self, value):
        library().forebay_metric_set(ctypes.byref(self), value)


def _load():
    library = ctypes.CDLL(str(LIBRARY_BUILD / "channel" / "libforebay.so"))
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    signatures = {
        "open": (ctypes.c_int, text, ctypes.POINTER(Options), ctypes.POINTER(pointer)),
        "close": (None, pointer),
        "error": (text,),
        "strerror": (text, ctypes.c_int),
        "flush": (ctypes.c_int, pointer, text, ctypes.POINTER(ctypes.c_uint64)),
        "metric_open": (ctypes.c_int, pointer, text, ctypes.c_int, text, ctypes.POINTER(Metric)),
        "metric_add": (None, ctypes.POINTER(Metric), ctypes.c_double),
        "metric_set": (None, ctypes.POINTER(Metric), ctypes.c_double),
        "message_new": (pointer, pointer),
        "message_free": (None, pointer),
        "message_from_json": (ctypes.c_int, pointer, text, size, ctypes.POINTER(text)),
        "set_content": (None, pointer, pointer, size, ctypes.c_uint),
        "message_channel": (text, pointer),
        "message_envelope": (pointer, pointer, ctypes.POINTER(size)),
        "message_content": (pointer, pointer, ctypes.POINTER(size),
                            ctypes.POINTER(ctypes.c_uint)),
        "send": (ctypes.c_int, pointer, text, pointer, ctypes.c_int),
        "listen": (ctypes.c_int, pointer, text),
        "ignore": (ctypes.c_int, pointer, text),
        "receive": (ctypes.c_int, pointer, ctypes.c_int, ctypes.POINTER(pointer)),
        "reply_open": (ctypes.c_int, pointer, text, ctypes.c_uint32, pointer, text),
        "reply_close": (ctypes.c_int, pointer, text),
        "stream_open": (ctypes.c_int, pointer, text, text),
        "stream_close": (ctypes.c_int, pointer, text),
        "group_add": (ctypes.c_int, pointer, text, text),
        "group_send": (ctypes.c_int, pointer, text, pointer, ctypes.POINTER(ctypes.c_uint64)),
    }
    for name, (result, *arguments) in signatures.items():
        function = getattr(library, "forebay_" + name)
        function.restype, function.argtypes = result, arguments
    return library


_library = None
_open_lock = threading.Lock()


def library():
    global _library
    if _library is None:
        _library = _load()
    return _library


class LayerError(Exception):
    """An unexpected result of libforebay."""


class Layer:
    """An attachment to a layer. Like the C object, it belongs to the thread that made it."""

    def __init__(self, directory, name="test", must_exist=True, **options):
        self._handle = ctypes.c_void_p()
        fields = {"role": "test", "must_exist": must_exist, **options}
        fields = {key: value.encode() if isinstance(value, str) else value
                  for key, value in fields.items()}
        with _open_lock:  # the directory is taken from the environment
            os.environ["FOREBAY_DIR"] = str(directory)
            result = library().forebay_open(
                name.encode(), ctypes.byref(Options(**fields)), ctypes.byref(self._handle))
            if result:
                raise LayerError(library().forebay_error().decode())

    def close(self):
        library().forebay_close(self._handle)
        self._handle = ctypes.c_void_p()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _expect_ok(self, result):
        if result:
            raise LayerError(library().forebay_strerror(result).decode())

    def listen(self, *channels):
        for channel in channels:
            self._expect_ok(library().forebay_listen(self._handle, channel.encode()))

    def ignore(self, *channels):
        for channel in channels:
            self._expect_ok(library().forebay_ignore(self._handle, channel.encode()))

    def flush(self, channel):
        self._expect_ok(library().forebay_flush(self._handle, channel.encode(), None))

    @contextlib.contextmanager
    def _message(self, message, content):
        """A handle of the dictionary MESSAGE, or JSON text, with CONTENT (str or bytes) beside it, and the result."""
        text = message if isinstance(message, bytes) else json.dumps(message or {}).encode()
        handle = library().forebay_message_new(self._handle)
        try:
            result = library().forebay_message_from_json(handle, text, len(text), None)
            octets = content.encode() if isinstance(content, str) else content
            if result == 0 and octets is not None:
                library().forebay_set_content(
                    handle, ctypes.cast(ctypes.c_char_p(octets), ctypes.c_void_p), len(octets),
                    TEXT if isinstance(content, str) else BINARY)
            yield handle, result
        finally:
            library().forebay_message_free(handle)

    def send(self, channel, message=None, content=None, timeout=TIMEOUT):
        """Sends the dictionary MESSAGE, or JSON text, with CONTENT (str or bytes) beside it."""
        with self._message(message, content) as (handle, result):
            if result == 0:
                result = library().forebay_send(
                    self._handle, channel.encode(), handle, int(timeout * 1000))
        if result < 0:
            raise LayerError(library().forebay_strerror(result).decode())
        return Outcome(result)

    def group_add(self, group, channel):
        self._expect_ok(library().forebay_group_add(self._handle, group.encode(), channel.encode()))

    def group_send(self, group, message=None, content=None):
        """Returns how many members were reached."""
        reached = ctypes.c_uint64()
        with self._message(message, content) as (handle, result):
            self._expect_ok(result or library().forebay_group_send(
                self._handle, group.encode(), handle, ctypes.byref(reached)))
        return reached.value

    def receive(self, timeout=TIMEOUT):
        """The next message as a dictionary, its channel under "channel"; None after TIMEOUT.

        Content is str or bytes, under "content" or "body"."""
        handle = ctypes.c_void_p()
        deadline = time.monotonic() + timeout
        while True:
            left = max(deadline - time.monotonic(), 0)
            result = library().forebay_receive(
                self._handle, int(left * 1000), ctypes.byref(handle))
            if result == 0:
                break
            if result == Outcome.TIMEOUT:
                if time.monotonic() >= deadline:
                    return None
            else:
                self._expect_ok(result)
        try:
            return self._read(handle)
        finally:
            library().forebay_message_free(handle)

    @staticmethod
    def _read(handle):
        length, kind = ctypes.c_size_t(), ctypes.c_uint()
        envelope = library().forebay_message_envelope(handle, ctypes.byref(length))
        message = json.loads(ctypes.string_at(envelope, length.value))
        assert "channel" not in message
        message["channel"] = library().forebay_message_channel(handle).decode()
        content = library().forebay_message_content(
            handle, ctypes.byref(length), ctypes.byref(kind))
        if content:
            octets = ctypes.string_at(content, length.value)
            message["body" if kind.value & BODY else "content"] = (
                octets if kind.value & BINARY else octets.decode())
        return message

    def metric(self, name, kind=COUNTER, text=None):
        """Opens the series NAME; TEXT is its help."""
        metric = Metric()
        self._expect_ok(library().forebay_metric_open(
            self._handle, name.encode(), kind, text and text.encode(), ctypes.byref(metric)))
        return metric

    def reply_open(self, prefix="test", window=0):
        name = ctypes.create_string_buffer(NAME_SIZE)
        self._expect_ok(library().forebay_reply_open(
            self._handle, prefix.encode(), window, None, name))
        return name.value.decode()

    def stream_open(self, prefix):
        name = ctypes.create_string_buffer(NAME_SIZE)
        self._expect_ok(library().forebay_stream_open(self._handle, prefix.encode(), name))
        return name.value.decode()

    def stream_close(self, name):
        self._expect_ok(library().forebay_stream_close(self._handle, name.encode()))

    def reply_close(self, name):
        self._expect_ok(library().forebay_reply_close(self._handle, name.encode()))


def decode_printed(message):
    """A message as `forebay receive` prints it, with binary content decoded."""
    for key in ("content", "body"):
        if message.get("binary") and key in message:
            message[key] = base64.b64decode(message[key], validate=True)
    return message
