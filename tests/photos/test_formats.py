"""Formats that Pillow alone does not read, or reads in ways of their own."""

from __future__ import annotations

import io
import os
import sys

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from aesmamba_sdk.errors import PhotoError
from aesmamba_sdk.photos import MAX_SIDE, limits, load_photo
from tests.photos.dng import dng
from tests.photos.pictures import close, difference, encoded, gradient, stored

ORIENTATIONS = range(1, 9)
WIDE = (1024, 640)


def heic(image: Image.Image, **options) -> bytes:
    stream = io.BytesIO()
    pillow_heif.from_pillow(image).save(stream, quality=90, **options)
    return stream.getvalue()


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


class TestHeif:
    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_orientation_is_applied_exactly_once(self, orientation):
        image = gradient(80, 64)
        photo = load_photo(heic(stored(image, orientation), exif=oriented(orientation)))
        assert (photo.width, photo.height) == image.size
        assert close(photo.image, image, 16)

    def test_its_profile_is_applied(self):
        linear = _linear_profile()
        data = heic(gradient(64, 64), icc_profile=linear)
        plain = load_photo(encoded(gradient(64, 64), icc_profile=linear))
        assert difference(load_photo(data).image, plain.image).mean() < 6
        assert difference(plain.image, gradient(64, 64)).mean() > 30

    def test_transparency_lies_on_white(self):
        photo = load_photo(heic(Image.new("RGBA", (64, 64), (255, 0, 0, 0))))
        assert min(photo.image.getpixel((32, 32))) > 250

    def test_too_large_a_photo_is_refused_undecoded(self, monkeypatch):
        monkeypatch.setattr(limits, "MAX_BYTES", 64 * 64 * 4)
        with pytest.raises(PhotoError, match="64x64") as caught:
            load_photo(heic(gradient(64, 64)))
        assert caught.value.code == "photo_too_large"


