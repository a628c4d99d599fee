// The processors that a thread may run on, which Swift's Glibc module leaves out. The kernel's own calls: those of the C library hold 1024 processors.
#pragma once
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

// Fills the calling thread's mask, a bit a processor. -1 when it has more processors than bits.
static inline int CAffinity_get(unsigned long *mask, size_t bytes) { return syscall(SYS_sched_getaffinity, 0, bytes, mask) < 0 ? -1 : 0; }

static inline int CAffinity_set(const unsigned long *mask, size_t bytes) { return syscall(SYS_sched_setaffinity, 0, bytes, mask) < 0 ? -1 : 0; }
