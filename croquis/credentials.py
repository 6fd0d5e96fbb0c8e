"""Texts for messages and logs, without the user names, passwords and tokens that addresses carry."""

from __future__ import annotations

import re

# `//USER:PASSWORD@`, up to the last @ of the authority; then with a `/`, `?` or `#` in the password, not escaped,
# told from a port by not being a number.
USER_INFO = re.compile(
    r"""(?<=://)(?:[^\s/?#]*@|[^\s/?#@:]*:(?!\d{1,5}(?:[/?#,\s"']|$))[^\s]{0,4000}@)""",
)
# A secret in a query or a DSN: `?password=...`, `password=... host=...`, `sasl.password=...`.
NAMED = re.compile(
    r"""(?i)(?P<name>(?<![\w.-])[\w.-]*(?:password|passwd|pwd|secret|token)\s*=\s*)(?:'[^']*'|"[^"]*"|[^\s&;,'"]+)"""
)
HIDDEN = "***"
LONGEST = 20_000  # characters that are looked at; messages come from other servers too


def without_credentials(text: object) -> str:
    """`text` with no user, password or token of any address in it.

    `nats://USER:PASSWORD@HOST/STREAM` becomes `nats://HOST/STREAM`, and `?password=WORD` becomes `?password=***`.

    Args:
        text: an address, a text that holds some, or an error whose message does; of a long one the begin is shown.
    """
    shown = str(text)
    if len(shown) > LONGEST:  # up to a blank, so that no address is cut before its @
        shown = shown[:LONGEST].rpartition(" ")[0] + " ..."
    return NAMED.sub(rf"\g<name>{HIDDEN}", USER_INFO.sub("", shown))
