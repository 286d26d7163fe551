// Feeds the solver with the problems of a column generation for the best beams: P2; see beamforming.py.
// Included once per instruction set, after pricing.h and allocate.h, inside that set's namespace.

template <class Solver, class Scalar>
class BeamFeed {
 public:
  BeamFeed(Solver& solver, const BeamProblems<Scalar>& in, const BeamResults<Scalar>& out, const Sizes& sizes)
      : solver_(solver), in_(in), out_(out), sizes_(sizes), slots_(sizes.antennas) {
    const int n = sizes.users;
    solver.similar_ = true;
    for (Lane& lane : lanes_) {
      lane.channels.resize(n * sizes.antennas);
      lane.beams.resize(n * sizes.beams * sizes.antennas);
      lane.priced.resize(n * sizes.antennas);
      lane.kept.resize(n * sizes.antennas);
      lane.columns.resize(lane.beams.size());
      lane.shares.resize(n * sizes.beams);
      lane.prices.resize(3 * n);
      lane.worth.resize(n);
    }
  }

  bool next(int index) {
    for (; next_ < sizes_.frames; ++next_) {
      if (in_.skip[next_]) {
        clear(next_);
        continue;
      }
      Lane& lane = lanes_[index];
      lane.frame = next_++;
      lane.rounds = 0;
      lane.energy = lane.value = INFINITY;
      lane.bound = -INFINITY;
      // Without prices, and with slots that are worth nothing, the bound holds for any frame.
      std::fill(lane.prices.begin(), lane.prices.end(), 0.0);
      std::fill(lane.worth.begin(), lane.worth.end(), 0.0);
      load_frame(solver_, in_, sizes_, index, lane.frame);
      for (std::size_t a = 0; a < lane.channels.size(); ++a)
        lane.channels[a] = Complex(in_.channels[lane.frame * lane.channels.size() + a]);
      for (std::size_t a = 0; a < lane.beams.size(); ++a)
        lane.beams[a] = Complex(in_.beams[lane.frame * lane.beams.size() + a]);
      for (int i = 0; i < sizes_.users; ++i)
        for (int k = 0; k < sizes_.beams; ++k) offer(index, i, k);
      solver_.gap_limit[index] = FIRST_GAP;
      solver_.resume_[index] = false;
      return true;
    }
    return false;
  }

  // Price the beams with the solution of P1, and replace the least used ones by the best.
  bool done(int index) {
    Lane& lane = lanes_[index];
    const int n = sizes_.users, size = sizes_.antennas;
    const long q = lane.frame;
    ++lane.rounds;
    const bool solved = solver_.accuracy_[index] <= 1.0;
    const bool blocked = !solved && solver_.margin_[index] > PROOF;
    const double tau = blocked ? 1.0 : solver_.at.tau[index];
    price_beams(index, tau);
    double dual = 0, free = 0, value = 0;
    for (int i = 0; i < n; ++i) add_to_bound(index, i, tau, dual, free, value);
    const double constant = in_.constant[q];
    if (blocked) {
      if (value > 0 && free / value > PROOF) return finish(index, true);
    } else {
      if (dual > lane.bound) {
        lane.bound = dual;
        keep_prices(index, tau);
      }
      if (solved) {
        double cost = 0;
        for (int i = 0; i < n; ++i) {
          cost += at(solver_.cost_active, i, index) * at(solver_.at.x.t_active, i, index) -
                  at(solver_.gain_local, i, index) * at(solver_.at.x.l_local, i, index);
          for (int k = 0; k < sizes_.beams; ++k)
            cost += at(solver_.cost_passive, i, index) * time(index, i, k);
        }
        double worth = 0;
        for (int i = 0; i < n && sizes_.parts; ++i)
          worth += at(solver_.unit_worth, i, index) * (at(solver_.at.x.worth, i, index) - tau);
        const double energy = cost / tau + constant, value = energy - worth / tau;
        if (value < lane.value) {
          lane.energy = energy;
          lane.value = value;
          keep_beams(index, tau);
        }
      }
      const double scale = std::max(lane.energy, static_cast<double>(in_.small[q]));
      const double gap = (lane.value - (lane.bound + constant)) / scale;
      if (gap <= BEAM_GAP_PER_GAP * GAP) return finish(index, false);
      // The next problem need only be solved accurately enough to rank beams.
      const double relative = gap * scale / (std::abs(lane.energy - constant + solver_.offloading()[index]) + LEAST_COST);
      if (solved) solver_.gap_limit[index] = std::max(GAP, std::min(FIRST_GAP, GAP_SHARE * relative));
    }
    if (lane.rounds >= MAX_ROUNDS) return finish(index, false);
    // A long search keeps losing beams that it needs; their merged beam stands in for them.
    const bool merge = lane.rounds % MERGE_ROUNDS == 0 && lane.energy < INFINITY;
    if (merge) make_single(index);
    for (int i = 0; i < n; ++i) {
      const int least = least_used(index, i, -1);
      if (merge) {
        const int next = least_used(index, i, least);
        std::copy_n(&lane.kept[i * size], size, beam(lane, i, next));
        offer(index, i, next);
      }
      std::copy_n(&lane.priced[i * size], size, beam(lane, i, least));
      offer(index, i, least);
    }
    solver_.resume_[index] = solved;
    return true;
  }

