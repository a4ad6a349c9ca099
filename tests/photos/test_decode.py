"""Photos of every kind, good and bad."""

from __future__ import annotations

import gc
import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from aesmamba_sdk.errors import PhotoError
from aesmamba_sdk.photos import MAX_SIDE, limits, load_image, load_photo
from aesmamba_sdk.photos.decode import own
from aesmamba_sdk.photos.pixels import load_pixels
from tests.photos.pictures import close, encoded, gradient, stored


def test_path_bytes_image_and_array_are_the_same_photo(tmp_path):
    image = gradient()
    image.save(tmp_path / "a.png")
    sources = [tmp_path / "a.png", encoded(image), image, np.asarray(image)]
    loaded = [load_photo(s) for s in sources]
    assert {p.photo_id for p in loaded} == {loaded[0].photo_id}
    assert (loaded[0].width, loaded[0].height, loaded[0].image.mode) == (40, 30, "RGB")
    assert loaded[0].path == str(tmp_path / "a.png")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_exactly_once(orientation):
    image = gradient()
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = load_photo(encoded(stored(image, orientation), exif=exif))
    assert (photo.width, photo.height) == image.size
    assert close(photo.image, image, 0)


def test_writing_metadata_keeps_the_photo_id():
    data = encoded(gradient(), "JPEG", quality=90)
    marked = data[:2] + b"\xff\xfe\x00\x08stars!" + data[2:]
    assert load_photo(marked).photo_id == load_photo(data).photo_id


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16", "F"])
def test_every_mode_becomes_rgb(mode):
    grey = gradient().convert("L")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(np.asarray(grey).astype(np.float32) / 255)
    else:
        image = gradient().convert(mode)
    photo = load_photo(image)
    assert photo.image.mode == "RGB"
    if mode in ("L", "LA", "I;16", "F"):
        assert close(photo.image, grey.convert("RGB"), 1)


@pytest.mark.parametrize("modes", [("RGBA",), ("LA",), ("RGBA", "RGBa"), ("LA", "La")])
def test_transparency_lies_on_white(modes):
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    image.putpixel((1, 0), (90, 90, 90, 255))
    for mode in modes:
        image = image.convert(mode)
    photo = load_photo(image)
    assert photo.image.getpixel((0, 0)) == (255, 255, 255)
    assert photo.image.getpixel((1, 0)) == (90, 90, 90)


def test_not_a_number_is_black():
    values = np.full((4, 4), np.nan, np.float32)
    assert load_photo(Image.fromarray(values)).image.getpixel((0, 0)) == (0, 0, 0)


def test_a_profile_is_applied_and_a_broken_one_ignored():
    image = gradient()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert close(load_photo(encoded(image, icc_profile=srgb)).image, image, 2)
    assert close(load_photo(encoded(image, icc_profile=b"nonsense")).image, image, 0)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    assert load_photo(encoded(image, icc_profile=lab)).image.mode == "RGB"


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_sixteen_bits_has_its_profile_applied_as_that_of_eight(kind):
    grey = np.asarray(gradient().convert("L"))
    eight, sixteen = Image.fromarray(grey), Image.fromarray(grey.astype(np.uint16) * 257)
    profile = _linear_grey_profile()
    photo = load_photo(encoded(sixteen, kind, icc_profile=profile))
    assert close(photo.image, load_photo(encoded(eight, kind, icc_profile=profile)).image, 1)
    assert not close(photo.image, load_photo(sixteen).image, 20)


def test_large_photos_are_bounded_and_keep_their_aspect():
    large = gradient(400, 300).resize((4000, 3000))
    photo = load_photo(encoded(large, "JPEG"))
    assert photo.image.size == (MAX_SIDE, MAX_SIDE * 3 // 4)
    assert (photo.width, photo.height) == (4000, 3000)
    assert close(photo.image, gradient(*photo.image.size), 12)


def test_a_large_file_is_decoded_in_few_pieces_as_before_each_the_interpreter_is_waited_for():
    pixels = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), np.uint8)
    asked = []

    class Watched(io.BytesIO):
        def read(self, size=-1):
            asked.append(size)
            return super().read(size)

    stream = Watched(encoded(Image.fromarray(pixels), "JPEG", quality=95))
    assert stream.getbuffer().nbytes > 2**20
    load_pixels(Image.open(stream), "noise")
    assert len([size for size in asked if size >= 2**16]) <= 3


def test_a_photo_to_look_at_is_upright_and_as_large_as_asked():
    exif = Image.Exif()
    exif[0x0112] = 6
    large = gradient(400, 300).resize((4000, 3000))
    image = load_image(encoded(stored(large.rotate(270, expand=True), 6), "JPEG", exif=exif), 1600)
    assert image.size == (1200, 1600)
    assert close(image, gradient(1600, 1200).rotate(270, expand=True), 12)
    assert load_image(gradient(40, 30), 1600).size == (40, 30)


@pytest.mark.parametrize("size", [(1, 1), (3000, 10), (10, 3000)])
def test_odd_shapes_load(size):
    assert min(load_photo(encoded(Image.new("RGB", size))).image.size) >= 1


