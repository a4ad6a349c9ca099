"""Photos and sidecars laid out as photo apps lay them out; made by exiftool where it is there."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from PIL import Image

EXIFTOOL = shutil.which("exiftool")
needs_exiftool = pytest.mark.skipif(
    EXIFTOOL is None, reason="exiftool is not installed (Debian: libimage-exiftool-perl)"
)

DARKTABLE = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:exif="http://ns.adobe.com/exif/1.0/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:darktable="http://darktable.sf.net/"
   exif:DateTimeOriginal="2024:05:12 18:03:11.000"
   xmp:Rating="{rating}"
   xmpMM:DerivedFrom="IMG.jpg"
   darktable:xmp_version="5"
   darktable:raw_params="0"
   darktable:auto_presets_applied="1"
   darktable:history_end="2">
   <darktable:masks_history>
    <rdf:Seq/>
   </darktable:masks_history>
   <darktable:history>
    <rdf:Seq>
     <rdf:li
      darktable:num="0"
      darktable:operation="exposure"
      darktable:enabled="1"
      darktable:modversion="6"
      darktable:params="00000000000080b90000000000004842000080c0"
      darktable:multi_name=""
      darktable:blendop_params="gz11eJxjYGBgkGAAgRNODGiAEV0AJ2iwh+CRyscOAAdeGQQ="/>
     <rdf:li
      darktable:num="1"
      darktable:operation="filmicrgb"
      darktable:enabled="0"
      darktable:params="gz09eJybf&amp;&lt;q=="/>
    </rdf:Seq>
   </darktable:history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
"""A sidecar with an edit history; ``rating`` -1 is darktable's reject."""
DIGIKAM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:acdsee="http://ns.acdsee.com/iptc/1.0/"
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:MicrosoftPhoto="http://ns.microsoft.com/photo/1.0/"
   xmp:Rating="{rating}"
   acdsee:rating="{rating}"
   MicrosoftPhoto:Rating="{percent}"
   digiKam:PickLabel="{pick}"
   digiKam:ColorLabel="0"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""
LIGHTROOM = """<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000 1.000000">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:xmpDM="http://ns.adobe.com/xmp/1.0/DynamicMedia/"
    xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
   xmp:Rating="{rating}"
   xmpDM:pick="{pick}"
   xmpDM:good="{good}"
   photoshop:SidecarForExtension="CR2"
   crs:Exposure2012="+0.35"/>
 </rdf:RDF>
</x:xmpmeta>
"""
"""Lightroom Classic from 13.2 on, which writes flags."""
PHOTOPRISM = """TakenAt: 2024-05-12T16:03:11Z
UID: pseddntx9b3mvg5h
Type: image
Title: "Lake / 2024"
OriginalName: IMG
Year: 2024
Month: 5
Day: 12
ISO: 100
Exposure: 1/250
FNumber: 8
FocalLength: 35
Quality: {quality}
{favorite}Details:
  Keywords: lake, water
  Notes: |-
    Favorite: true
  Subject: Lake
CreatedAt: 2024-05-13T08:00:00Z
UpdatedAt: 2024-05-14T09:30:00Z
"""
"""A YAML sidecar; ``favorite`` is a line of its own, or missing, ``quality`` PhotoPrism's guess."""


def image(path: Path) -> Path:
    picture = Image.new("RGB", (16, 12), (90, 120, 40))
    if path.suffix == ".heic":
        import pillow_heif

        pillow_heif.from_pillow(picture).save(path)
    else:
        picture.save(path)
    return path


def exiftool(*arguments: str | Path) -> str:
    """Run exiftool on files, its options first; what it prints."""
    assert EXIFTOOL is not None
    done = subprocess.run(
        [EXIFTOOL, "-q", "-m", *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def tag(photos: Mapping[Path, Sequence[str]]) -> list[Path]:
    """Small images with metadata that exiftool, started once, writes into them."""
    arguments: list[str | Path] = []
    for path, tags in photos.items():
        arguments += [*tags, image(path), "-execute"]
    exiftool(*arguments[:-1], "-common_args", "-overwrite_original")
    return list(photos)