 private:
  static constexpr double FIRST_GAP = 1e-2, GAP_SHARE = 0.1;

  // The search for one frame.
  struct Lane {
    long frame;
    int rounds;
    double energy, value, bound;  // scaled; value: energy less battery value; bound: without the constant
    std::vector<Complex> channels, beams, priced, kept;
    std::vector<Complex> columns;  // the beams of the best value so far
    std::vector<double> shares;    // their shares of the slots' times; merged into `kept`
    std::vector<double> prices, worth;  // of the best bound: work, budget and capacity, and the beams' values
  };

  static double at(const Real* values, int i, int lane) { return values[i][lane]; }
  double time(int lane, int i, int k) const { return at(solver_.at.x.t_passive, i * sizes_.beams + k, lane); }
  Complex* beam(Lane& lane, int i, int k) const { return &lane.beams[(i * sizes_.beams + k) * sizes_.antennas]; }

  // Call visit(slot, lane of `slots_`) for the slots from `first` on that fit into a vector.
  template <class Visit>
  INLINE void slots_from(int first, Visit visit) const {
    for (int i = first; i < std::min(first + LANES, sizes_.users); ++i) visit(i, i - first);
  }

  // Find the best beam of each slot at the solver's prices, and its value.
  void price_beams(int index, double tau) {
    Lane& lane = lanes_[index];
    const int n = sizes_.users, size = sizes_.antennas;
    const long q = lane.frame;
    const double inverse_tau = 1.0 / tau;
    for (int first = 0; first < n; first += LANES) {
      std::fill_n(slots_.matrix, size * size, Complexes{});
      for (int j = 0; j < n; ++j) {
        Real worth{};
        slots_from(first, [&](int i, int slot) INLINE_LAMBDA { worth[slot] = in_.harvest_weight[(q * n + j) * n + i]; });
        worth *= budget_price(index, j) * inverse_tau;
        const Complex* h = &lane.channels[j * size];
        for (int a = 0; a < size; ++a)
          for (int b = 0; b < size; ++b) {
            const Complex product = h[a] * std::conj(h[b]);
            slots_.matrix[a * size + b].re += worth * product.real();
            slots_.matrix[a * size + b].im += worth * product.imag();
          }
      }
      Real c{}, snr{};
      slots_from(first, [&](int i, int slot) INLINE_LAMBDA {
        c[slot] = at(solver_.at.y.work, i, index) * inverse_tau * in_.reflected_work[q * n + i];
        snr[slot] = in_.reflected_snr[q * n + i];
        for (int a = 0; a < size; ++a) {
          slots_.channel[a].re[slot] = lane.channels[i * size + a].real();
          slots_.channel[a].im[slot] = lane.channels[i * size + a].imag();
        }
      });
      const Real value = slots_.best(c, snr);
      slots_from(first, [&](int i, int slot) INLINE_LAMBDA {
        worth_[i] = value[slot];
        take_beam(slot, &lane.priced[i * size]);
      });
    }
  }

  void take_beam(int slot, Complex* to) const {
    for (int a = 0; a < sizes_.antennas; ++a) to[a] = Complex(slots_.beam[a].re[slot], slots_.beam[a].im[slot]);
  }

