# SPDX-License-Identifier: MIT
"""The parsers give what Django's own parsers give for the same octets.

Thousands of inputs, hand-picked and pseudo-random (from a fixed seed), are put both to Django and to
the parsers, through the program parity_driver in the build directory ($FOREBAY_BUILD).
"""

import io
import json
import os
import pathlib
import random
import subprocess

import pytest

django = pytest.importorskip("django", reason="Django is missing: apt-get install python3-django")

from django.conf import settings  # noqa: E402

if not settings.configured:
    settings.configure(DATA_UPLOAD_MAX_NUMBER_FIELDS=1000)

from django.core.exceptions import TooManyFieldsSent  # noqa: E402
from django.core.files.uploadhandler import MemoryFileUploadHandler  # noqa: E402
from django.core.handlers.wsgi import get_path_info, get_str_from_wsgi  # noqa: E402
from django.http import QueryDict, parse_cookie  # noqa: E402
from django.http.multipartparser import MultiPartParser  # noqa: E402

ROUNDS = 4000
BUILD = pathlib.Path(os.environ.get("FOREBAY_BUILD", "build"))


def ask(kind, cases, argument=""):
    """Puts all cases to the driver; returns its answers."""
    driver = BUILD / "tests" / "parity_driver"
    if "FOREBAY_BUILD" not in os.environ and not driver.exists():
        pytest.skip(f"{driver} is not built: set FOREBAY_BUILD")
    arguments = argument if isinstance(argument, list) else [argument] * len(cases)
    question = b"".join(
        b"%s %d %s\n%s" % (kind.encode(), len(case), each.encode(), case)
        for case, each in zip(cases, arguments)
    )
    answer = subprocess.run([driver], input=question, stdout=subprocess.PIPE, check=True).stdout
    lines = answer.decode().split("\n")[:-1]
    assert len(lines) == len(cases)
    return [json.loads(line) for line in lines]


def compare(kind, cases, expected, argument=""):
    for case, mine, theirs in zip(cases, ask(kind, cases, argument), expected):
        assert mine == theirs, f"{kind} {case!r}"
        if isinstance(theirs, dict):
            assert list(mine) == list(theirs), f"order of keys in {kind} {case!r}"


def pieces(random_source, alphabet, longest):
    return b"".join(random_source.choices(alphabet, k=random_source.randrange(longest)))


def query_dict(text, encoding):
    try:
        return dict(QueryDict(text, encoding=encoding).lists())
    except TooManyFieldsSent:
        return 1


QUERY_PIECES = [
    b"a", b"b", b"key", b"=", b"=", b"&", b"&", b"+", b";", b"%", b"%2", b"%zz", b"%26", b"%3D", b"%2B",
    b"%C3%A9", b"%C3", b"%A9", b"%E2%82%AC", b"%E2%82", b"%F0%9F%98%80", b"%F0%9F", b"%ED%A0%80", b"%C0%AF",
    b"%F4%90%80%80", b"%00", b"%0a", b"%ff", b"\xc3\xa9", b"\xe2\x82\xac", b"\xff", b"\x80", b"\xc3", b" ", b'"',
    b"\x00", b"[]", b"%e9", b"%20",
]

QUERIES = [
    b"", b"a", b"a=", b"=a", b"=", b"&", b"&&", b"a&b", b"a=1&a=2&b=3&a=", b"a=b=c", b"a;b=1;c", b"a+b=c+d",
    b"%", b"%%", b"%4", b"%41", b"%4G", b"a=%E4%F6%FC", b"a=\xe4", b"a=\xc3\xa9", b"a=\xc3\xa9&b=\xff",
    b"a=%C3\xa9", b"a=%c3%a9&%C3%A9=1", b"a=1" + b"&" * 998, b"a=1" + b"&" * 999, b"a=1" + b"&" * 1000,
    b"&".join(b"k%d=v" % i for i in range(1000)), b"&".join(b"k%d=v" % i for i in range(1001)),
]


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "us-ascii"])
def test_query(encoding):
    source = random.Random(1)
    cases = QUERIES + [pieces(source, QUERY_PIECES, 30) for _ in range(ROUNDS)]
    compare("query", cases, [query_dict(case, encoding) for case in cases], encoding)


COOKIE_PIECES = [
    b"a", b"b", b"sessionid", b"=", b"=", b"=", b";", b";", b"; ", b" ", b"\t", b'"', b'"', b"\\", b'\\"', b"\\101",
    b"\\012", b"\\377", b"\\400", b"\\3", b"\\\n", b"\xc3\xa9", b"\\\xc3\xa9", b"\xff", b"\xa0", b"\xc2\xa0", b"\xc2\x85",
    b"\xe2\x80\x83", b"\xe3\x80\x80", b"\xe1\x9a\x80", b"\xe2\x80\x8b", b"\x1c", b"\x1f", b"\x0b", b",", b"%41", b"$Path",
    b"\xf0\x9f\x98\x80", b"\x85",
]

COOKIES = [
    b"", b";", b";;", b"=", b"= ; =", b"a", b"a=b", b"a=b; c=d", b"a=1; b=2; a=3", b'a="b"', b'a="b\\"c"', b'a="', b'a=""',
    b'a="\\"', b'a="\\101\\377"', b"value; =other", b"a = b ; c= d ", b"a=b=c", b'a="b; c"', b"a=\xe9", b"\xc2\xa0a=b\xc2\xa0",
    b'a="\\\n"', b'a="\\\\"', b'="x"', b" = x",
]


