"""name-addr and addr-spec of From, To, Contact, Route and Record-Route (RFC 3261 §20.10)."""

from dataclasses import dataclass, field

from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import BLANKS, end_of_quotes, quote, unquote
from b2bua.sip.params import Parameters, format_parameters, parse_parameters
from b2bua.sip.uri import URI


def split_address(text: str) -> tuple[str, str, str]:
    """Split into display name (as written), URI text and parameter text, none of them parsed further.

    Raises:
        ParseError: no URI, or a bracket or quote that is not closed.
    """
    opening = text.find("<", end_of_quotes(text) if text.startswith('"') else 0)
    if opening < 0:
        # Without brackets all parameters are the header's, and the URI can have no headers (§20.10).
        uri, _, parameters = text.partition(";")
        if "?" in uri or "," in uri or ">" in uri:
            raise ParseError("URI that needs brackets has none")
        return "", uri.strip(BLANKS), parameters
    closing = text.find(">", opening)
    if closing < 0:
        raise ParseError("unclosed bracket in address")
    rest = text[closing + 1 :].lstrip(BLANKS)
    if rest and rest[0] != ";":
        raise ParseError("text after the address")
    # Blanks inside the brackets are an error that is easily forgiven (RFC 4475 §3.1.2.14).
    return text[:opening].strip(BLANKS), text[opening + 1 : closing].strip(BLANKS), rest[1:]


def tag_of(text: str) -> str:
    """The tag parameter of a From or To value, empty where there is none.

    Raises:
        ParseError: the value is malformed.
    """
    head, usual, tag = text.partition(">;tag=")
    if usual and ";" not in tag and ('"' not in head or _is_plainly_quoted(head)):
        return tag.rstrip(BLANKS)
    if ";" not in text and '"' not in text and text.endswith(">") == ("<" in text):
        return ""
    parameters = split_address(text)[2]
    if not parameters:
        return ""
    return parse_parameters(parameters).get("tag") or ""


def _is_plainly_quoted(head: str) -> bool:
    """Whether what stands before `>;tag=` is a quoted name without escapes, and the URI after it."""
    name, _, uri = head.rpartition('"')
    return name.startswith('"') and '"' not in name[1:] and "\\" not in name and "<" in uri


@dataclass(slots=True)
class Address:
    """A display name, a URI and the header's parameters."""

    uri: URI
    display_name: str = ""
    """Unquoted."""
    parameters: Parameters = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Parse one value.

        Raises:
            ParseError: the name, the URI or a parameter is malformed.
        """
        name, uri, parameters = split_address(text)
        return cls(URI.parse(uri), unquote(name), parse_parameters(parameters))

    @property
    def tag(self) -> str:
        """The tag parameter, empty where there is none."""
        return self.parameters.get("tag") or ""

    def __str__(self) -> str:
        name = f"{quote(self.display_name)} " if self.display_name else ""
        return f"{name}<{self.uri}>{format_parameters(self.parameters)}"
