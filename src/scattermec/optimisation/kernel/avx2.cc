// The solvers for AVX2.

#include "problems.h"

#ifdef HAS_WIDE_REGISTERS
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
constexpr int LANES = 4;
#include "lanes.h"
#include "solver.h"
#include "pricing.h"
#include "allocate.h"
#include "beam_search.h"
#include "dispatch.h"
}  // namespace avx2
#pragma GCC pop_options
#endif
