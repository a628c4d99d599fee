// A limit of the address space (ulimit -v), looked at before any library can run into it.
//
// OpenBLAS asks for its buffers as it is loaded, in a loop that never ends where the system refuses; MPI, the Swift runtime and C++ end the process in ways
// of their own. So the room that they need is asked for before their constructors run, and what still fails for want of room is said in words.
#define _GNU_SOURCE
#include "AddressSpace.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

// Sanitizers are not ready yet when this runs.
#define BEFORE_LIBRARIES __attribute__((disable_sanitizer_instrumentation))

enum {
    MIB = 1 << 20,
    /// EX_OSERR of sysexits.h.
    SYSTEM_REFUSED = 71,
    /// OpenBLAS reserves this much for each thread as it is loaded, and once more for each that calls it.
    BLAS_MIB = 128,
    /// MPI, the runtimes and the C library's heaps, measured at 250 MiB with one thread.
    LIBRARIES_MIB = 300,
    /// What MPI maps of each rank on the node.
    RANK_MIB = 24,
};

BEFORE_LIBRARIES size_t cleave_address_space_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return PTRDIFF_MAX;
    return limit.rlim_cur;
}

// Calls nothing that takes memory, so that a signal's handler may call it.
BEFORE_LIBRARIES size_t cleave_address_space_used(void) {
    char text[32] = {0};
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    size_t pages = 0;
    for (ssize_t i = 0; i < count && text[i] >= '0' && text[i] <= '9'; i++) pages = 10 * pages + (size_t)(text[i] - '0');
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/// The value of a variable that holds a number above 0; 0 otherwise.
BEFORE_LIBRARIES static long number_in(char **environment, const char *name) {
    size_t length = strlen(name);
    for (char **entry = environment; entry && *entry; entry++) {
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=') {
            long value = 0;
            for (const char *digit = *entry + length + 1; *digit >= '0' && *digit <= '9' && value < 1 << 20; digit++) value = 10 * value + (*digit - '0');
            return value;
        }
    }
    return 0;
}

/// The threads for which OpenBLAS makes buffers: those of OpenMP.
BEFORE_LIBRARIES static size_t blas_threads(char **environment) {
    cpu_set_t cores;
    long available = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
    long asked = number_in(environment, "OMP_NUM_THREADS");
    return (size_t)(asked > 0 ? asked : available > 0 ? available : 1);
}

BEFORE_LIBRARIES static void append(char *text, size_t size, const char *more) { strncat(text, more, size - strlen(text) - 1); }

BEFORE_LIBRARIES static void append_number(char *text, size_t size, size_t number) {
    char digits[24];
    char *digit = digits + sizeof digits;
    *--digit = 0;
    do *--digit = (char)('0' + number % 10);
    while (number /= 10);
    append(text, size, digit);
}

BEFORE_LIBRARIES static void say(const char *text) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0) return;  // nobody listens
}

static size_t limit_mib;
static void (*tell_crash)(const unsigned char *text, size_t count, int code);

void cleave_address_space_on_crash(void (*tell)(const unsigned char *text, size_t count, int code)) { tell_crash = tell; }

/// Whether a crash is what a library makes of memory that it was refused: most of what may be mapped is mapped.
static void explain_crash(int signal_number) {
    if (cleave_address_space_used() / MIB < limit_mib / 2) {
        // Something else: what the signal does by itself.
        static const char crash[] = "the process crashed: an error of Cleave or of a library; please report it";
        if (tell_crash) tell_crash((const unsigned char *)crash, sizeof crash - 1, 128 + signal_number);
        signal(signal_number, SIG_DFL);
        return;
    }
    char text[256] = "a library was refused memory: the address space of a process is limited to ";
    append_number(text, sizeof text, limit_mib);
    append(text, sizeof text, " MiB (ulimit -v); raise the limit, or take fewer threads or more ranks");
    say("\ncleave: ");
    say(text);
    say("\n");
    if (tell_crash) tell_crash((const unsigned char *)text, strlen(text), SYSTEM_REFUSED);
    _exit(SYSTEM_REFUSED);
}

BEFORE_LIBRARIES static void check_limit(int count, char **arguments, char **environment) {
    (void)count, (void)arguments;
    size_t limit = cleave_address_space_limit();
    if (limit == PTRDIFF_MAX) return;
    limit_mib = limit / MIB;
    size_t threads = blas_threads(environment), ranks = (size_t)number_in(environment, "OMPI_COMM_WORLD_LOCAL_SIZE");
    size_t needed = cleave_address_space_used() / MIB + threads * 2 * BLAS_MIB + LIBRARIES_MIB + ranks * RANK_MIB;
    if (limit_mib < needed) {
        // Ranks that share a limit would all say the same; where the first one has room it goes on, and this one is heard.
        static const char *const ranks[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"};
        for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
            if (number_in(environment, ranks[i]) == 0) continue;
            sleep(2);
            break;
        }
        char text[512] = "cleave: the address space of a process is limited to ";
        append_number(text, sizeof text, limit_mib);
        append(text, sizeof text, " MiB (ulimit -v), and with ");
        append_number(text, sizeof text, threads);
        append(text, sizeof text, threads == 1 ? " thread" : " threads");
        append(text, sizeof text, " the libraries alone need ");
        append_number(text, sizeof text, needed);
        append(text, sizeof text, " MiB; raise the limit, or take fewer threads (OMP_NUM_THREADS)\n");
        say(text);
        _exit(SYSTEM_REFUSED);
    }
    struct sigaction action = {.sa_handler = explain_crash};
    sigemptyset(&action.sa_mask);
    static const int signals[] = {SIGSEGV, SIGILL, SIGTRAP, SIGABRT};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, NULL);
}

// The loader calls these before the constructors of the libraries.
__attribute__((section(".preinit_array"), used)) static void (*const before_libraries)(int, char **, char **) = check_limit;
