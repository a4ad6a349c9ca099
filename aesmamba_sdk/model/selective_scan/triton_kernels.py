"""Triton kernels of the four-way selective scan, forward and backward; importing them needs triton.

A path is one sample scanned in one direction, cut into chunks. A program walks one chunk of one
path for one block of channels, step by step: a thread to a channel, its N states in registers.
Chunks are first walked from a zero state, to learn what each adds; ``enter_chunks`` carries states
from chunk to chunk; then every chunk is walked again from its true first state. Plain loops
instead of ``tl.associative_scan``: its ``reverse`` gives wrong numbers for pairs in some releases
of triton, and chunks give a GPU enough to do at once.

Tensors, all contiguous: x and dy (B, L, D); x_dbl (B, L, 4, R+2N); dt_weight (4, R, D); dt_bias
and skip (4, D); A (4, N, D); dt, y, dx and draw (B, 4, L, D), all in the order of the pixels;
states (B, 4, L, N, D) in the order of the path; per chunk (B, 4, chunks, N, D), (B, 4, chunks, D).
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _softplus(raw):
    """log(1 + e^raw); no threshold: above 20 it is linear in float32 anyway.

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
    return tl.maximum(raw, 0.0) + 2.0 * s * series


@triton.jit
def _softplus_slope(dt):
    """The derivative of softplus where its value is dt, 1 - e^-dt; a series where that cancels."""
    series = 0.00833333333 - dt * (0.00138888889 - dt * 0.00019841270)
    series = 0.5 - dt * (0.16666666667 - dt * (0.04166666667 - dt * series))
    return tl.where(dt < 0.25, dt * (1.0 - dt * series), 1.0 - tl.exp(-dt))


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
def _tile(d, D, N: tl.constexpr, PAD_N: tl.constexpr):
    """Offsets into a (N, D) tile and which of them lie inside."""
    n = tl.arange(0, PAD_N)[:, None]
    return n * D + d[None, :], (n < N) & (d < D)[None, :]


@triton.jit
def _vector(row, N: tl.constexpr, PAD_N: tl.constexpr):
    """B or C of a pixel, (N, 1)."""
    n = tl.arange(0, PAD_N)[:, None]
    return tl.load(row + n, n < N, 0.0).to(tl.float32)


