// Feeds the solver with a batch of problems, each with its own beams: P1.
// Included once per instruction set, after solver.h, inside that set's namespace.

// Load a frame's data, without its beams, into a lane.
template <class Solver, class Scalar>
void load_frame(Solver& solver, const Frame<Scalar>& in, const Sizes& sizes, int lane, long q) {
  const int n = solver.n();
  const auto load = [&](Real* to, const Scalar* from) INLINE_LAMBDA {
    for (int i = 0; i < n; ++i) to[i][lane] = from[q * n + i];
  };
  load(solver.active_rate, in.active_rate);
  load(solver.snr, in.snr);
  load(solver.workload, in.workload);
  load(solver.local_limit, in.local_limit);
  load(solver.battery, in.battery);
  load(solver.capacity, in.capacity);
  load(solver.circuit, in.circuit);
  load(solver.local_energy, in.local_energy);
  load(solver.cost_active, in.cost_active);
  load(solver.cost_passive, in.cost_passive);
  load(solver.gain_local, in.gain_local);
  for (int i = 0; i < n; ++i)
    solver.cost_shortfall[i][lane] = sizes.shortfalls ? static_cast<double>(in.cost_shortfall[q * n + i]) : 0.0;
  if (sizes.parts == 0) return;
  load(solver.unit_worth, in.plane_unit);
  load(solver.part_size, in.plane_size);
  // The planes meet where one part of the battery ends and the next begins.
  const Scalar* slopes = in.plane_slope + q * n * sizes.parts;
  for (int i = 0; i < n; ++i) {
    const double size = in.plane_size[q * n + i];
    double worth = 1.0;
    for (int s = 0; s < sizes.parts; ++s) {
      const int a = i * sizes.parts + s;
      const double slope = slopes[a];
      solver.slope[a][lane] = slope;
      solver.plane[a][lane] = worth - slope * (s * size);
      worth += slope * size;
    }
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
    const int n = solver_.n(), m = solver_.m();
    for (int a = 0; a < m; ++a) solver_.passive_rate[a][lane] = in_.passive_rate[q * m + a];
    for (int j = 0; j < n; ++j)
      for (int a = 0; a < m; ++a) solver_.harvest[a * n + j][lane] = in_.harvest[(q * n + j) * m + a];
  }

  // Call visit(destination, source, count) for each result array.
  template <class Visit>
  INLINE void outputs(Visit visit) const {
    const int n = solver_.n(), m = solver_.m();
    const auto& x = solver_.at.x;
    const auto& y = solver_.at.y;
    visit(out_.t_active, x.t_active, n);
    visit(out_.t_passive, x.t_passive, m);
    visit(out_.energy, x.energy, n);
    visit(out_.l_local, x.l_local, n);
    visit(out_.shortfall, x.shortfall, n);
    visit(out_.time, y.time, n);
    visit(out_.work, y.work, n);
    visit(out_.local, y.local, n);
    visit(out_.budget, y.budget, n);
    visit(out_.capacity, y.capacity, n);
    if (sizes_.parts == 0) return;
    visit(out_.kept, x.kept, n);
    visit(out_.worth, x.worth, n);
  }

  void store(int lane, long q) {
    // Scale by the largest entry, so that a ray, which has no natural scale, fits any precision.
    double largest = solver_.at.tau[lane];
    outputs([&](Scalar*, const Real* from, int count) INLINE_LAMBDA {
      for (int i = 0; i < count; ++i) largest = std::max(largest, from[i][lane]);
    });
    const double scale = 1.0 / largest;
    outputs([&](Scalar* to, const Real* from, int count) INLINE_LAMBDA {
      for (int i = 0; i < count; ++i) to[q * count + i] = static_cast<Scalar>(from[i][lane] * scale);
    });
    out_.tau[q] = static_cast<Scalar>(solver_.at.tau[lane] * scale);
    out_.iterations[q] = solver_.iterations_[lane];
  }

  // The result of a skipped frame.
  void clear(long q) {
    outputs([&](Scalar* to, const Real*, int count) INLINE_LAMBDA { std::fill_n(to + q * count, count, Scalar(0)); });
    out_.tau[q] = Scalar(1);
    out_.iterations[q] = 0;
  }

  Solver& solver_;
  const Problems<Scalar>& in_;
  const Results<Scalar>& out_;
  const Sizes& sizes_;
  long next_ = 0, frame_[LANES];
};