def test_cookie():
    source = random.Random(2)
    cases = COOKIES + [pieces(source, COOKIE_PIECES, 20) for _ in range(ROUNDS)]
    expected = [
        parse_cookie(get_str_from_wsgi({"HTTP_COOKIE": case.decode("latin-1")}, "HTTP_COOKIE", ""))
        for case in cases
    ]
    compare("cookie", cases, expected)


PATH_PIECES = [
    b"/", b"/", b"/", b"a", b"b.c", b".", b"%2e", b"%2F", b"%C3%A9", b"%C3", b"%A9", b"%E2%82%AC", b"%E2%82", b"%F0%9F%98",
    b"%ED%A0%80", b"%ff", b"%20", b"+", b"%25", b"%41", b"~", b":", b"%0a",
]


def path_info(raw):
    from urllib.parse import unquote_to_bytes

    decoded = unquote_to_bytes(raw)
    depth = 0
    for segment in decoded.split(b"/"):
        depth += -1 if segment == b".." else segment not in (b"", b".")
        if depth < 0:
            return 400
    return get_path_info({"PATH_INFO": decoded.decode("latin-1")}) or "/"


def test_path():
    source = random.Random(3)
    cases = [b"/", b"", b"/a/../b", b"/%2e%2e/", b"/..", b"/a/../..", b"//../.."]
    cases += [b"/" + pieces(source, PATH_PIECES, 20) for _ in range(ROUNDS)]
    compare("path", cases, [path_info(case) for case in cases])


def multipart(body, content_type):
    """The fields and files that Django finds."""
    meta = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body))}
    from django.http import HttpRequest

    request = HttpRequest()
    request.META = meta
    if "charset=" in content_type:
        request._set_content_type_params(meta)
    handler = MemoryFileUploadHandler(request)
    parser = MultiPartParser(meta, io.BytesIO(body), [handler], request.encoding)
    post, files = parser.parse()
    return dict(post.lists()), [
        [name, each.name, each.size] for name, found in files.lists() for each in found
    ]


TEXT_PIECES = [
    b"a", b"hello", b"\r", b"\n", b"\r\n", b"-", b"--", b"\r\n-", b"\r\n--", b"\r\n--x", b"\xc3\xa9", b"\xff", b"\xe2\x82", b"\0",
    b" ", b"=", b"&", b"%41", b"0123456789" * 20,
]
NAME_PIECES = ["a", "b", "é", "€", " ", ";", "%22", "\\\\", "'", "=", "[]", "."]
BOUNDARIES = ["XyZ", "----WebKitFormBoundaryABCDEFGH", "a b", "'()+_,-./:=?", "x" * 70]


def random_body(source, boundary, encoding):
    """A body as a browser would write it: fields, files, odd data."""
    body = b""
    for number in range(source.randrange(6)):
        name = "".join(source.choices(NAME_PIECES, k=source.randrange(1, 5)))
        body += b"--%s\r\n" % boundary.encode()
        body += b'Content-Disposition: form-data; name="%s"' % name.encode(encoding, "replace")
        kind = source.randrange(4)
        if kind == 1:
            body += b'; filename="%s"' % source.choice(
                [b"", b"a.txt", b"C:\\dir\\a.txt", b"/etc/passwd", b"..", b"dir/", b"\xc3\xa9.png", b"a;b"])
        elif kind == 2:
            body += source.choice(
                [b"; filename*=UTF-8''%e2%82%ac.txt", b"; filename*=iso-8859-1'en'%e9.txt", b"; filename=plain"])
        body += b"\r\n"
        if kind and source.randrange(2):
            body += b"Content-Type: text/plain; charset=utf-8\r\n"
        body += b"\r\n" + pieces(source, TEXT_PIECES, 12) + b"\r\n"
    # Django finds a delimiter anywhere, not only at the start of a line; none comes up in the data.
    return body + b"--%s--\r\n" % boundary.encode()


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1"])
def test_multipart(encoding):
    source = random.Random(4)
    cases, types = [], []
    for _ in range(ROUNDS // 2):
        boundary = source.choice(BOUNDARIES)
        content_type = f'multipart/form-data; boundary="{boundary}"'
        if encoding != "utf-8":
            content_type += f"; charset={encoding}"
        cases.append(random_body(source, boundary, encoding))
        types.append(content_type)
    django_results = [multipart(case, each) for case, each in zip(cases, types)]
    compare("multipart", cases, [post for post, _ in django_results], types)
    files = ask("files", cases, types)
    for case, mine, (_, theirs) in zip(cases, files, django_results):
        # Django loses a file whose field has an empty name; ours are reported all the same.
        assert sorted(file for file in mine if file[0]) == sorted(theirs), case


def test_multipart_by_hand():
    cases = [
        # an empty file name is a text field
        b'--b\r\nContent-Disposition: form-data; name="f"; filename=""\r\n\r\n\r\n--b--\r\n',
        # no name: not reported
        b'--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b\r\ncontent-disposition: FORM-DATA; NAME=y\r\n\r\nz\r\n--b--',
        # quotes and backslashes
        b'--b\r\nContent-Disposition: form-data; name="a\\"b\\"c"\r\n\r\nx\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="a\\\\b"\r\n\r\nx\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name=" a "\r\n\r\nx\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name=a b ; x\r\n\r\nx\r\n--b--\r\n',
        b'preamble\r\n--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b\r\n'
        b'Content-Disposition: form-data; name=a\r\n\r\n2\r\n--b--\r\nepilogue',
        b"--b--\r\n",
    ]
    content_type = "multipart/form-data; boundary=b"
    compare("multipart", cases, [multipart(case, content_type)[0] for case in cases], content_type)