@triton.jit
def step_sizes(
    x_dbl, dt_weight, dt_bias, dt, length, D,
    N: tl.constexpr, R: tl.constexpr, PAD_R: tl.constexpr, BLOCK: tl.constexpr,
    PIXELS: tl.constexpr,
):  # fmt: skip
    """dt = softplus(dt_weight · low + dt_bias), for blocks of pixels and channels of every path."""
    blocks = tl.cdiv(length, PIXELS)
    path = tl.program_id(0).to(tl.int64) // blocks
    k = path % 4
    p = (tl.program_id(0) % blocks) * PIXELS + tl.arange(0, PIXELS)
    d = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    r = tl.arange(0, PAD_R)
    row = ((path // 4 * length + p) * 4 + k) * (R + 2 * N)
    low = tl.load(x_dbl + row[:, None] + r[None, :], (p < length)[:, None] & (r < R)[None, :], 0.0)
    tile, real = _tile(d, D, R, PAD_R)
    w = tl.load(dt_weight + k * R * D + tile, real, 0.0)
    bias = tl.load(dt_bias + k * D + d, d < D, 0.0).to(tl.float32)
    raw = tl.dot(low.to(tl.float32), w.to(tl.float32), input_precision="ieee") + bias[None, :]
    at = (path * length + p)[:, None] * D + d[None, :]
    tl.store(dt + at, _softplus(raw), (p < length)[:, None] & (d < D)[None, :])


@triton.jit
def chunk_ends(
    x, x_dbl, dt, A, ends, dt_sums, chunks, steps, height, length, D,
    N: tl.constexpr, R: tl.constexpr, PAD_N: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The last state of each chunk walked from zero, and its sum of dt."""
    path, k, index, start, stop, d, inside = _program(chunks, steps, length, D, BLOCK)
    tile, real = _tile(d, D, N, PAD_N)
    a = tl.load(A + k * N * D + tile, real, 0.0)
    h = tl.zeros([PAD_N, BLOCK], tl.float32)
    dt_sum = tl.zeros([BLOCK], tl.float32)
    for step in range(start, stop):
        pixel = _pixel(step, k, height, length)
        at = path // 4 * length + pixel
        row = x_dbl + (at * 4 + k) * (R + 2 * N) + R
        delta = tl.load(dt + (path * length + pixel) * D + d, inside, 0.0)
        value = tl.load(x + at * D + d, inside, 0.0).to(tl.float32)
        h = tl.exp(delta[None, :] * a) * h + _vector(row, N, PAD_N) * (delta * value)[None, :]
        dt_sum += delta
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
    a = tl.load(A + (path % 4) * N * D + tile, real, 0.0)
    carry = tl.zeros([PAD_N, BLOCK], tl.float32)
    for i in range(chunks):
        index = path * chunks + (chunks - 1 - i if REVERSE else i)
        tl.store(first + index * N * D + tile, carry, real)
        dt_sum = tl.load(dt_sums + index * D + d, d < D, 0.0)
        end = tl.load(ends + index * N * D + tile, real, 0.0)
        carry = tl.exp(dt_sum[None, :] * a) * carry + end


@triton.jit
def outputs(
    x, x_dbl, dt, A, skip, first, y, chunks, steps, height, length, D,
    N: tl.constexpr, R: tl.constexpr, PAD_N: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Every direction's own output, at the pixel it belongs to."""
    path, k, index, start, stop, d, inside = _program(chunks, steps, length, D, BLOCK)
    tile, real = _tile(d, D, N, PAD_N)
    a = tl.load(A + k * N * D + tile, real, 0.0)
    past = tl.load(skip + k * D + d, inside, 0.0).to(tl.float32)
    h = tl.load(first + index * N * D + tile, real, 0.0)
    for step in range(start, stop):
        pixel = _pixel(step, k, height, length)
        at = path // 4 * length + pixel
        here = (path * length + pixel) * D + d
        row = x_dbl + (at * 4 + k) * (R + 2 * N) + R
        delta = tl.load(dt + here, inside, 0.0)
        value = tl.load(x + at * D + d, inside, 0.0).to(tl.float32)
        h = tl.exp(delta[None, :] * a) * h + _vector(row, N, PAD_N) * (delta * value)[None, :]
        out = tl.sum(_vector(row + N, N, PAD_N) * h, axis=0) + past * value
        tl.store(y + here, out, inside)


@triton.jit
def states_before(
    x, x_dbl, dt, A, first, states, chunks, steps, height, length, D,
    N: tl.constexpr, R: tl.constexpr, PAD_N: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The state before every step: what the walk backwards cannot recompute."""
    path, k, index, start, stop, d, inside = _program(chunks, steps, length, D, BLOCK)
    tile, real = _tile(d, D, N, PAD_N)
    a = tl.load(A + k * N * D + tile, real, 0.0)
    h = tl.load(first + index * N * D + tile, real, 0.0)
    for step in range(start, stop):
        tl.store(states + (path * length + step) * N * D + tile, h, real)
        pixel = _pixel(step, k, height, length)
        at = path // 4 * length + pixel
        row = x_dbl + (at * 4 + k) * (R + 2 * N) + R
        delta = tl.load(dt + (path * length + pixel) * D + d, inside, 0.0)
        value = tl.load(x + at * D + d, inside, 0.0).to(tl.float32)
        h = tl.exp(delta[None, :] * a) * h + _vector(row, N, PAD_N) * (delta * value)[None, :]


@triton.jit
def adjoint_ends(
    x_dbl, dt, A, dy, ends, chunks, steps, height, length, D,
    N: tl.constexpr, R: tl.constexpr, PAD_N: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """What each chunk, walked backwards from zero, hands to the chunk before it."""
    path, k, index, start, stop, d, inside = _program(chunks, steps, length, D, BLOCK)
    tile, real = _tile(d, D, N, PAD_N)
    a = tl.load(A + k * N * D + tile, real, 0.0)
    carry = tl.zeros([PAD_N, BLOCK], tl.float32)
    for i in range(start, stop):
        pixel = _pixel(start + stop - 1 - i, k, height, length)
        at = path // 4 * length + pixel
        row = x_dbl + (at * 4 + k) * (R + 2 * N) + R
        delta = tl.load(dt + (path * length + pixel) * D + d, inside, 0.0)
        slope = tl.load(dy + at * D + d, inside, 0.0)
        carry += _vector(row + N, N, PAD_N) * slope[None, :]
        carry *= tl.exp(delta[None, :] * a)
    tl.store(ends + index * N * D + tile, carry, real)


@triton.jit
def gradients(
    x, x_dbl, dt, A, skip, dy, states, last, dx, draw, dBC, dA, dskip,
    chunks, steps, height, length, D,
    N: tl.constexpr, R: tl.constexpr, PAD_N: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Walk every chunk backwards from its true last adjoint, ``last``.

    Per direction and pixel: dx, and draw, the gradient before softplus. Per block of channels: dBC
    (blocks, B, L, 4, 2N). Per chunk: dA and dskip. Summing these is left to torch: no atomics, so
    that the same input gives the same gradient twice.
    """
    path, k, index, start, stop, d, inside = _program(chunks, steps, length, D, BLOCK)
    tile, real = _tile(d, D, N, PAD_N)
    a = tl.load(A + k * N * D + tile, real, 0.0)
    past = tl.load(skip + k * D + d, inside, 0.0).to(tl.float32)
    carry = tl.load(last + index * N * D + tile, real, 0.0)
    dA_sum = tl.zeros([PAD_N, BLOCK], tl.float32)
    dskip_sum = tl.zeros([BLOCK], tl.float32)
    block = tl.program_id(1) * (tl.num_programs(0) // chunks // 4).to(tl.int64) * length
    n = tl.arange(0, PAD_N)
    for i in range(start, stop):
        step = start + stop - 1 - i
        pixel = _pixel(step, k, height, length)
        at = path // 4 * length + pixel
        here = (path * length + pixel) * D + d
        row = x_dbl + (at * 4 + k) * (R + 2 * N) + R
        delta = tl.load(dt + here, inside, 0.0)
        value = tl.load(x + at * D + d, inside, 0.0).to(tl.float32)
        slope = tl.load(dy + at * D + d, inside, 0.0)
        before = tl.load(states + (path * length + step) * N * D + tile, real, 0.0)
        b = _vector(row, N, PAD_N)
        decay = tl.exp(delta[None, :] * a)
        after = decay * before + b * (delta * value)[None, :]
        g = carry + _vector(row + N, N, PAD_N) * slope[None, :]
        out = dBC + ((block + at) * 4 + k) * 2 * N
        tl.store(out + n, tl.sum(g * (delta * value)[None, :], axis=1), n < N)
        tl.store(out + N + n, tl.sum(after * slope[None, :], axis=1), n < N)
        carry = g * decay
        into_decay = carry * before  # dL/d(dt A)
        dA_sum += into_decay * delta[None, :]
        dskip_sum += slope * value
        into_input = tl.sum(g * b, axis=0)  # dL/d(dt x)
        ddt = tl.sum(into_decay * a, axis=0) + into_input * value
        tl.store(dx + here, into_input * delta + past * slope, inside)
        tl.store(draw + here, ddt * _softplus_slope(delta), inside)
    tl.store(dA + index * N * D + tile, dA_sum, real)
    tl.store(dskip + index * D + d, dskip_sum, inside)
