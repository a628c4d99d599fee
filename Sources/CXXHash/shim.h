// xxHash, of which only the streaming XXH3-64 is used (stable since xxHash 0.8.0).
#pragma once
#include <xxhash.h>
