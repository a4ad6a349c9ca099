"""One XMP packet: simple properties by namespace and name, everything else kept as it was.

A property may be an attribute of any top-level ``rdf:Description`` or an element in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from aesmamba_sdk import __version__
from aesmamba_sdk.errors import XmpError

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMP = "http://ns.adobe.com/xap/1.0/"
AESMAMBA = "https://aesmamba-sdk.org/ns/1.0/"
"""Namespace of what this SDK writes; a name, not an address to fetch."""
_PREFIXES = {"aesmamba": AESMAMBA, "xmp": XMP}

MAX_BYTES = 16 << 20
"""A larger packet is refused; edit histories take some hundred kilobytes."""
_DOCTYPES = tuple("<!DOCTYPE".encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be"))
_EMPTY = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="aesmamba-sdk {__version__}">\n'
    f' <rdf:RDF xmlns:rdf="{RDF}">\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
)


def tag(namespace: str, name: str) -> str:
    """The name that lxml gives to ``name`` of a namespace."""
    return f"{{{namespace}}}{name}"


class Packet:
    """A parsed packet.

    Args:
        data: XML as it was in a photo or sidecar; padding may follow.
        name: of the file, for messages.

    Raises:
        XmpError: too large, no well-formed XML, no XMP, or with a document type: entities could
            expand to anything, and no app writes one.
    """

    def __init__(self, data: bytes, name: str) -> None:
        if len(data) > MAX_BYTES:
            raise XmpError(f"{name}: more than {MAX_BYTES} bytes of XMP")
        if any(doctype in data for doctype in _DOCTYPES):
            raise XmpError(f"{name}: XMP with a document type is not read")
        # A sidecar in UTF-16 ends in a zero byte that belongs to its last character.
        text = data if data[:2] in (b"\xff\xfe", b"\xfe\xff") else data.strip(b"\0 \t\r\n")
        self.declared = text.removeprefix(b"\xef\xbb\xbf").startswith(b"<?xml ")
        try:
            root = etree.fromstring(text, _parser())
        except (etree.XMLSyntaxError, ValueError) as error:
            raise XmpError(f"{name}: the XMP is damaged: {error}") from error
        self._tree = root.getroottree()
        found = root if root.tag == tag(RDF, "RDF") else root.find(f".//{tag(RDF, 'RDF')}")
        if found is None:
            raise XmpError(f"{name} holds no XMP: rdf:RDF is missing")
        self.rdf = found

    @classmethod
    def read(cls, sidecar: Path) -> Packet:
        """The packet of a sidecar.

        Raises:
            XmpError: it cannot be read, or as above.
        """
        try:
            with sidecar.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
        except OSError as error:
            raise XmpError(f"{sidecar} cannot be read: {error.strerror or error}") from error
        return cls(data, str(sidecar))

    @classmethod
    def empty(cls) -> Packet:
        """A packet that says nothing yet."""
        return cls(_EMPTY.encode(), "a packet of our own")

    @property
    def descriptions(self) -> list[Any]:
        """Top-level ``rdf:Description`` elements, in order."""
        return list(self.rdf.iterchildren(tag(RDF, "Description")))

    def get(self, namespace: str, name: str) -> str | None:
        """A simple property's text, stripped; ``None`` where it is absent."""
        for _, value in self._places(tag(namespace, name)):
            return value
        return None

    def set(self, namespace: str, name: str, value: str | None) -> None:
        """Give a simple property a value where it stands, else in the description of our own.

        ``None`` removes it. A property that is there twice gets the value once.
        """
        key = tag(namespace, name)
        places = [place for place, _ in self._places(key)]
        kept = None if value is None or not places else places[0]
        for place in places:
            if place is not kept:
                self._remove(place, key)
        if kept is None:
            if value is not None:
                self._home(namespace).set(key, value)
        elif kept.tag == key:
            kept[:] = []
            kept.text = value
        else:
            kept.set(key, value)

    def own(self) -> Any:
        """The description that holds what we write; made when it is missing."""
        return self._home(AESMAMBA)

    def to_bytes(self) -> bytes:
        """The packet as XML in its own encoding, processing instructions and comments included."""
        encoding = self._tree.docinfo.encoding or "UTF-8"
        data: bytes = etree.tostring(
            self._tree, encoding=encoding, xml_declaration=self.declared or None
        )
        return data + b"\n" if encoding.upper() == "UTF-8" else data

    def _home(self, namespace: str) -> Any:
        """A description that has a prefix for the namespace, so that none is made up."""
        for description in self.descriptions:
            if namespace in description.nsmap.values():
                return description
        about = self.descriptions[0].get(tag(RDF, "about"), "") if self.descriptions else ""
        made = etree.SubElement(self.rdf, tag(RDF, "Description"), nsmap=_PREFIXES)
        made.set(tag(RDF, "about"), about)
        _indent(made)
        return made

    def _places(self, key: str) -> Iterator[tuple[Any, str]]:
        """Elements that hold the property: descriptions with it as attribute, or its elements."""
        for description in self.descriptions:
            value = description.get(key)
            if value is not None:
                yield description, value.strip()
            for element in description.iterchildren(key):
                yield element, "".join(element.itertext()).strip()

    def _remove(self, place: Any, key: str) -> None:
        if place.tag == key:
            place.getparent().remove(place)
        else:
            del place.attrib[key]


def _parser() -> Any:
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        strip_cdata=False,
        remove_blank_text=False,
    )


def _indent(made: Any) -> None:
    """Put a new last child of the RDF on a line of its own."""
    before = made.getprevious()
    if before is None:
        made.getparent().text, made.tail = "\n  ", "\n "
    else:
        made.tail, before.tail = before.tail or "\n ", "\n  "
