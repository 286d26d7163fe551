// Feeds the solver with a batch of problems, each with its own beams: P1.
// Included once per instruction set, after solver.h, inside that set's namespace.

// Load a frame's data, without its beams, into a lane.
template <class Solver, class Scalar>
void load_frame(Solver& solver, const Frame<Scalar>& in, const Sizes& sizes, int lane, long q) {
  const int n = sizes.users;
  const struct { Real* to; const Scalar* from; } arrays[] = {
      {solver.active_rate, in.active_rate}, {solver.snr, in.snr}, {solver.workload, in.workload},
      {solver.local_limit, in.local_limit}, {solver.battery, in.battery}, {solver.capacity, in.capacity},
      {solver.circuit, in.circuit}, {solver.local_energy, in.local_energy},
      {solver.cost_active, in.cost_active}, {solver.cost_passive, in.cost_passive},
      {solver.gain_local, in.gain_local}};
  for (const auto& array : arrays)
    for (int i = 0; i < n; ++i) array.to[i][lane] = array.from[q * n + i];
  for (int i = 0; i < n; ++i)
    solver.cost_shortfall[i][lane] = sizes.shortfalls ? static_cast<double>(in.cost_shortfall[q * n + i]) : 0.0;
  const long stores = static_cast<long>(n) * sizes.parts;
  for (long s = 0; s < stores; ++s) {
    solver.gain_stored[s][lane] = in.gain_stored[q * stores + s];
    solver.part_size[s][lane] = in.part_size[q * stores + s];
  }
}

template <class Solver, class Scalar>
class AllocationFeed {
 public:
  AllocationFeed(Solver& solver, const Problems<Scalar>& in, const Results<Scalar>& out, const Sizes& sizes)
      : solver_(solver), in_(in), out_(out), sizes_(sizes) {}

  bool next(int lane) {
    for (; next_ < sizes_.frames; ++next_) {
      if (in_.skip[next_]) {
        clear(next_);
        continue;
      }
      load_frame(solver_, in_, sizes_, lane, next_);
      load_beams(lane, next_);
      frame_[lane] = next_++;
      return true;
    }
    return false;
  }

  bool done(int lane) {
    store(lane, frame_[lane]);
    return next(lane);
  }

 private:
  void load_beams(int lane, long q) {
    const int n = sizes_.users, m = n * sizes_.beams;
    for (int a = 0; a < m; ++a) solver_.passive_rate[a][lane] = in_.passive_rate[q * m + a];
    for (int j = 0; j < n; ++j)
      for (int a = 0; a < m; ++a) solver_.harvest[a * n + j][lane] = in_.harvest[(q * n + j) * m + a];
  }

  // Destination and source of each result array.
  struct Output { Scalar* to; const Real* from; int count; };
  std::array<Output, 12> outputs() const {
    const int n = sizes_.users, m = n * sizes_.beams, s = n * sizes_.parts;
    const auto& x = solver_.at.x;
    const auto& y = solver_.at.y;
    return {{{out_.t_active, x.t_active, n}, {out_.t_passive, x.t_passive, m}, {out_.energy, x.energy, n},
             {out_.l_local, x.l_local, n}, {out_.shortfall, x.shortfall, n}, {out_.time, y.time, n},
             {out_.work, y.work, n}, {out_.local, y.local, n}, {out_.budget, y.budget, n},
             {out_.capacity, y.capacity, n}, {out_.stored, x.stored, s}, {out_.price_stored, y.stored, s}}};
  }

  void store(int lane, long q) {
    // Scale by the largest entry, so that a ray, which has no natural scale, fits any precision.
    double scale = solver_.at.tau[lane];
    for (const Output& array : outputs())
      for (int i = 0; i < array.count; ++i) scale = std::max(scale, array.from[i][lane]);
    for (const Output& array : outputs())
      for (int i = 0; i < array.count; ++i)
        array.to[q * array.count + i] = static_cast<Scalar>(array.from[i][lane] / scale);
    out_.tau[q] = static_cast<Scalar>(solver_.at.tau[lane] / scale);
    out_.iterations[q] = solver_.iterations_[lane];
  }

  // The result of a skipped frame.
  void clear(long q) {
    for (const Output& array : outputs()) std::fill_n(array.to + q * array.count, array.count, Scalar(0));
    out_.tau[q] = Scalar(1);
    out_.iterations[q] = 0;
  }

  Solver& solver_;
  const Problems<Scalar>& in_;
  const Results<Scalar>& out_;
  const Sizes& sizes_;
  long next_ = 0, frame_[LANES];
};
