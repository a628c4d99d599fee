// The C library's heap and its settings, which Swift's Glibc module leaves out.
#pragma once
#include <malloc.h>
