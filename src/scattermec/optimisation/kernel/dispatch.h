// Choose the solver compiled for the number of users and beams, if there is one, or one with room for them.
// Old processors only get the general one, since each takes a while to compile.
// Included once per instruction set, last, inside that set's namespace.

template <class Scalar>
static void solve_as(const Problems<Scalar>& in, const Results<Scalar>& out, const Sizes& sizes) {
  const auto with = [&](auto&& solver) {
    AllocationFeed feed(solver, in, out, sizes);
    solver.run(feed);
  };
  if constexpr (LANES > 2) {
    if (sizes.users == 3 && sizes.beams == 1) return with(Solver<3, 1>(sizes));
    if (sizes.users <= 16 && sizes.beams == 1) return with(Solver<0, 1, 16>(sizes));
  }
  with(Solver<0, 0>(sizes));
}

template <class Scalar>
static void solve_as(const BeamProblems<Scalar>& in, const BeamResults<Scalar>& out, const Sizes& sizes) {
  const auto with = [&](auto&& solver) {
    BeamFeed feed(solver, in, out, sizes);
    solver.run(feed);
  };
  if constexpr (LANES > 2) {
    if (sizes.users == 3 && sizes.beams == 4) return with(Solver<3, 4>(sizes));
    if (sizes.users <= 8 && sizes.beams <= 8) return with(*std::make_unique<Solver<0, 0, 8, 8>>(sizes));
  }
  with(Solver<0, 0>(sizes));
}

void solve(const Problems<double>& in, const Results<double>& out, const Sizes& sizes) { solve_as(in, out, sizes); }
void solve(const Problems<float>& in, const Results<float>& out, const Sizes& sizes) { solve_as(in, out, sizes); }
void solve(const BeamProblems<double>& in, const BeamResults<double>& out, const Sizes& sizes) { solve_as(in, out, sizes); }
void solve(const BeamProblems<float>& in, const BeamResults<float>& out, const Sizes& sizes) { solve_as(in, out, sizes); }
