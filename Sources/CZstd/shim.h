// Zstandard, of which only decompression is used.
#pragma once
#include <zstd.h>
