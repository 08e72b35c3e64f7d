// Compile a function for several instruction sets: the loader picks the best clone for the machine.
// Compilers other than g++ 12 and later generate code for their baseline only.
#pragma once

#if defined(__x86_64__) && defined(__gnu_linux__) && __GNUC__ >= 12 && !defined(SSLMOT_ONE_CLONE)
#define SSLMOT_SIMD_CLONES \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SSLMOT_SIMD_CLONES
#endif
