// Choose the solver compiled for the number of users and beams, where there is one, or with room for them.
// Included once per instruction set, last, inside that set's namespace.

template <class Scalar>
static void solve(const Problems<Scalar>& in, const Results<Scalar>& out, const Sizes& sizes) {
  const auto with = [&](auto&& solver) {
    AllocationFeed feed(solver, in, out, sizes);
    solver.run(feed);
  };
  if (sizes.users == 3 && sizes.beams == 1) {
    with(Solver<3, 1>(sizes));
  } else if (sizes.beams == 1 && sizes.users <= 16) {
    with(Solver<0, 1, 16>(sizes));
  } else if (sizes.beams == 1) {
    with(Solver<0, 1>(sizes));
  } else {
    with(Solver<0, 0>(sizes));
  }
}

template <class Scalar>
static void solve(const BeamProblems<Scalar>& in, const BeamResults<Scalar>& out, const Sizes& sizes) {
  const auto with = [&](auto&& solver) {
    BeamFeed feed(solver, in, out, sizes);
    solver.run(feed);
  };
  if (sizes.users == 3 && sizes.beams == 4) {
    with(Solver<3, 4>(sizes));
  } else if (sizes.beams == 4 && sizes.users <= 8) {
    with(Solver<0, 4, 8>(sizes));
  } else {
    with(Solver<0, 0>(sizes));
  }
}
