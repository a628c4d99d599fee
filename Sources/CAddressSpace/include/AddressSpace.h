// A limit of the address space (ulimit -v), looked at before any library can run into it.
#pragma once
#include <stddef.h>

/// Bytes that this process may map (RLIMIT_AS); PTRDIFF_MAX without a limit, which Swift knows as the largest Int.
size_t cleave_address_space_limit(void);

/// Says who is told of a crash, in UTF-8 and with an exit code, where the address space is limited.
void cleave_address_space_on_crash(void (*tell)(const unsigned char *text, size_t count, int code));

/// Bytes that this process has mapped; 0 where the system does not say.
size_t cleave_address_space_used(void);
