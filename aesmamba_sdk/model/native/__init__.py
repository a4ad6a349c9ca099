"""What the CPU computes in C++: the selective scan and layer norms, behind a plain C interface.

``scan.cpp`` and ``norm.cpp`` are the arithmetic, on the vectors of ``vector_math.h``;
``dispatch.cpp`` picks the instruction set, ``build.py`` compiles them (with the wheel, or later)
and ``library.py`` loads the result. Without a compiler none of it is there and torch serves.
"""
