"""How text that others wrote is shown, on a terminal and on the page: nothing in it acts."""


def shown(text: str) -> str:
    """A line with all written out that no person sees: control characters, line ends, what turns text round."""
    return text if text.isprintable() else "".join(map(_letter, text))


def shown_lines(text: str) -> str:
    """The same of a text of several lines."""
    return "\n".join(map(shown, text.splitlines()))


def _letter(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()