  // The beam of slot i with the least time, excluding `other`.
  int least_used(int index, int i, int other) const {
    int least = other == 0 ? 1 : 0;
    for (int k = 0; k < sizes_.beams; ++k)
      if (k != other && time(index, i, k) < time(index, i, least)) least = k;
    return least;
  }

  // Pass beam k of slot i to the solver.
  void offer(int index, int i, int k) {
    Lane& lane = lanes_[index];
    const int n = sizes_.users, size = sizes_.antennas, a = i * sizes_.beams + k;
    const long q = lane.frame;
    const Complex* w = beam(lane, i, k);
    solver_.renew(a, index);
    for (int j = 0; j < n; ++j) {
      const double gain = beam_gain(size, &lane.channels[j * size], w);
      solver_.harvest[a * n + j][index] = gain * in_.harvest_weight[(q * n + j) * n + i];
      if (j == i)
        solver_.passive_rate[a][index] =
            in_.reflected_work[q * n + i] * std::log1p(gain * in_.reflected_snr[q * n + i]);
    }
  }

  // The capacity of a battery that cannot be filled has no price: the solver's price of it is added to the
  // budget's.
  double budget_price(int index, int i) const {
    const double budget = at(solver_.at.y.budget, i, index);
    return fills(index, i) ? budget : budget + at(solver_.at.y.capacity, i, index);
  }
  double capacity_price(int index, int i) const { return fills(index, i) ? at(solver_.at.y.capacity, i, index) : 0.0; }
  bool fills(int index, int i) const { return in_.fills[lanes_[index].frame * sizes_.users + i]; }

  // Add user i's part of the dual function with costs, of that without, and of the priced work.
  void add_to_bound(int index, int i, double tau, double& dual, double& free, double& value) const {
    const auto given = [&](const Real* values) { return at(values, i, index); };
    const double work = given(solver_.at.y.work) / tau, budget = budget_price(index, i) / tau,
                 capacity = capacity_price(index, i) / tau, price = budget + capacity;
    const double c = work * given(solver_.active_rate);
    const double power = std::max(c / price - 1 / given(solver_.snr), 0.0);
    const double active = c * std::log1p(given(solver_.snr) * power) - price * (power + given(solver_.circuit));
    const double local = work - price * given(solver_.local_energy);
    const double constant = work * given(solver_.workload) - budget * given(solver_.battery) -
                            capacity * given(solver_.capacity);
    for (int s = i * sizes_.parts; s < (i + 1) * sizes_.parts; ++s)
      dual -= std::max(given(solver_.unit_worth) * at(solver_.slope, s, index) - price, 0.0) * given(solver_.part_size);
    const double limit = given(solver_.local_limit);
    dual += constant - std::max(local + given(solver_.gain_local), 0.0) * limit -
            std::max({active - given(solver_.cost_active), worth_[i] - given(solver_.cost_passive), 0.0});
    free += constant - std::max(local, 0.0) * limit - std::max({active, worth_[i], 0.0});
    value += work * given(solver_.workload);
  }

  void keep_prices(int index, double tau) {
    Lane& lane = lanes_[index];
    const int n = sizes_.users;
    for (int i = 0; i < n; ++i) {
      lane.prices[i] = at(solver_.at.y.work, i, index) / tau;
      lane.prices[n + i] = budget_price(index, i) / tau;
      lane.prices[2 * n + i] = capacity_price(index, i) / tau;
    }
    std::copy_n(worth_.begin(), sizes_.users, lane.worth.begin());
  }

  // Keep the current beams and their shares of the slots' times: 0 for all beams of an unused slot.
  void keep_beams(int index, double tau) {
    Lane& lane = lanes_[index];
    std::copy(lane.priced.begin(), lane.priced.end(), lane.kept.begin());
    std::copy(lane.beams.begin(), lane.beams.end(), lane.columns.begin());
    for (int i = 0; i < sizes_.users; ++i) {
      double total = 0;
      for (int k = 0; k < sizes_.beams; ++k) total += time(index, i, k);
      for (int k = 0; k < sizes_.beams; ++k)
        lane.shares[i * sizes_.beams + k] = total > 1e-9 * tau ? time(index, i, k) / total : 0;
    }
  }

