"""XMP packets: read in every spelling, refused when hostile, changed without touching the rest."""

from __future__ import annotations

import pytest
from lxml import etree

from aesmamba_sdk.errors import XmpError
from aesmamba_sdk.xmp.packet import AESMAMBA, RDF, XMP, Packet

ATTRIBUTE = '<rdf:Description rdf:about="" xmlns:xmp="{0}" xmp:Rating="4"/>'
ELEMENT = '<rdf:Description rdf:about="" xmlns:q="{0}"><q:Rating> 4\n</q:Rating></rdf:Description>'


def wrapped(inside: str) -> bytes:
    rdf = f'<rdf:RDF xmlns:rdf="{RDF}">{inside}</rdf:RDF>'
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{rdf}</x:xmpmeta>'.encode()


@pytest.mark.parametrize("form", [ATTRIBUTE, ELEMENT])
def test_a_property_is_read_and_changed_in_the_form_it_has(form):
    packet = Packet(wrapped(form.format(XMP)), "x")
    assert packet.get(XMP, "Rating") == "4"
    packet.set(XMP, "Rating", "2")
    again = Packet(packet.to_bytes(), "x")
    assert again.get(XMP, "Rating") == "2"
    assert len(again.descriptions) == 1
    again.set(XMP, "Rating", None)
    assert Packet(again.to_bytes(), "x").get(XMP, "Rating") is None


def test_a_property_of_another_place_is_not_the_photos():
    """Lightroom's history and digiKam's face regions nest descriptions of their own."""
    nested = (
        f'<rdf:Description rdf:about="" xmlns:xmp="{XMP}" xmlns:o="urn:o"><o:Parts><rdf:Bag>'
        '<rdf:li><rdf:Description xmp:Rating="5"/></rdf:li></rdf:Bag></o:Parts></rdf:Description>'
    )
    assert Packet(wrapped(nested), "x").get(XMP, "Rating") is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not xml",
        b"<a><b></a>",
        b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
        b'<!DOCTYPE a [<!ENTITY b "c">]>' + wrapped(""),
        '<!DOCTYPE a [<!ENTITY b "c">]><a/>'.encode("utf-16"),
        b"\0" * (17 << 20),
    ],
)
def test_what_is_no_safe_xmp_is_refused_by_name(data):
    with pytest.raises(XmpError, match=r"IMG\.xmp"):
        Packet(data, "IMG.xmp")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_and_padding_are_understood(encoding):
    inside = wrapped(ATTRIBUTE.format(XMP)).decode().replace('about=""', 'about="é"')
    padded = inside.encode(encoding) + ("" if encoding == "utf-16" else "\n   \0").encode()
    packet = Packet(padded, "x")
    assert packet.get(XMP, "Rating") == "4"
    packet.set(AESMAMBA, "Score", "3.4")
    again = Packet(packet.to_bytes(), "x")
    assert again.get(AESMAMBA, "Score") == "3.4"
    assert again.descriptions[0].get(f"{{{RDF}}}about") == "é"


def test_everything_else_survives_a_change():
    before = (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<?xpacket begin="\xef\xbb\xbf" id="W5M0"?>\n'
        b"<!-- kept -->\n"
        + wrapped(
            f'<rdf:Description rdf:about="u" xmlns:xmp="{XMP}" xmlns:d="http://darktable.sf.net/" '
            'xmp:Rating="0" d:xmp_version="5"><d:history><rdf:Seq><!-- one -->'
            '<rdf:li d:num="0" d:params="gz04eJ&amp;&lt;&#10;"/></rdf:Seq></d:history>'
            "<d:note><![CDATA[a < b]]></d:note></rdf:Description>"
        )
        + b'\n<?xpacket end="w"?>'
    )
    packet = Packet(before, "x")
    packet.set(AESMAMBA, "Score", "3.4")
    packet.set(XMP, "Rating", "4")
    after = packet.to_bytes()
    for kept in (b"<!-- kept -->", b"<!-- one -->", b'<?xpacket begin="\xef\xbb\xbf" id="W5M0"?>'):
        assert kept in after
    assert after.startswith(b"<?xml ")
    assert b"<![CDATA[a < b]]>" in after
    assert b'<?xpacket end="w"?>' in after
    packet.own().getparent().remove(packet.own())
    packet.set(XMP, "Rating", "0")
    assert canonical(packet.to_bytes()) == canonical(before)


def canonical(data: bytes) -> list[str]:
    """Each line of canonical XML without the space between elements."""
    root = etree.fromstring(data, etree.XMLParser(remove_blank_text=True)).getroottree()
    return etree.tostring(root, method="c14n2", with_comments=True).decode().split("\n")


def test_an_empty_packet_takes_properties():
    packet = Packet.empty()
    packet.set(AESMAMBA, "Score", "3.4")
    packet.set(XMP, "Rating", "4")
    text = packet.to_bytes().decode()
    assert text.startswith('<?xpacket begin="\ufeff"')
    assert 'aesmamba:Score="3.4" xmp:Rating="4"' in text