class TestRaw:
    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_a_preview_is_turned_exactly_once(self, tmp_path, orientation):
        lying = stored(gradient(640, 480), orientation)
        preview = encoded(stored(gradient(*WIDE), orientation), "JPEG", quality=95)
        file = tmp_path / "a.dng"
        file.write_bytes(dng(lying, orientation=orientation, preview=preview))
        photo = load_photo(file)
        assert (photo.width, photo.height) == (640, 480)
        assert close(photo.image, gradient(MAX_SIDE, MAX_SIDE * WIDE[1] // WIDE[0]), 12)

    def test_a_preview_with_an_orientation_of_its_own_keeps_it(self):
        lying = stored(gradient(640, 480), 8)
        upright = encoded(gradient(*WIDE), "JPEG", exif=oriented(1))
        photo = load_photo(dng(lying, orientation=8, preview=upright))
        assert photo.image.width > photo.image.height
        assert photo.image.getpixel((0, 0))[0] < 60

    def test_a_preview_that_was_stored_upright_is_not_turned_again(self):
        lying = stored(gradient(640, 480), 6)
        photo = load_photo(dng(lying, orientation=6, preview=encoded(gradient(*WIDE), "JPEG")))
        assert photo.image.width > photo.image.height

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_without_a_preview_the_sensor_is_developed(self, orientation):
        image = gradient(96, 64)
        photo = load_photo(dng(stored(image, orientation), orientation=orientation))
        assert (photo.width, photo.height) == image.size
        assert photo.image.size == (48, 32)
        seen, was = (np.asarray(i.resize((12, 8)), float) for i in (photo.image, image))
        for channel in (0, 1):
            assert np.corrcoef(seen[..., channel].ravel(), was[..., channel].ravel())[0, 1] > 0.95

    def test_a_small_preview_does_not_serve(self):
        small = encoded(Image.new("RGB", (160, 120), "red"), "JPEG")
        photo = load_photo(dng(gradient(1200, 800), preview=small))
        assert photo.image.size == (MAX_SIDE, round(MAX_SIDE * 2 / 3))

    @pytest.mark.parametrize("name", ["a.tif", "a.jpg", None])
    def test_it_is_known_by_its_content_as_well(self, tmp_path, name):
        data = dng(gradient(640, 480), preview=encoded(gradient(*WIDE), "JPEG"))
        if name is not None:
            (tmp_path / name).write_bytes(data)
        photo = load_photo(data if name is None else tmp_path / name)
        assert (photo.width, photo.height) == (640, 480)

    def test_a_picture_under_the_name_of_a_raw_file_is_a_picture(self, tmp_path):
        (tmp_path / "a.nef").write_bytes(encoded(gradient(), "JPEG"))
        assert load_photo(tmp_path / "a.nef").width == 40

    def test_noise_under_the_name_of_a_raw_file_is_refused(self, tmp_path):
        (tmp_path / "a.cr2").write_bytes(np.random.default_rng(0).bytes(5000))
        with pytest.raises(PhotoError, match=r"a\.cr2") as caught:
            load_photo(tmp_path / "a.cr2")
        assert caught.value.code == "photo_not_an_image"

    @pytest.mark.skipif(os.name != "posix", reason="file names are text elsewhere")
    def test_its_name_need_not_be_text(self, tmp_path):
        file = tmp_path / os.fsdecode(b"caf\xe9.dng")
        file.write_bytes(dng(gradient(96, 64)))
        assert load_photo(file).width == 96


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("a.heic", "pillow_heif", "heif"), ("a.dng", "rawpy", "raw")],
)
def test_without_its_package_a_photo_is_named_with_what_helps(
    tmp_path, monkeypatch, name, package, extra
):
    data = heic(gradient(64, 64)) if extra == "heif" else dng(gradient(64, 64))
    (tmp_path / name).write_bytes(data)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        PhotoError, match=rf"{name}.*pip install 'aesmamba-sdk\[{extra}\]'"
    ) as caught:
        load_photo(tmp_path / name)
    assert caught.value.code == "photo_needs_extra"


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kind", ["AVIF", "WEBP", "TIFF", "JPEG"])
def test_orientation_of_other_formats_is_applied_exactly_once(kind, orientation):
    image = gradient(80, 64)
    data = encoded(stored(image, orientation), kind, exif=oriented(orientation))
    photo = load_photo(data)
    assert (photo.width, photo.height) == image.size
    assert difference(photo.image, image).mean() < 6


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "TIFF", "MPO"])
def test_of_several_frames_the_first_counts(kind):
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue", "green")]
    photo = load_photo(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert close(photo.image, frames[0], 4)


class TestTiff:
    def test_sixteen_bits_and_floats_are_the_same_picture(self):
        import tifffile

        grey = np.asarray(gradient(60, 40).convert("L"))
        for values in (grey.astype(np.uint16) * 257, (grey / 255).astype(np.float32)):
            stream = io.BytesIO()
            tifffile.imwrite(stream, values)
            assert close(
                load_photo(stream.getvalue()).image, Image.fromarray(grey).convert("RGB"), 1
            )

    def test_sixteen_bits_of_three_colours(self):
        import tifffile

        stream = io.BytesIO()
        tifffile.imwrite(stream, np.asarray(gradient()).astype(np.uint16) * 257, photometric="rgb")
        assert close(load_photo(stream.getvalue()).image, gradient(), 1)

    def test_inks(self):
        photo = load_photo(encoded(gradient(60, 40).convert("CMYK"), "TIFF"))
        assert close(photo.image, gradient(60, 40), 4)

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"compression": "deflate", "predictor": 3, "rowsperstrip": 7},
            {"compression": "lzw", "predictor": True, "tile": (16, 16)},
            {"planarconfig": "separate", "rowsperstrip": 9},
        ],
    )
    def test_colours_as_floats(self, options):
        values = np.asarray(gradient(60, 40)).astype(np.float32) / 255
        if options.get("planarconfig"):
            values = np.moveaxis(values, 2, 0)
        photo = load_photo(float_tiff(values, **options))
        assert close(photo.image, gradient(60, 40), 0)

    def test_floats_beyond_white_and_no_numbers_are_clipped(self):
        values = np.full((8, 8, 3), 7.5, np.float16)
        values[:4] = np.nan
        photo = load_photo(float_tiff(values))
        assert [photo.image.getpixel((0, y))[0] for y in (0, 7)] == [0, 255]

    def test_floats_are_turned_and_their_profile_is_applied(self):
        profile, image = _linear_profile(), gradient(60, 40)
        values = np.asarray(stored(image, 6)).astype(np.float32) / 255
        tags = [(0x0112, 3, 1, 6, True)]
        data = float_tiff(values, iccprofile=profile, extratags=tags)
        plain = load_photo(encoded(image, icc_profile=profile))
        assert close(load_photo(data).image, plain.image, 1)

    def test_without_the_extra_floats_say_what_is_missing(self, monkeypatch):
        data = float_tiff(np.zeros((8, 8, 3), np.float32))
        monkeypatch.setitem(sys.modules, "tifffile", None)
        with pytest.raises(PhotoError, match=r"aesmamba-sdk\[tiff\]") as caught:
            load_photo(data)
        assert caught.value.code == "photo_needs_extra"

    def test_too_many_floats_are_refused_undecoded_but_strips_take_little(self, monkeypatch):
        values = np.zeros((64, 64, 3), np.float32)
        monkeypatch.setattr(limits, "MAX_BYTES", 64 * 64 * 10)
        with pytest.raises(PhotoError, match="64x64") as caught:
            load_photo(float_tiff(values))
        assert caught.value.code == "photo_too_large"
        assert load_photo(float_tiff(values, rowsperstrip=4)).width == 64


def float_tiff(values: np.ndarray, **options) -> bytes:
    import tifffile

    stream = io.BytesIO()
    tifffile.imwrite(stream, values, photometric="rgb", **options)
    return stream.getvalue()


def test_large_photos_are_decoded_one_after_the_other(monkeypatch):
    from threading import Thread

    room = limits.Room(100)
    inside, most = [], []

    def work(amount):
        with room.take(amount):
            inside.append(amount)
            most.append(sum(inside))
            inside.remove(amount)

    threads = [Thread(target=work, args=(amount,)) for amount in [60, 250, 40, 90] * 20]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(most) == len(threads)
    assert all(total <= 100 or total == 250 for total in most)


def _linear_profile() -> bytes:
    """sRGB's colours with a straight curve, made of sRGB's own profile."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(data[128:132], "big")
    curve = len(data)
    data += b"curv" + bytes(8)
    for i in range(count):
        at = 132 + 12 * i
        if data[at : at + 4] in (b"rTRC", b"gTRC", b"bTRC"):
            data[at + 4 : at + 12] = curve.to_bytes(4, "big") + (12).to_bytes(4, "big")
    data[:4] = len(data).to_bytes(4, "big")
    return bytes(data)
