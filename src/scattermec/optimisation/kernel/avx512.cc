// The solvers for AVX-512.

#include "problems.h"

#ifdef HAS_WIDE_REGISTERS
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
namespace avx512 {
constexpr int LANES = 8;
#include "lanes.h"
#include "solver.h"
#include "pricing.h"
#include "allocate.h"
#include "beam_search.h"
#include "dispatch.h"
}  // namespace avx512
#pragma GCC pop_options
#endif
