"""What is shown of an output that others wrote: readable, and without what looks like a secret."""

from __future__ import annotations

import base64
import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.runbook.scrubbing import masked

TRACEBACK = """Traceback (most recent call last):
  File "/usr/local/lib/python3.11/site-packages/django/db/backends/utils.py", line 89, in _execute
    return self.cursor.execute(sql, params)
psycopg2.errors.UniqueViolation: duplicate key value violates unique constraint "shop_order_pkey"
DETAIL:  Key (sku)=(A1) already exists.
KeyError: 'sku'"""


@pytest.mark.parametrize(
    "text",
    [
        TRACEBACK,
        "",
        "  Applying shop.0003_remove_legacy_note... OK\n",
        'column "password" of relation "auth_user" does not exist',
        'ALTER TABLE "shop_order" ADD COLUMN "token" varchar(32) NOT NULL',
        'FATAL:  password authentication failed for user "shop"',
        "app_orders_customer_id_1a2b3c4d_fk_auth_user_id",
        "20240101120000_AddSkuToOrders by ObjectDoesNotExistErrorHandler",
        "checkout-7d9f8b6c5-x2x4z and migrate-01234567-89ab-cdef-r2-down",
        "Basic auth failed at http://db:5432/a for jane@example.com",
        "primary_key=True, null=False",
        "django.contrib.auth.models.InvalidTokenError: no such user",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    """Tracebacks, SQL, names of migrations, tables and pods: what one goes by to find out why it failed."""
    assert masked(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgres://shop:S3cr3tPw@db/shop:", "at postgres://***@db/shop:"),
        ("amqp://a:p@ss/w@mq:5672", "amqp://***@mq:5672"),
        ("shop:pw@tcp(db:3306)/shop", "***@tcp(db:3306)/shop"),
        ("host=db password=hunter2 user=shop", "host=db password=*** user=shop"),
        ("connect(password='a b', user='y')", "connect(password=***, user='y')"),
        ('{"password":"x\\"y","user":"y"}', '{"password":***,"user":"y"}'),
        ('{\\"api_key\\": \\"abc\\"}', '{\\"api_key\\": ***}'),
        ('password: "cut off in the', "password: ***"),
        ("SECRET_KEY => abc", "SECRET_KEY => ***"),
        ("Authorization: Basic letmein", "Authorization: ***"),
        ("with Bearer abcdef.", "with Bearer ***"),
        ("sent Basic c2hvcDpwdw==", "sent Basic ***"),
        ("--db-password hunter2 --user me", "--db-password *** --user me"),
        ("ALTER USER shop WITH PASSWORD 'hunter2';", "ALTER USER shop WITH PASSWORD ***;"),
        ("CREATE USER shop IDENTIFIED BY 'hunter2'", "CREATE USER shop IDENTIFIED BY ***"),
        ("GET /?token=abc&x=1", "GET /?token=***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "***"),
        ("key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "key ***"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\nok", "***\nok"),
        ("-----BEGIN PRIVATE KEY-----\nabc", "***"),
        ("x" * 5000, "***"),
    ],
)
def test_a_secret_is_masked(text: str, shown: str) -> None:
    """The secret alone, so that what it belongs to can be read."""
    assert masked(text) == shown


CHOSEN = st.text("abcdefghijkmnopqrstuvwxyzABCDEFGHXYZ23456789!#$%^*+~", min_size=6, max_size=30)
DRAWN = st.binary(min_size=8, max_size=8).map(lambda seed: hashlib.sha256(seed).digest())
AROUND = st.sampled_from(["{}", "psql: could not connect: {}", "{} is refused\n  at line 3", "[{}]", "({} )"])


@given(
    CHOSEN,
    st.sampled_from(
        [
            "postgres://shop:{}@db:5432/shop?sslmode=on",
            "password={}",
            "DB_PASSWORD: {}",
            "'SECRET_KEY': '{}'",
            '"apiToken" : "{}"',
            "export AWS_SECRET_ACCESS_KEY='{}'",
            "Authorization: Bearer {}",
            "--password {}",
            "WITH PASSWORD '{}'",
        ]
    ),
    AROUND,
)
def test_no_secret_that_is_named_is_shown(secret: str, place: str, around: str) -> None:
    """Whatever it looks like, where its place says that it is one."""
    assert secret not in masked(around.format(place.format(secret)))


@given(DRAWN, AROUND)
def test_no_token_is_shown(drawn: bytes, around: str) -> None:
    """What was drawn by lot shows that by itself, however it is written."""
    for token in (drawn.hex(), base64.b64encode(drawn).decode(), base64.urlsafe_b64encode(drawn * 2).decode()):
        assert token not in masked(around.format(token))


def test_a_long_text_takes_no_long_time() -> None:
    """Masking takes a time that grows with the text's length alone, whatever a Job wrote."""
    begun = time.monotonic()
    for piece in ("password", "a1B", "key: ", "https://", "- ", "-----BEGIN ", "--", "A1 ", "key='", '\\"', "token '"):
        masked(piece * (300_000 // len(piece)))
    assert time.monotonic() - begun < 60
