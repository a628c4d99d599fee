// Snappy by its C interface, of which only decompression is used.
#pragma once
#include <snappy-c.h>
