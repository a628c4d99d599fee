// Makes a chosen system call of a process fail, or kills the process there: preloaded into ranks by the tests.
//
// CLEAVE_FAULT=CALL:PART:NUMBER:ACTION   the NUMBERth CALL (open, write, fsync, rename, from 1) on a file whose path holds PART;
//                                        header is a read of the 8 bytes that begin a safetensors file; memory is a mapping of no file, and all later
//                                        ones fail as well (PART is "anonymous"); ACTION is a number for errno, or kill (a write is then half done)
// CLEAVE_FAULT_RANK=R                    only in that rank; in every rank if unset
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char call[16], part[PATH_MAX], action[16];
static int number;
static atomic_int seen;

__attribute__((constructor)) static void prepare(void) {
    const char *fault = getenv("CLEAVE_FAULT"), *chosen = getenv("CLEAVE_FAULT_RANK"), *rank = getenv("OMPI_COMM_WORLD_RANK");
    if (fault && !(chosen && rank && strcmp(chosen, rank)) && sscanf(fault, "%15[^:]:%4095[^:]:%d:%15s", call, part, &number, action) != 4) {
        fprintf(stderr, "faults.c: CLEAVE_FAULT=%s is not CALL:PART:NUMBER:ACTION\n", fault);
        _exit(64);
    }
}

// 1 when this is the call that is to fail; errno is set then.
static int fails(const char *name, const char *path) {
    if (strcmp(name, call) || !strstr(path, part) || atomic_fetch_add(&seen, 1) + 1 != number) return 0;
    if (!strcmp(action, "kill")) return 2;
    errno = atoi(action);
    return 1;
}

static int failsOn(const char *name, int descriptor) {
    if (strcmp(name, call)) return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(name, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int descriptor, const void *bytes, size_t count) {
    int fault = failsOn("write", descriptor);
    if (fault == 2) {
        REAL(write)(descriptor, bytes, count / 2);
        kill(getpid(), SIGKILL);
    }
    return fault ? -1 : REAL(write)(descriptor, bytes, count);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
    int fault = failsOn("write", descriptor);
    if (fault == 2) kill(getpid(), SIGKILL);
    return fault ? -1 : REAL(pwrite)(descriptor, bytes, count, offset);
}

ssize_t pread(int descriptor, void *bytes, size_t count, off_t offset) {
    int fault = count == 8 && offset == 0 ? failsOn("header", descriptor) : 0;
    if (fault == 2) kill(getpid(), SIGKILL);
    return fault ? -1 : REAL(pread)(descriptor, bytes, count, offset);
}

void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
    if (flags & MAP_ANONYMOUS && !strcmp(call, "memory") && atomic_fetch_add(&seen, 1) + 1 >= number) {
        errno = atoi(action);
        return MAP_FAILED;
    }
    return REAL(mmap)(address, length, protection, flags, descriptor, offset);
}

int fsync(int descriptor) {
    int fault = failsOn("fsync", descriptor);
    if (fault == 2) kill(getpid(), SIGKILL);
    return fault ? -1 : REAL(fsync)(descriptor);
}

int rename(const char *from, const char *to) {
    int fault = fails("rename", to);
    if (fault == 2) kill(getpid(), SIGKILL);
    return fault ? -1 : REAL(rename)(from, to);
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, int) : 0;
    va_end(arguments);
    int fault = flags & (O_WRONLY | O_RDWR) ? fails("open", path) : 0;
    if (fault == 2) kill(getpid(), SIGKILL);
    return fault ? -1 : REAL(open)(path, flags, mode);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off64_t offset) { return pwrite(descriptor, bytes, count, offset); }

ssize_t pread64(int descriptor, void *bytes, size_t count, off64_t offset) { return pread(descriptor, bytes, count, offset); }

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return open(path, flags, mode);
}
