// The solvers for any processor.

#include "problems.h"

namespace baseline {
constexpr int LANES = 2;
#include "lanes.h"
#include "solver.h"
#include "pricing.h"
#include "allocate.h"
#include "beam_search.h"
#include "dispatch.h"
}  // namespace baseline
