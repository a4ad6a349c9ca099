"""The selective scan for CPUs in C++: one fused pass, behind a plain C interface.

``kernel.cpp`` is the arithmetic, on the vectors of ``vector_math.h``; ``dispatch.cpp`` picks the
instruction set, ``build.py`` compiles both (with the wheel, or later), ``library.py`` loads the
result and ``engine.py`` gives it gradients. Without a compiler none of it is there and the torch
engine serves.
"""