def test_bad_files_are_named_with_a_code(tmp_path, monkeypatch):
    good = encoded(gradient(), "JPEG")
    cases = {"empty": b"", "not_an_image": b"hello" * 99, "truncated": good[: len(good) // 2]}
    for code, data in cases.items():
        file = tmp_path / f"{code}.jpg"
        file.write_bytes(data)
        with pytest.raises(PhotoError, match=file.name) as caught:
            load_photo(file)
        assert caught.value.code == f"photo_{code}"
    (tmp_path / "folder.jpg").mkdir()
    for name, code in {"folder.jpg": "photo_not_a_file", "gone.jpg": "photo_missing"}.items():
        with pytest.raises(PhotoError, match=name) as caught:
            load_photo(tmp_path / name)
        assert caught.value.code == code
    monkeypatch.setattr(limits, "MAX_PIXELS", 100)
    with pytest.raises(PhotoError, match="40x30") as caught:
        load_photo(good)
    assert caught.value.code == "photo_too_large"


def test_the_error_of_a_damaged_photo_does_not_hold_its_pixels():
    def images():
        gc.collect()
        return sum(issubclass(type(thing), Image.Image) for thing in gc.get_objects())

    data, before = encoded(gradient(400, 300)), images()
    with pytest.raises(PhotoError) as caught:
        load_photo(data[: len(data) // 2])
    assert caught.value.code == "photo_truncated"
    assert images() == before


def test_the_error_of_a_damaged_photo_leaves_alone_what_its_caller_is_handling():
    def fail():
        needed = "by a debugger"
        raise ValueError(needed)

    data = encoded(gradient(400, 300))
    try:
        fail()
    except ValueError as handled:
        with pytest.raises(PhotoError):
            load_photo(data[: len(data) // 2])
        frame = handled.__traceback__.tb_next.tb_frame
    assert frame.f_locals.get("needed") == "by a debugger"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "P", "LA", "F"])
def test_the_copy_of_an_image_in_memory_is_the_same_photo(mode):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = gradient(600, 400).convert(mode)
    image.info["exif"] = exif.tobytes()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    image.info["icc_profile"] = profile.tobytes()
    copy = own(image)
    assert copy is not image
    assert copy.size == (341, 512)
    assert load_photo(copy).photo_id == load_photo(image).photo_id


@pytest.mark.parametrize("kind", ["EPS", "ICO", "JPEG2000", "PCX", "TGA"])
def test_pictures_of_no_format_of_photos_are_not_opened_whatever_they_are_called(tmp_path, kind):
    file = tmp_path / "a.jpg"
    file.write_bytes(encoded(gradient(), kind))
    with pytest.raises(PhotoError, match=r"a\.jpg") as caught:
        load_photo(file)
    assert caught.value.code == "photo_not_an_image"


class TestImagesInMemory:
    def test_one_that_is_not_loaded_yet_stays_open_and_as_large_as_it_was(self):
        image = Image.open(io.BytesIO(encoded(gradient(1600, 1200), "JPEG")))
        assert load_photo(image).image.size == (512, 384)
        assert image.size == (1600, 1200)
        assert image.getpixel((0, 0))[2] > 100

    def test_one_that_cannot_be_loaded_is_named(self):
        data = encoded(gradient(400, 300), "JPEG")
        closed = Image.open(io.BytesIO(data))
        closed.close()
        for image in (closed, Image.open(io.BytesIO(data[: len(data) // 2]))):
            with pytest.raises(PhotoError, match="PIL image is damaged or cut short"):
                load_photo(image)

    @pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
    def test_one_without_pixels_is_empty(self, size):
        with pytest.raises(PhotoError, match=f"{size[0]}x{size[1]}") as caught:
            load_photo(Image.new("RGB", size))
        assert caught.value.code == "photo_empty"

    @pytest.mark.parametrize("source", [gradient(), np.asarray(gradient())])
    def test_the_limits_hold_for_them_as_well(self, monkeypatch, source):
        monkeypatch.setattr(limits, "MAX_PIXELS", 100)
        with pytest.raises(PhotoError, match="40x30") as caught:
            load_photo(source)
        assert caught.value.code == "photo_too_large"


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3)])
def test_arrays_of_another_shape_or_type_are_refused(shape):
    with pytest.raises(PhotoError, match="uint8"):
        load_photo(np.zeros(shape, np.uint8))
    with pytest.raises(PhotoError, match="float64"):
        load_photo(np.zeros((4, 4, 3)))


def _linear_grey_profile() -> bytes:
    """The smallest that says that twice the number is twice the light."""
    white = struct.pack(">iii", 63190, 65536, 54061)  # D50, the reference of all profiles
    tags = {
        b"desc": b"desc" + struct.pack(">4xI", 5) + b"grey\0" + bytes(74),
        b"cprt": b"text" + bytes(8),
        b"wtpt": b"XYZ " + bytes(4) + white,
        b"kTRC": b"curv" + bytes(8),
    }
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(
        ">I4s4s4s4s4s12x4s28x12s48x",
        *(128 + len(table) + len(body), b"lcms", b"\2\x10\0\0", b"mntr", b"GRAY", b"XYZ "),
        *(b"acsp", white),
    )
    return head + table + body
