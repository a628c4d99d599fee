// zlib, of which only decompression is used. The shim calls a macro.
#pragma once
#include <zlib.h>

// Takes gzip and zlib streams; windows of up to 32 KiB, all that the formats have.
static inline int CZlib_begin(z_stream *stream) { return inflateInit2(stream, 15 + 32); }