  // Whether slot i has any time in the best solution so far.
  bool is_used(const Lane& lane, int i) const {
    const auto shares = lane.shares.begin() + i * sizes_.beams;
    return std::accumulate(shares, shares + sizes_.beams, 0.0) > 0;
  }

  // One beam per slot: the principal eigenvector of its beams, or a better one if that has lower gains than
  // these. An unused slot keeps the best beam at the prices.
  void make_single(int index) {
    Lane& lane = lanes_[index];
    const int n = sizes_.users, size = sizes_.antennas, k = sizes_.beams;
    for (int first = 0; first < n; first += LANES) {
      std::fill_n(slots_.matrix, size * size, Complexes{});
      slots_from(first, [&](int i, int slot) {
        for (int c = i * k; c < (i + 1) * k; ++c)
          for (int a = 0; a < size; ++a)
            for (int b = 0; b < size; ++b) {
              const Complex part = lane.shares[c] * lane.columns[c * size + a] * std::conj(lane.columns[c * size + b]);
              slots_.matrix[a * size + b].re[slot] += part.real();
              slots_.matrix[a * size + b].im[slot] += part.imag();
            }
      });
      slots_.principal();
      slots_from(first, [&](int i, int slot) {
        if (is_used(lane, i)) take_beam(slot, &lane.kept[i * size]);
      });
    }
    for (int i = 0; i < n; ++i) {
      if (!is_used(lane, i)) continue;
      const double* shares = &lane.shares[i * k];
      const Complex* columns = &lane.columns[i * k * size];
      double most = 0;
      for (int j = 0; j < n; ++j) {
        double gain = 0;
        for (int c = 0; c < k; ++c) gain += shares[c] * beam_gain(size, &lane.channels[j * size], &columns[c * size]);
        wanted_[j] = gain;
        // The value of the gain: users for whom it has none may lose it.
        worth_[j] = gain * (j == i ? lane.prices[i] * in_.reflected_snr[lane.frame * n + i]
                                   : lane.prices[n + j] * in_.harvest_weight[(lane.frame * n + j) * n + i]);
        most = std::max(most, worth_[j]);
      }
      for (int j = 0; j < n; ++j)
        if (!(worth_[j] > 1e-9 * most)) wanted_[j] = 0;
      single_beam(n, size, k, lane.channels.data(), wanted_.data(), shares, columns, &lane.kept[i * size]);
    }
  }

  bool finish(int index, bool infeasible) {
    Lane& lane = lanes_[index];
    const int n = sizes_.users, size = sizes_.antennas;
    const long q = lane.frame;
    if (infeasible) {
      keep_prices(index, 1.0);
    } else if (lane.energy < INFINITY) {
      make_single(index);
    }
    const std::vector<Complex>& chosen = lane.energy < INFINITY ? lane.kept : lane.priced;
    for (int a = 0; a < n * size; ++a) out_.beams[q * n * size + a] = std::complex<Scalar>(chosen[a]);
    for (int i = 0; i < n; ++i) {
      out_.work[q * n + i] = static_cast<Scalar>(lane.prices[i]);
      out_.budget[q * n + i] = static_cast<Scalar>(lane.prices[n + i]);
      out_.capacity[q * n + i] = static_cast<Scalar>(lane.prices[2 * n + i]);
      out_.worth[q * n + i] = static_cast<Scalar>(lane.worth[i]);
    }
    out_.shared_energy[q] = static_cast<Scalar>(lane.energy);
    out_.infeasible[q] = infeasible;
    out_.rounds[q] = lane.rounds;
    return next(index);
  }

  void clear(long q) {
    const int n = sizes_.users;
    std::fill_n(out_.beams + q * n * sizes_.antennas, n * sizes_.antennas, std::complex<Scalar>(0));
    for (Scalar* values : {out_.work, out_.budget, out_.capacity, out_.worth}) std::fill_n(values + q * n, n, Scalar(0));
    out_.shared_energy[q] = 0;
    out_.infeasible[q] = false;
    out_.rounds[q] = 0;
  }

  Solver& solver_;
  const BeamProblems<Scalar>& in_;
  const BeamResults<Scalar>& out_;
  const Sizes& sizes_;
  SlotBeams slots_;
  Lane lanes_[LANES];
  std::vector<double> worth_ = std::vector<double>(sizes_.users), wanted_ = worth_;
  long next_ = 0;
};
