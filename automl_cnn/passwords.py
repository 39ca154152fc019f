"""Passwords in addresses: none is shown, and none is kept in a file."""

from __future__ import annotations

import re

_USER = re.compile(r"(//[^/\s:@]*):\S*@")
_QUERY = re.compile(r"((?:\w*passw\w*|passphrase|pwd|secret|token)=)[^&\s]+", re.IGNORECASE)


def without_password(text: str) -> str:
    """A URI, or a message that quotes one, with *** for what may be a password.

    That is what stands between a user's colon and the last @ before a space, whatever it is made of: a password with a
    slash is no valid URI, and none the less stands in messages. In a query it is the value of password or the like.
    """
    return _QUERY.sub(r"\1***", _USER.sub(r"\1:***@", text))
