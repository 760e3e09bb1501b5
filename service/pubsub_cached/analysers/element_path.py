"""ElementTree paths, checked when they are declared and cheap on whatever they are used.

ElementTree's own matcher looks at a step only once an item leads there, and counts siblings anew for each
element, so a declared ``b[2]`` would let a stranger's item of many ``b`` take minutes. XPath 1.0 in libxml2
does neither, as long as there is one ``//`` and one ``..`` at most.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lxml import etree
from lxml.etree import _Element

LONGEST = 1000

_NAME = r"(?:\{[^{}]*\})?(?:\*|[^\W\d][\w.-]*)"
_TEXT = r"""(?:'[^']*'|"[^"]*")"""
_PREDICATE = rf"\[(?:[1-9][0-9]{{0,5}}|last\(\)(?:-[1-9][0-9]{{0,5}})?|@?{_NAME}(?:={_TEXT})?|\.={_TEXT})\]"
_NAMED = rf"{_NAME}(?:{_PREDICATE})*"
_PATH = re.compile(rf"(?:\.\.?|{_NAMED})(?:/(?:\.\.?|{_NAMED})|//{_NAMED})*")
_ATTRIBUTE = re.compile(r"(.+)/@((?:\{[^{}]*\})?[^\W\d][\w.-]*)", re.DOTALL)
# What has to be written differently in XPath, and texts and functions, which have not.
_TOKEN = re.compile(
    rf"(?P<kept>{_TEXT}|last\(\)|\[[1-9][0-9]*\])|(?P<at>@?)\{{(?P<space>[^{{}}]*)\}}(?P<name>\*|[\w.-]+)"
)


class BadPath(ValueError):
    """A path that can't be used; the message says why."""


class Path:
    """A path and, when it ends in ``/@name``, the attribute it leads to.

    The subset of XPath that ElementTree has, a ``[2]`` counting what is left of the step so far.
    steps: how often it goes through what is left, at most. Raises BadPath.
    """

    def __init__(self, written: str) -> None:
        if not written or len(written) > LONGEST:
            raise BadPath(f"a path has 1 to {LONGEST} characters.")
        found = _ATTRIBUTE.fullmatch(written)
        path, self.attribute = (found[1], found[2]) if found else (written, "")
        if path.startswith("/"):
            raise BadPath("it starts below the item; leave out the '/' at its beginning.")
        if not _PATH.fullmatch(path):
            raise BadPath("it is no ElementTree path; namespaces are written '{namespace}name'.")
        self._find, self.steps = _compiled(path)

    def find(self, holder: _Element) -> list[_Element]:
        """The elements below one, in document order."""
        return self._find(holder)


def _compiled(path: str) -> tuple[Callable[[_Element], list[_Element]], int]:
    prefixes: dict[str, str] = {}

    def rewritten(token: re.Match[str]) -> str:
        if token["kept"]:
            return token["kept"]
        at, space, name = token["at"], token["space"], token["name"]
        if space == "*":
            return f"{at}*" if name == "*" else f"{at}*[local-name()='{name}']"
        if not space:
            return f"{at}*[namespace-uri()='']" if name == "*" else f"{at}{name}"
        return f"{at}{prefixes.setdefault(space, f'n{len(prefixes)}')}:{name}"

    expression = _TOKEN.sub(rewritten, path)
    bare = re.sub(rf"{_TEXT}", "", expression)
    if bare.count("//") > 1 or len(re.findall(r"(?:^|/)\.\.", bare)) > 1:
        raise BadPath("it has more than one '//' or more than one '..', whose cost can't be bounded.")
    try:
        compiled = etree.XPath(expression, namespaces={prefix: space for space, prefix in prefixes.items()})
    except (etree.XPathError, ValueError):
        raise BadPath("it is no ElementTree path.") from None

    def find(holder: _Element) -> list[_Element]:
        result = compiled(holder)
        return [each for each in result if isinstance(each, etree._Element)] if isinstance(result, list) else []

    return find, bare.count("/") + bare.count("[")
