"""What the CPU computes in C++ behind a plain C interface: the selective scan, in inference all of
an encoder's layers besides, and in training the gradients of what linear layers read.

``scan.cpp``, ``norm.cpp``, ``product.cpp`` and ``depthwise.cpp`` are the arithmetic, on the
vectors of ``vector_math.h``; ``dispatch.cpp`` picks the instruction set and deals out the work,
``build.py`` compiles them (with the wheel, or later) and ``library.py`` loads the result. Without a
compiler none of it is there and torch serves.
"""
