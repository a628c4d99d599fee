// Memory with a descriptor and without a name, which Swift's Glibc module leaves out.
#pragma once
#include <linux/memfd.h>
#include <sys/syscall.h>
#include <unistd.h>

// A descriptor of empty memory; -1 when the kernel refuses it. The name shows in /proc alone.
static inline int CSharedMemory_create(const char *name) { return (int)syscall(SYS_memfd_create, name, MFD_CLOEXEC); }
