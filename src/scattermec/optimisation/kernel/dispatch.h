// Choose the solver compiled for the number of users and beams, where there is one.
template <class Scalar>
static void solve(const Problems<Scalar>& in, const Results<Scalar>& out, const Sizes& sizes) {
  if (sizes.users == 3 && sizes.beams == 1) {
    Solver<3, 1>(sizes).run(in, out, sizes.frames);
  } else {
    Solver<0, 0>(sizes).run(in, out, sizes.frames);
  }
}
