"""The native scan, each instruction set on its own, and what happens where it cannot be had."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.model.native import build, library
from aesmamba_sdk.model.selective_scan import (
    choose_engine,
    cross_selective_scan,
    engine_report,
    engines,
)
from tests.model import test_checkpoint
from tests.model.test_selective_scan import image_problem, sequential_cross_scan, worst

CPU = torch.device("cpu")
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def no_cached_choice():
    """The choice of an engine and the opened library are made afresh, now and afterwards."""
    engines._choose.cache_clear()
    library.open_library.cache_clear()
    yield
    engines._choose.cache_clear()
    library.open_library.cache_clear()


def run_with_gradients(scan, args: list[Tensor], size: tuple[int, int]) -> list[Tensor]:
    """The output, then the gradient of every input under a fixed random weighting."""
    args = [t.detach().requires_grad_() for t in args]
    y = scan(*args, size)
    g = torch.Generator().manual_seed(7)
    weight = torch.randn(y.shape, generator=g, dtype=torch.float64).to(y.dtype)
    return [y.detach(), *torch.autograd.grad((y * weight).sum(), args)]


def check_against_the_definition(args: list[Tensor], size: tuple[int, int]) -> None:
    results = run_with_gradients(cross_selective_scan, args, size)
    expected = run_with_gradients(sequential_cross_scan, args, size)
    names = ("y", "x", "x_dbl", "dt_weight", "dt_bias", "A", "D")
    for name, got, want in zip(names, results, expected, strict=True):
        if not want.any():  # A has no gradient over a single step
            assert not got.any()
            continue
        bound = 1e-6 if name == "y" else 5e-6
        assert worst(got, want) <= bound, f"{name} is off by {worst(got, want):.1e}"


@pytest.mark.parametrize("state", [1, 3, 16])
@pytest.mark.parametrize(
    ("size", "channels", "rank"),
    [((5, 3), 16, 2), ((1, 1), 8, 1), ((9, 11), 48, 3), ((4, 13), 37, 5), ((6, 6), 144, 17)],
)
def test_outputs_and_gradients_equal_the_definition(isa, size, channels, rank, state):
    check_against_the_definition(list(image_problem(size, channels, state, rank)), size)


def test_a_long_scan_with_mambas_first_step_sizes_keeps_its_digits(isa):
    size = (24, 25)
    x, x_dbl, dt_weight, dt_bias, A, D = image_problem(size, 16, 2, 1)
    dt_bias = torch.linspace(-7, -2, dt_bias.numel()).view_as(dt_bias)
    check_against_the_definition([x, x_dbl, dt_weight * 0.1, dt_bias, A, D], size)


@pytest.mark.parametrize("bias", [-30.0, -12.0, -4.0])
def test_steps_near_zero_keep_their_gradients(isa, bias):
    size = (6, 7)
    x, x_dbl, dt_weight, dt_bias, A, D = image_problem(size, 16, 2, 2)
    check_against_the_definition([x, x_dbl, dt_weight * 0.1, dt_bias * 0.1 + bias, A, D], size)


def test_large_steps_neither_overflow_nor_lose_the_state(isa):
    size = (8, 9)
    x, x_dbl, dt_weight, dt_bias, A, D = image_problem(size, 16, 2, 2)
    dt_bias = torch.linspace(-60, 300, dt_bias.numel()).view_as(dt_bias)
    check_against_the_definition([x, x_dbl, dt_weight, dt_bias, A * 50, D], size)


def test_a_state_that_does_not_decay_stays(isa):
    size = (30, 31)
    x, x_dbl, dt_weight, dt_bias, A, D = image_problem(size, 16, 1, 1)
    args = [x, x_dbl, dt_weight * 0.1, dt_bias * 0.1, torch.zeros_like(A), D]
    y = cross_selective_scan(*args, size)
    assert worst(y, sequential_cross_scan(*args, size)) <= 1e-6


@pytest.mark.parametrize("wrong", [0, 3])  # x and dt_bias
def test_nan_goes_through(isa, wrong):
    args = list(image_problem())
    args[wrong][..., 5] = torch.nan
    assert cross_selective_scan(*args, (5, 3))[..., 5].isnan().any()


@pytest.mark.parametrize("layout", test_checkpoint.LAYOUTS)
def test_whole_encoders_equal_the_reference(isa, layout):
    test_checkpoint.test_stages_logits_and_image_gradient_equal_the_reference(layout, "native")


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_threads_and_groups_of_samples_change_nothing(isa, batch, monkeypatch):
    from aesmamba_sdk.model.selective_scan import native_engine

    size = (15, 13)
    args = list(image_problem(size, 96, 2, 6))
    g = torch.Generator().manual_seed(1)
    args[0] = torch.randn(batch, 195, 96, generator=g)
    args[1] = torch.randn(batch, 195, 4, 10, generator=g)
    one = run_with_gradients(cross_selective_scan, args, size)
    torch.set_num_threads(2)
    try:
        two = run_with_gradients(cross_selective_scan, args, size)
    finally:
        torch.set_num_threads(1)
    for got, want in zip(two, one, strict=True):
        assert torch.equal(got, want)
    monkeypatch.setattr(native_engine, "_GROUP_FLOATS", 2 * 195 * 96)
    for got, want in zip(run_with_gradients(cross_selective_scan, args, size), one, strict=True):
        assert worst(got, want) < 1e-6


def test_half_precision_is_scanned_in_float32(isa):
    x, x_dbl, *weights = image_problem()
    half = [x.bfloat16(), x_dbl.half()]
    y = cross_selective_scan(*half, *weights, (5, 3))
    assert y.dtype == torch.float32
    assert torch.equal(y, cross_selective_scan(*(t.float() for t in half), *weights, (5, 3)))
    y, *gradients = run_with_gradients(cross_selective_scan, [*half, *weights], (5, 3))
    assert [g.dtype for g in gradients[:3]] == [torch.bfloat16, torch.float16, torch.float32]


def test_without_gradients_the_output_is_the_same(native):
    args = [t.requires_grad_() for t in image_problem()]
    with torch.no_grad():
        y = cross_selective_scan(*args, (5, 3))
    assert not y.requires_grad
    assert torch.equal(y, cross_selective_scan(*args, (5, 3)).detach())


def test_only_what_needs_a_gradient_gets_one(native):
    args = list(image_problem())
    args[4].requires_grad_()
    cross_selective_scan(*args, (5, 3)).sum().backward()
    assert args[4].grad is not None
    assert all(t.grad is None for i, t in enumerate(args) if i != 4)


def test_strides_do_not_matter(native):
    args = list(image_problem())
    y = cross_selective_scan(*args, (5, 3))
    strided = [t.transpose(0, -1).contiguous().transpose(0, -1) for t in args]
    assert not any(t.is_contiguous() for t in strided if t.ndim > 1)
    assert torch.equal(cross_selective_scan(*strided, (5, 3)), y)


def test_float64_is_not_narrowed(native):
    args = image_problem(dtype=torch.float64)
    y = cross_selective_scan(*args, (5, 3))
    assert y.dtype == torch.float64
    assert worst(y, sequential_cross_scan(*args, (5, 3))) < 1e-14


def test_wrong_shapes_never_reach_the_library(native):
    args = list(image_problem())
    for i, name in enumerate(("x_dbl", "dt_weight", "dt_bias", "A", "D"), start=1):
        wrong = [*args[:i], args[i][1:], *args[i + 1 :]]
        with pytest.raises(ValueError, match=name):
            cross_selective_scan(*wrong, (5, 3))


def test_the_library_brings_no_openmp_of_its_own(native):
    binary = build.LIBRARY.read_bytes()
    assert b"libgomp" not in binary
    assert b"libomp" not in binary
    if sys.platform == "linux":
        assert library._torch_parallel() is not None


def test_an_instruction_set_not_to_be_had_is_named(native, monkeypatch, no_cached_choice):
    monkeypatch.setenv(library.ISA_VARIABLE, "abacus")
    with pytest.raises(SetupError, match=r"abacus cannot run here; there are: .*baseline"):
        choose_engine(CPU)


def assert_torch_serves(reason: str) -> None:
    assert choose_engine(CPU).name == "torch"
    report = engine_report(CPU)["native"]
    assert reason in report
    assert build.COMMAND in report


def test_without_the_library_the_torch_engine_serves(monkeypatch, tmp_path, no_cached_choice):
    monkeypatch.setattr(build, "LIBRARY", tmp_path / "none.so")
    assert_torch_serves("not compiled")


def test_a_broken_library_is_refused(monkeypatch, tmp_path, no_cached_choice):
    broken = tmp_path / "broken.so"
    broken.write_text("not a library")
    monkeypatch.setattr(build, "LIBRARY", broken)
    assert_torch_serves("does not load")


def test_a_library_of_other_sources_is_refused(compiled, monkeypatch, no_cached_choice):
    monkeypatch.setattr(build, "source_digest", lambda: "changed")
    assert_torch_serves("other sources")


@pytest.mark.parametrize(
    ("compiler", "expected"),
    [
        ("", "no C++ compiler: set CXX, or install g++ or clang++"),
        ("no-such-compiler -m32", "no C++ compiler: CXX=no-such-compiler -m32 is not there"),
        ('g++ "', 'CXX=g++ " is no command: No closing quotation'),
    ],
)
def test_building_without_a_compiler_says_so(monkeypatch, capsys, compiler, expected):
    monkeypatch.setenv("CXX", compiler)
    assert build.main() == 1
    assert expected in capsys.readouterr().err


def test_a_compiler_may_lie_where_its_path_has_spaces_and_backslashes(monkeypatch, tmp_path):
    compiler = tmp_path / "program files" / "c\\c++"
    compiler.parent.mkdir()
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert build.find_compiler() == [str(compiler)]


def test_a_compiler_that_fails_leaves_the_library_alone(monkeypatch, tmp_path):
    compiler = tmp_path / "c++"
    compiler.write_bytes("#!/bin/sh\necho out of ink: b\xe9b\xe9 >&2\nexit 3\n".encode("latin-1"))
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    target = tmp_path / "library.so"
    target.write_text("old")
    with pytest.raises(build.BuildError, match="out of ink"):
        build.build(target)
    assert target.read_text() == "old"


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands for the compiler")
@pytest.mark.parametrize(
    ("machine", "unaligned"), [("x86_64-linux-gnu", False), ("x86_64-w64-mingw32", True)]
)
def test_gcc_for_windows_trusts_no_alignment(monkeypatch, tmp_path, machine, unaligned):
    compiler, asked = tmp_path / "c++", tmp_path / "asked"
    compiler.write_text(
        "#!/bin/sh\n"
        f'test "$1" = -dumpmachine && echo {machine} && exit\n'
        f'echo "$@" >> {asked}\n'
        'while test "$1" != -o; do shift; done; : > "$2"\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    build.build(tmp_path / "library")
    wide = [line for line in asked.read_text().splitlines() if "-mavx" in line]
    assert wide
    assert all(("-muse-unaligned-vector-move" in line) == unaligned for line in wide)


@pytest.fixture
def installation(monkeypatch, tmp_path):
    """What is told while the package is built without a compiler, and what goes into the wheel."""
    interface = types.ModuleType("interface")  # hatchling itself is there only while building
    interface.BuildHookInterface = object
    monkeypatch.setitem(sys.modules, "hatchling.builders.hooks.plugin.interface", interface)
    for parent in ("hatchling", "hatchling.builders", "hatchling.builders.hooks",
                   "hatchling.builders.hooks.plugin"):  # fmt: skip
        monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
    spec = importlib.util.spec_from_file_location("hatch_build", REPOSITORY / "hatch_build.py")
    hook_module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook_module)
    native = tmp_path / "aesmamba_sdk" / "model" / "native"
    native.mkdir(parents=True)
    (native / "build.py").write_text(Path(build.__file__).read_text())
    monkeypatch.setenv("CXX", "")

    def install():
        warnings: list[str] = []
        hook = hook_module.NativeLibraryHook()
        hook.root, hook.app = str(tmp_path), types.SimpleNamespace(display_warning=warnings.append)
        build_data = {"artifacts": [], "pure_python": True}
        hook.initialize("standard", build_data)
        return warnings, build_data

    return native / build.LIBRARY.name, install


def test_installing_without_a_compiler_gives_a_pure_wheel(installation):
    old, install = installation
    old.write_text("of other sources")
    warnings, build_data = install()
    assert build_data == {"artifacts": [], "pure_python": True}
    assert "no C++ compiler" in warnings[0]
    assert not old.exists()


def test_an_old_library_that_cannot_be_removed_stops_no_installation(installation):
    old, install = installation
    old.mkdir()  # as little to be removed as a file in a tree that is not to be written
    assert install()[1] == {"artifacts": [], "pure_python": True}
