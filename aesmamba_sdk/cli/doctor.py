"""``aesmamba doctor``: what is here, what is missing, and how to get it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from aesmamba_sdk import __version__
from aesmamba_sdk.cli.output import (
    Format,
    chosen_format,
    format_option,
    model_options,
    write_records,
    write_table,
)
from aesmamba_sdk.errors import AesMambaError
from aesmamba_sdk.sdk import AesMamba

if TYPE_CHECKING:
    from aesmamba_sdk.model.backbone import Backbone

_OPTIONAL = {
    "mamba-ssm": "the CUDA scan: pip install 'aesmamba-sdk[cuda]'",
    "pillow-heif": "HEIC photos: pip install 'aesmamba-sdk[heif]'",
    "rawpy": "camera RAW files: pip install 'aesmamba-sdk[raw]'",
    "tifffile": "TIFF with colours as floats: pip install 'aesmamba-sdk[tiff]'",
    "psycopg": "profiles in PostgreSQL: pip install 'aesmamba-sdk[postgresql]'",
    "fastapi": "aesmamba serve and rate: pip install 'aesmamba-sdk[serve]'",
    "ray": "score --engine ray: pip install 'aesmamba-sdk[ray]'",
    "triton": "the scan on GPUs without mamba-ssm: pip install 'aesmamba-sdk[triton]'",
    "accelerate": "several GPUs, curves and a teacher: pip install 'aesmamba-sdk[train]'",
    "scikit-image": "aesmamba demo: pip install 'aesmamba-sdk[demo]'",
}
_FAILED = 1

Finding = tuple[str, bool, str]


@click.command()
@format_option
@model_options
@click.pass_context
def doctor(
    context: click.Context,
    form: Format | None,
    model: str | None,
    device: str,
    threads: int | None,
) -> None:
    """Check the installation. Exit code 1 when something needed is broken.

    \b
    Example:
      aesmamba doctor
    """
    checks: list[Callable[[AesMamba], list[Finding]]] = [
        _versions,
        _check_device,
        _check_model,
        _check_home,
        _check_database,
        _optional_packages,
    ]
    findings: list[Finding] = []
    with AesMamba(model, device=device, threads=threads) as sdk:
        for check in checks:
            try:
                findings += check(sdk)
            except AesMambaError as error:
                name = check.__name__.removeprefix("_check_")
                findings.append((name, False, str(error)))
    if chosen_format(form) == "table":
        rows = [[name, "ok" if ok else "!", said] for name, ok, said in findings]
        write_table("", ["", "", ""], rows)
    else:
        records = ({"check": name, "ok": ok, "message": said} for name, ok, said in findings)
        write_records(records, chosen_format(form), ["check", "ok", "message"])
    context.exit(0 if all(ok for _, ok, _ in findings) else _FAILED)


def _versions(sdk: AesMamba) -> list[Finding]:
    packages = ", ".join(f"{p} {_version(p)}" for p in ("torch", "transformers", "peft", "pillow"))
    system = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()}"
    return [("aesmamba-sdk", True, f"{__version__} on {system}"), ("packages", True, packages)]


def _check_device(sdk: AesMamba) -> list[Finding]:
    import torch

    from aesmamba_sdk.model.linear import linear_report
    from aesmamba_sdk.model.norm import layer_norm_report
    from aesmamba_sdk.model.selective_scan import engine_report

    device = sdk.device
    said = str(device)
    if device.type == "cpu":
        said += f", {torch.get_num_threads()} threads of {os.cpu_count()} processors"
        exact = sdk.precision == "float32"
        said += f", matrix products by {linear_report() if exact else 'torch'}"
        said += f", layer norms by {layer_norm_report()}"
    said += f", in {sdk.precision}"
    engines = "; ".join(f"{name}: {why}" for name, why in engine_report(device).items())
    return [("device", True, said), ("scan", True, engines)]


def _check_model(sdk: AesMamba) -> list[Finding]:
    backbone = sdk.backbone
    config, model = backbone.config, backbone.model
    weights = sum(p.numel() for p in model.parameters())
    return [
        ("model", True, f"{backbone.id}, {weights / 1e6:.1f} M weights, {config.image_size} px"),
        ("attributes", True, ", ".join(config.attributes)),
        ("percentiles", True, _percentiles(backbone)),
        (
            "personalizable",
            True,
            "yes; without lora and full, which need a fusion" if model.fusion is None else "yes",
        ),
        ("licence", True, config.license),
    ]


def _percentiles(backbone: Backbone) -> str:
    """A model can do without reference photos: their lack breaks nothing."""
    if backbone.reference is not None:
        return f"against {len(backbone.reference)} reference photos"
    return (
        "none: no reference photos with this model; write them with "
        f"`python -m aesmamba_sdk.train.reference --model {backbone.folder}`"
    )


def _check_home(sdk: AesMamba) -> list[Finding]:
    from aesmamba_sdk.paths import ensure_private

    return [("home", True, f"{ensure_private(sdk.home)} (private to you)")]


def _check_database(sdk: AesMamba) -> list[Finding]:
    people = sdk.users.list()
    return [("database", True, f"{sdk.database.url}, {len(people)} people")]


def _optional_packages(sdk: AesMamba) -> list[Finding]:
    return [
        (name, True, _version(name) if _version(name) != "missing" else f"not installed; {remedy}")
        for name, remedy in _OPTIONAL.items()
    ]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
