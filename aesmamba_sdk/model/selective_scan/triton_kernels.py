"""Triton kernels of the four-way selective scan, forward and backward; they import triton.

A path is one sample scanned in one direction. It is cut into chunks; a program walks one chunk of
one path for one block of channels, step by step, a thread to a channel, its N states in registers.
Chunks are first walked from a zero state, to learn what each adds; ``enter_chunks`` carries states
from chunk to chunk; then every chunk is walked again from its true first state. Plain loops
instead of ``tl.associative_scan``: its ``reverse`` gives wrong numbers for pairs in several
releases of triton, and chunks give a GPU enough to do at once.

Inside, tiles are (state or rank, channels): sums over states and ranks stay within a thread.
Tensors, all contiguous: x (B, L, D); x_dbl (B, L, 4, R+2N); dt_weight (4, D, R); dt_bias, skip
(4, D); A (4, D, N); per chunk (B, 4, chunks, N, D) or (B, 4, chunks, D).
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _softplus(raw):
    """log(1 + e^raw) and its derivative; no threshold: above 20 it is linear in float32 anyway.

    The logarithm is a series, 2 atanh(e / (2 + e)) with e in (0, 1]: the GPU's own is inexact near
    1, where small steps live.
    """
    e = tl.exp(-tl.abs(raw))
    s = e / (2.0 + e)
    q = s * s
    series = 0.07692307692 + q * 0.06666666667
    series = 0.09090909091 + q * series
    series = 0.11111111111 + q * series
    series = 0.14285714286 + q * series
    series = 0.2 + q * series
    series = 0.33333333333 + q * series
    series = 1.0 + q * series
    value = tl.maximum(raw, 0.0) + 2.0 * s * series
    slope = tl.where(raw >= 0, 1.0, e) / (1.0 + e)
    return value, slope


@triton.jit
def _pixel(step, direction, height, length):
    """Row-major index of the pixel that a direction visits at a step."""
    width = length // height
    place = tl.where(direction >= 2, length - 1 - step, step)
    by_column = (place % height) * width + place // height
    return tl.where(direction % 2 == 1, by_column, place)


@triton.jit
def _program(chunks, steps, length, D, BLOCK: tl.constexpr):
    """Path, direction, index of the chunk among all, its first and last step, channels, mask."""
    index = tl.program_id(0).to(tl.int64)
    path = index // chunks
    start = (index % chunks).to(tl.int32) * steps
    stop = tl.minimum(start + steps, length)
    d = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    return path, (path % 4).to(tl.int32), index, start, stop, d, d < D


@triton.jit
def _weights(dt_weight, dt_bias, A, k, d, inside, D, N: tl.constexpr, R: tl.constexpr,
             PAD_N: tl.constexpr, PAD_R: tl.constexpr):  # fmt: skip
    """The weights of a direction's channels: (R, d), (d,) and (N, d), zero where padded."""
    channel = k * D + d
    r = tl.arange(0, PAD_R)[:, None]
    n = tl.arange(0, PAD_N)[:, None]
    w = tl.load(dt_weight + channel[None, :] * R + r, (r < R) & inside[None, :], 0.0)
    bias = tl.load(dt_bias + channel, inside, 0.0)
    a = tl.load(A + channel[None, :] * N + n, (n < N) & inside[None, :], 0.0)
    return w.to(tl.float32), bias.to(tl.float32), a.to(tl.float32)


