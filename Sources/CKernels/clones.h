// One binary for every x86-64 node: the loader picks the clone that the CPU can run.
#pragma once

#if defined(__x86_64__) && defined(__linux__)
#define CLEAVE_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CLEAVE_CLONES
#endif
