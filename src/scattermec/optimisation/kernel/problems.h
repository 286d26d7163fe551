// What every instruction set's solver is given: sizes, constants and the arrays of a call.

#pragma once

#include <algorithm>
#include <array>
#include <complex>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <iterator>
#include <numeric>

#define INLINE inline __attribute__((always_inline))
#define INLINE_LAMBDA __attribute__((always_inline))

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define HAS_WIDE_REGISTERS 1
#endif

struct Sizes {
  long frames;
  int users, beams, antennas, parts, shortfalls;  // parts of a battery, 0 without battery values
  int valued() const { return parts ? users : 0; }
};

// Constants and the arrays of a call, generated from shared.py.
#include "shared.h"
#include "beams.h"

// The solvers of an instruction set, each compiled in a file of its own.
#define DECLARE_SOLVERS(set)                                                                  \
  namespace set {                                                                             \
  void solve(const Problems<double>&, const Results<double>&, const Sizes&);                  \
  void solve(const Problems<float>&, const Results<float>&, const Sizes&);                    \
  void solve(const BeamProblems<double>&, const BeamResults<double>&, const Sizes&);          \
  void solve(const BeamProblems<float>&, const BeamResults<float>&, const Sizes&);            \
  }
DECLARE_SOLVERS(baseline)
#ifdef HAS_WIDE_REGISTERS
DECLARE_SOLVERS(avx2)
DECLARE_SOLVERS(avx512)
#endif