@triton.jit
def _row(x_dbl, path, k, pixel, length, N: tl.constexpr, R: tl.constexpr):
    """Where the projections of a pixel in a direction begin."""
    return x_dbl + ((path // 4 * length + pixel) * 4 + k) * (R + 2 * N)


@triton.jit
def _step_size(row, w, bias, R: tl.constexpr, PAD_R: tl.constexpr):
    """Δ of a pixel, (d,), and dΔ/d(before softplus)."""
    r = tl.arange(0, PAD_R)[:, None]
    low = tl.load(row + r, r < R, 0.0).to(tl.float32)  # (R, 1)
    return _softplus(tl.sum(w * low, axis=0) + bias)


@triton.jit
def _vector(row, N: tl.constexpr, PAD_N: tl.constexpr):
    """B or C of a pixel, (N, 1)."""
    n = tl.arange(0, PAD_N)[:, None]
    return tl.load(row + n, n < N, 0.0).to(tl.float32)


@triton.jit
def _tile(d, D, N: tl.constexpr, PAD_N: tl.constexpr):
    """Offsets into a (N, D) tile and which of them lie inside."""
    n = tl.arange(0, PAD_N)[:, None]
    return n * D + d[None, :], (n < N) & (d < D)[None, :]


@triton.jit
def chunk_ends(
    x, x_dbl, dt_weight, dt_bias, A, ends, dt_sums, chunks, steps, height, length, D,
    N: tl.constexpr, R: tl.constexpr, PAD_N: tl.constexpr, PAD_R: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The last state of each chunk walked from zero, and its sum of Δ."""
    path, k, index, start, stop, d, inside = _program(chunks, steps, length, D, BLOCK)
    w, bias, a = _weights(dt_weight, dt_bias, A, k, d, inside, D, N, R, PAD_N, PAD_R)
    h = tl.zeros([PAD_N, BLOCK], tl.float32)
    dt_sum = tl.zeros([BLOCK], tl.float32)
    for step in range(start, stop):
        pixel = _pixel(step, k, height, length)
        row = _row(x_dbl, path, k, pixel, length, N, R)
        dt, _ = _step_size(row, w, bias, R, PAD_R)
        value = tl.load(x + (path // 4 * length + pixel) * D + d, inside, 0.0).to(tl.float32)
        h = tl.exp(dt[None, :] * a) * h + _vector(row + R, N, PAD_N) * (dt * value)[None, :]
        dt_sum += dt
    tile, real = _tile(d, D, N, PAD_N)
    tl.store(ends + index * N * D + tile, h, real)
    tl.store(dt_sums + index * D + d, dt_sum, inside)


@triton.jit
def enter_chunks(
    ends, dt_sums, A, first, chunks, D, N: tl.constexpr, PAD_N: tl.constexpr,
    BLOCK: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """What each chunk starts from, given what each adds: one program to a path, from either end."""
    path = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    tile, real = _tile(d, D, N, PAD_N)
    n = tl.arange(0, PAD_N)[:, None]
    a = tl.load(A + ((path % 4) * D + d)[None, :] * N + n, real, 0.0).to(tl.float32)
    carry = tl.zeros([PAD_N, BLOCK], tl.float32)
    for i in range(chunks):
        index = path * chunks + (chunks - 1 - i if REVERSE else i)
        tl.store(first + index * N * D + tile, carry, real)
        dt_sum = tl.load(dt_sums + index * D + d, d < D, 0.0)
        end = tl.load(ends + index * N * D + tile, real, 0.0)
        carry = tl.exp(dt_sum[None, :] * a) * carry + end


@triton.jit
def outputs(
    x, x_dbl, dt_weight, dt_bias, A, skip, first, y, chunks, steps, height, length, D,
    N: tl.constexpr, R: tl.constexpr, PAD_N: tl.constexpr, PAD_R: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """y (B, 4, L, D): every direction's own output, at the pixel it belongs to."""
    path, k, index, start, stop, d, inside = _program(chunks, steps, length, D, BLOCK)
    w, bias, a = _weights(dt_weight, dt_bias, A, k, d, inside, D, N, R, PAD_N, PAD_R)
    through = tl.load(skip + k * D + d, inside, 0.0).to(tl.float32)
    tile, real = _tile(d, D, N, PAD_N)
    h = tl.load(first + index * N * D + tile, real, 0.0)
    for step in range(start, stop):
        pixel = _pixel(step, k, height, length)
        row = _row(x_dbl, path, k, pixel, length, N, R)
        dt, _ = _step_size(row, w, bias, R, PAD_R)
        value = tl.load(x + (path // 4 * length + pixel) * D + d, inside, 0.0).to(tl.float32)
        h = tl.exp(dt[None, :] * a) * h + _vector(row + R, N, PAD_N) * (dt * value)[None, :]
        out = tl.sum(_vector(row + R + N, N, PAD_N) * h, axis=0) + through * value
        tl.store(y + (path * length + pixel) * D + d, out, inside)


@triton.jit
def states_before(
    x, x_dbl, dt_weight, dt_bias, A, first, states, chunks, steps, height, length, D,
    N: tl.constexpr, R: tl.constexpr, PAD_N: tl.constexpr, PAD_R: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """states (B, 4, L, N, D): h before every step, in the order of the path."""
    path, k, index, start, stop, d, inside = _program(chunks, steps, length, D, BLOCK)
    w, bias, a = _weights(dt_weight, dt_bias, A, k, d, inside, D, N, R, PAD_N, PAD_R)
    tile, real = _tile(d, D, N, PAD_N)
    h = tl.load(first + index * N * D + tile, real, 0.0)
    for step in range(start, stop):
        tl.store(states + (path * length + step) * N * D + tile, h, real)
        pixel = _pixel(step, k, height, length)
        row = _row(x_dbl, path, k, pixel, length, N, R)
        dt, _ = _step_size(row, w, bias, R, PAD_R)
        value = tl.load(x + (path // 4 * length + pixel) * D + d, inside, 0.0).to(tl.float32)
        h = tl.exp(dt[None, :] * a) * h + _vector(row + R, N, PAD_N) * (dt * value)[None, :]


@triton.jit
def adjoint_ends(
    x_dbl, dt_weight, dt_bias, A, dy, ends, chunks, steps, height, length, D,
    N: tl.constexpr, R: tl.constexpr, PAD_N: tl.constexpr, PAD_R: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """What each chunk, walked backwards from zero, hands to the chunk before it."""
    path, k, index, start, stop, d, inside = _program(chunks, steps, length, D, BLOCK)
    w, bias, a = _weights(dt_weight, dt_bias, A, k, d, inside, D, N, R, PAD_N, PAD_R)
    carry = tl.zeros([PAD_N, BLOCK], tl.float32)
    for i in range(start, stop):
        pixel = _pixel(start + stop - 1 - i, k, height, length)
        row = _row(x_dbl, path, k, pixel, length, N, R)
        dt, _ = _step_size(row, w, bias, R, PAD_R)
        slope = tl.load(dy + (path // 4 * length + pixel) * D + d, inside, 0.0)
        carry += _vector(row + R + N, N, PAD_N) * slope[None, :]
        carry *= tl.exp(dt[None, :] * a)
    tile, real = _tile(d, D, N, PAD_N)
    tl.store(ends + index * N * D + tile, carry, real)


@triton.jit
def gradients(
    x, x_dbl, dt_weight, dt_bias, A, skip, dy, states, last, dx, draw, dBC, dA, dskip,
    chunks, steps, height, length, D,
    N: tl.constexpr, R: tl.constexpr, PAD_N: tl.constexpr, PAD_R: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Walk every chunk backwards from its true last adjoint, ``last``.

    Per direction and pixel: dx and the gradient before softplus, draw, (B, 4, L, D). Per block of
    channels: dBC (blocks, B, L, 4, 2N). Per chunk: dA and dskip. Summing these is left to torch:
    no atomics, so that the same input gives the same gradient twice.
    """
    path, k, index, start, stop, d, inside = _program(chunks, steps, length, D, BLOCK)
    w, bias, a = _weights(dt_weight, dt_bias, A, k, d, inside, D, N, R, PAD_N, PAD_R)
    through = tl.load(skip + k * D + d, inside, 0.0).to(tl.float32)
    tile, real = _tile(d, D, N, PAD_N)
    carry = tl.load(last + index * N * D + tile, real, 0.0)
    dA_sum = tl.zeros([PAD_N, BLOCK], tl.float32)
    dskip_sum = tl.zeros([BLOCK], tl.float32)
    pixels = tl.num_programs(0) // chunks // 4 * length
    n = tl.arange(0, PAD_N)
    for i in range(start, stop):
        step = start + stop - 1 - i
        pixel = _pixel(step, k, height, length)
        at = path // 4 * length + pixel
        row = _row(x_dbl, path, k, pixel, length, N, R)
        dt, dt_slope = _step_size(row, w, bias, R, PAD_R)
        value = tl.load(x + at * D + d, inside, 0.0).to(tl.float32)
        slope = tl.load(dy + at * D + d, inside, 0.0)
        before = tl.load(states + (path * length + step) * N * D + tile, real, 0.0)
        b = _vector(row + R, N, PAD_N)
        decay = tl.exp(dt[None, :] * a)
        after = decay * before + b * (dt * value)[None, :]
        g = carry + _vector(row + R + N, N, PAD_N) * slope[None, :]
        out = dBC + ((tl.program_id(1) * pixels + at) * 4 + k) * 2 * N
        tl.store(out + n, tl.sum(g * (dt * value)[None, :], axis=1), n < N)
        tl.store(out + N + n, tl.sum(after * slope[None, :], axis=1), n < N)
        carry = g * decay
        into_decay = carry * before  # dL/d(Δ A)
        dA_sum += into_decay * dt[None, :]
        dskip_sum += slope * value
        into_input = tl.sum(g * b, axis=0)  # dL/d(Δ x)
        ddt = tl.sum(into_decay * a, axis=0) + into_input * value
        here = (path * length + pixel) * D + d
        tl.store(dx + here, into_input * dt + through * slope, inside)
        tl.store(draw + here, ddt * dt_slope, inside)
    tl.store(dA + index * N * D + tile, dA_sum, real)
    tl.store(dskip + index * D + d, dskip_sum, inside)
