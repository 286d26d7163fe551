// The interior-point method of interior_point.py, many frames at once: each lane of a vector works on its
// own frame, and takes the next one as soon as it is done. Names and steps are those of the Python code.
// Included once per instruction set, after lanes.h, inside that set's namespace.

constexpr std::size_t ALIGNMENT = 64;  // bytes, of the workspace
constexpr double WARM = 1e-2;  // least mean product, over tau^2, of a starting point for a similar problem

// An array whose size is known at compile time is part of the object, which saves most loads and stores; else
// (0) it is a pointer into the workspace.
template <int COUNT> struct ArrayOf { typedef Real type[COUNT]; };
template <> struct ArrayOf<0> { typedef Real* type; };

// All members are public, since the feeds fill and read the lanes.
// USERS and BEAMS fix the numbers of users and of beams per slot at compile time; 0 leaves them open. ROOM
// and BEAM_ROOM are the largest such numbers whose arrays are part of the object.
template <int USERS, int BEAMS, int ROOM = USERS, int BEAM_ROOM = BEAMS>
class Solver {
 public:
  // Arrays of a variable of all users, (N,), of all beams of all slots, (N K,), or of all parts of all batteries, (N S,).
  typedef typename ArrayOf<ROOM>::type PerUser;
  typedef typename ArrayOf<ROOM * BEAM_ROOM>::type PerBeam;
  typedef typename ArrayOf<ROOM * BEAM_ROOM * ROOM>::type PerBeamAndUser;
  typedef typename ArrayOf<ROOM * BEAM_ROOM * ROOM * BEAM_ROOM>::type PerPairOfBeams;
  typedef Real* PerPart;
  struct Primal { PerUser t_active; PerBeam t_passive; PerUser energy, l_local, shortfall, kept, worth; };
  struct Dual { PerUser time, work, local, budget, capacity; };
  struct Active { PerUser log_term, bent, by_time, by_energy; };
  struct Point { Primal x; Dual y; Primal s; Dual z; Real tau, kappa; };

  explicit Solver(const Sizes& sizes) : users_(sizes.users), beams_(sizes.beams), parts_(sizes.parts), elastic_(sizes.shortfalls > 0) {
    allocate_workspace();
  }
  ~Solver() { std::free(memory_); }
  Solver(const Solver&) = delete;
  Solver& operator=(const Solver&) = delete;

  // Solve the feed's problems. ``next`` loads a lane, ``done`` is called when a lane's problem is solved;
  // both return whether the lane has another problem to solve.
  template <class Feed>
  void run(Feed& feed) {
    int busy = 0;
    const auto proceed = [&](int lane, bool more) {
      active_[lane] = more ? -1 : 0;
      busy += more;
      start(lane);
    };
    // A lane without a problem is computed like the others, and its numbers are ignored.
    for (int lane = 0; lane < LANES; ++lane) proceed(lane, feed.next(lane));
    while (busy > 0) {
      iterate();
      for (int lane = 0; lane < LANES; ++lane) {
        if (!active_[lane] || !done_[lane]) continue;
        --busy;
        attempt_[lane] = 0;
        proceed(lane, feed.done(lane));
      }
    }
  }

  INLINE int n() const { return USERS ? USERS : users_; }
  INLINE int k() const { return BEAMS ? BEAMS : beams_; }
  INLINE int m() const { return n() * k(); }
  INLINE int stores() const { return n() * parts_; }

  // ---- memory

  void allocate_workspace() {
    // Two passes: count, then assign.
    for (int pass = 0; pass < 2; ++pass) {
      cursor_ = 0;
      const int n = this->n(), m = this->m();
      take(n, active_rate, snr, workload, local_limit, battery, capacity, circuit, local_energy, cost_active, cost_passive,
           gain_local, cost_shortfall, w_time, w_work, w_local, w_budget, w_capacity, per_shortfall, ec, et, ev, ct, cv, tv,
           inv_e, inv_c, inv_t, pivot_v, part_v, weighted, gained, bend_t, bend_e, bend_w, unit_worth, inv_u, slope_u,
           inv_m, w_energy, part_u, part_m, part_size, alone_m, prices_worth,
           sloped_worth);
      for (Sums* sums : {&by_price, &by_inverse, &by_bend, &by_plane, &offered}) take(n, sums->sum, sums->apart, sums->plane);
      for (Active* link : {&here, &there}) take(n, link->log_term, link->bent, link->by_time, link->by_energy);
      take(m, passive_rate, eb, cb, tb, vb, d_passive, inv_pivot);
      take(stores(), plane, slope, plane_price, plane_change, plane_inverse, warm_price);
      take(n * m, harvest, rows);
      take(m * m, factor);
      for (Point* point : {&at, &per, &direction, &predictor, &moved, &warm}) {
        for (Primal* part : {&point->x, &point->s}) take(*part);
        for (Dual* part : {&point->y, &point->z}) take(*part);
      }
      for (Primal* part : {&tau_x, &rd, &f}) take(*part);
      for (Dual* part : {&tau_y, &rp, &g}) take(*part);
      if (pass == 0 && cursor_ > 0) {
        const std::size_t bytes = (cursor_ * sizeof(Real) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        memory_ = std::aligned_alloc(ALIGNMENT, bytes);
        if (!memory_) std::abort();
        std::memset(memory_, 0, bytes);
      }
    }
  }
  template <class... Arrays>
  void take(int count, Arrays&... arrays) { (place(arrays, count), ...); }
  void take(Primal& p) {
    take(n(), p.t_active, p.energy, p.l_local, p.shortfall, p.kept, p.worth);
    take(m(), p.t_passive);
  }
  void take(Dual& d) {
    take(n(), d.time, d.work, d.local, d.budget, d.capacity);
  }
  void place(Real*& array, int count) {
    array = static_cast<Real*>(memory_) + cursor_;
    cursor_ += count;
  }
  template <std::size_t COUNT>
  void place(Real (&array)[COUNT], int) { std::fill_n(array, COUNT, Real{}); }

  // A guess in the first attempt, else ones except for the times and the worth; every product is 1.
  void start(int lane) {
    const int n = this->n(), m = this->m(), shortfalls = elastic_ ? n : 0, valued = parts_ ? n : 0;
    const bool first = attempt_[lane] == 0;
    const Attempt way = ATTEMPTS[attempt_[lane]];
    const double time = way.start;
    const Guess& guess = parts_ ? VALUED_GUESS : GUESS;
    const auto fill = [&](Real* value, Real* partner, int count, double guess, double later) {
      const double chosen = first ? guess : later, inverse = 1.0 / chosen;
      for (int i = 0; i < count; ++i) {
        value[i][lane] = chosen;
        partner[i][lane] = inverse;
      }
    };
    fill(at.x.t_active, at.s.t_active, n, guess.t_active, time);
    fill(at.x.t_passive, at.s.t_passive, m, guess.t_passive, time);
    fill(at.x.energy, at.s.energy, n, guess.energy, 1.0);
    fill(at.x.l_local, at.s.l_local, n, guess.l_local, 1.0);
    fill(at.x.shortfall, at.s.shortfall, shortfalls, 1.0, 1.0);
    fill(at.x.kept, at.s.kept, valued, guess.kept, 1.0);
    fill(at.x.worth, at.s.worth, valued, guess.worth, 0.5);
    fill(at.y.time, at.z.time, n, guess.time, 1.0);
    fill(at.y.work, at.z.work, n, guess.work, 1.0);
    fill(at.y.local, at.z.local, n, guess.local, 1.0);
    fill(at.y.budget, at.z.budget, n, guess.budget, 1.0);
    fill(at.y.capacity, at.z.capacity, n, guess.capacity, 1.0);
    fill(&at.tau, &at.kappa, 1, guess.tau, 1.0);
    for (int i = 0; i < valued; ++i) {
      const auto slack = slack_of_planes(at, i);
      planes_of(i, [&](int s) INLINE_LAMBDA { plane_price[s][lane] = 1.0 / slack(s)[lane]; });
    }
    if (first && similar_) {
      // If there is nothing to resume, `warm` is left over from another frame in this lane: overwrite it.
      Mask only{};
      only[lane] = -1;
      if (resume_[lane]) copy_where(only, at, warm, plane_price, warm_price);
      else copy_where(only, warm, at, warm_price, plane_price);
    }
    step_[lane] = 1.0;
    if (attempt_[lane] == 0) iterations_[lane] = 0;
    begun_[lane] = iterations_[lane];
    span_[lane] = way.span;
    slack_[lane] = way.slack;
    boundary_[lane] = way.boundary;
    centrality_[lane] = way.centrality;
    centring_[lane] = way.centring;
    done_[lane] = 0;
  }

  // ---- the functions of the problem

  // The active link at x: signal-to-noise ratio, its logarithm, and the derivatives of the work by t and e.
  INLINE void receive(const Primal& x, Active& link) const {
    for (int i = 0; i < n(); ++i) {
      const Real received = snr[i] * x.energy[i] / x.t_active[i];
      const Real inverse = 1.0 / (1.0 + received);
      const Real log_term = log1p_given_inverse(received, inverse);
      link.log_term[i] = log_term;
      link.by_time[i] = active_rate[i] * (log_term - received * inverse);
      link.bent[i] = snr[i] * inverse;
      link.by_energy[i] = active_rate[i] * link.bent[i];
    }
  }

  INLINE Real spent(const Primal& x, int i) const {
    return x.energy[i] + circuit[i] * x.t_active[i] + local_energy[i] * x.l_local[i];
  }
  // Energy that user i spends, or keeps for its value.
  INLINE Real gone(const Primal& x, int i) const { return parts_ ? spent(x, i) + x.kept[i] : spent(x, i); }
  INLINE Real beamed(const Primal& x, int i) const {
    Real sum = x.t_passive[i * k()];
    for (int c = 1; c < k(); ++c) sum += x.t_passive[i * k() + c];
    return sum;
  }
  INLINE Real work_done(const Primal& x, const Active& link, int i) const {
    Real done = active_rate[i] * x.t_active[i] * link.log_term[i] + x.l_local[i];
    for (int c = 0; c < k(); ++c) done += passive_rate[i * k() + c] * x.t_passive[i * k() + c];
    return elastic_ ? done + x.shortfall[i] : done;
  }
  // Energy that each user harvests from all beams, into `gained`.
  INLINE void harvest_from(const Real* t_passive) {
    for (int i = 0; i < n(); ++i) gained[i] = harvest[i] * t_passive[0];
    for (int a = 1; a < m(); ++a)
      for (int i = 0; i < n(); ++i) gained[i] += harvest[a * n() + i] * t_passive[a];
  }
  // Value of the energy per unit of time of beam a at given prices.
  INLINE Real energy_worth(const Real* budget, int a) const {
    Real sum = budget[0] * harvest[a * n()];
    for (int j = 1; j < n(); ++j) sum += budget[j] * harvest[a * n() + j];
    return sum;
  }

  INLINE Real cost_of(const Primal& x) const {
    Real sum{};
    for (int i = 0; i < n(); ++i) {
      sum += cost_active[i] * x.t_active[i] + cost_passive[i] * beamed(x, i) - gain_local[i] * x.l_local[i];
      if (elastic_) sum += cost_shortfall[i] * x.shortfall[i];
      if (parts_) sum -= unit_worth[i] * x.worth[i];
    }
    return sum;
  }
  // Cost of offloading all the work, which is charged beforehand and refunded for local work.
  INLINE Real offloading() const {
    Real sum{};
    for (int i = 0; i < n(); ++i) sum += gain_local[i];
    return sum;
  }
  // Value of the energy that a point keeps, per tau.
  INLINE Real value_kept(const Point& p, Real inverse_tau) const {
    Real sum{};
    for (int i = 0; i < n() && parts_; ++i) sum += unit_worth[i] * (p.x.worth[i] * inverse_tau - 1.0);
    return sum;
  }
  // Without the prices of the planes.
  INLINE Real value_of(const Dual& y) const {
    Real sum{};
    for (int i = 0; i < n(); ++i)
      sum += y.time[i] - workload[i] * y.work[i] + local_limit[i] * y.local[i] + battery[i] * y.budget[i] +
             capacity[i] * y.capacity[i];
    return sum;
  }
  INLINE Real product() const {
    Real sum = at.tau * at.kappa;
    for (int i = 0; i < n(); ++i) {
      sum += at.x.t_active[i] * at.s.t_active[i] + at.x.energy[i] * at.s.energy[i] + at.x.l_local[i] * at.s.l_local[i];
      sum += at.y.time[i] * at.z.time[i] + at.y.work[i] * at.z.work[i] + at.y.local[i] * at.z.local[i];
      sum += at.y.budget[i] * at.z.budget[i] + at.y.capacity[i] * at.z.capacity[i];
      if (elastic_) sum += at.x.shortfall[i] * at.s.shortfall[i];
      if (parts_) sum += at.x.kept[i] * at.s.kept[i] + at.x.worth[i] * at.s.worth[i];
    }
    for (int c = 0; c < m(); ++c) sum += at.x.t_passive[c] * at.s.t_passive[c];
    for (int i = 0; i < n() && parts_; ++i) {
      const auto slack = slack_of_planes(at, i);
      planes_of(i, [&](int s) INLINE_LAMBDA { sum += plane_price[s] * slack(s); });
    }
    return sum;
  }
  INLINE double count() const { return (8 + (elastic_ ? 1 : 0) + (parts_ ? 2 : 0)) * n() + m() + stores() + 1; }

  // Residuals of dual and primal feasibility and of the gap. Needs receive() at the point.
  Real residuals() {
    const Real tau = at.tau;
    harvest_from(at.x.t_passive);
    for (int i = 0; i < n(); ++i) {
      const Real price = at.y.budget[i] + at.y.capacity[i], work = at.y.work[i];
      rd.t_active[i] = at.s.t_active[i] - cost_active[i] * tau + here.by_time[i] * work - at.y.time[i] - circuit[i] * price;
      rd.energy[i] = at.s.energy[i] + here.by_energy[i] * work - price;
      rd.l_local[i] = at.s.l_local[i] + gain_local[i] * tau + work - at.y.local[i] - local_energy[i] * price;
      if (elastic_) rd.shortfall[i] = at.s.shortfall[i] - cost_shortfall[i] * tau + work;
      for (int c = i * k(); c < (i + 1) * k(); ++c) {
        const Real gradient = passive_rate[c] * work - at.y.time[i] + energy_worth(at.y.budget, c);
        rd.t_passive[c] = at.s.t_passive[c] - cost_passive[i] * tau + gradient;
      }
      if (parts_) {
        rd.kept[i] = at.s.kept[i] + sloped_worth[i] - price;
        rd.worth[i] = at.s.worth[i] + unit_worth[i] * tau - by_price.sum[i];
      }
      const Real gone = this->gone(at.x, i);
      rp.time[i] = at.z.time[i] + at.x.t_active[i] + beamed(at.x, i) - tau;
      rp.work[i] = at.z.work[i] - work_done(at.x, here, i) + workload[i] * tau;
      rp.local[i] = at.z.local[i] + at.x.l_local[i] - local_limit[i] * tau;
      rp.budget[i] = at.z.budget[i] - gained[i] + gone - battery[i] * tau;
      rp.capacity[i] = at.z.capacity[i] + gone - capacity[i] * tau;
    }
    return at.kappa + cost_of(at.x) + value_of(at.y) + total(by_price.plane);
  }

  // ---- the value of the energy kept in a battery
  //
  // Its worth is at most each of many planes, which makes for most of the variables. So their slacks z, which
  // are linear and never have a residual, are not stored, and what the Newton system needs of them are sums.

  // Sums over the planes of each user, of a term, of the term times the slope beyond the mean one (slope_u),
  // and of the term times the plane's constant.
  struct Sums { PerUser sum, apart, plane; };

  INLINE Real total(const Real* values) const {
    Real sum{};
    for (int i = 0; i < n() && parts_; ++i) sum += values[i];
    return sum;
  }
  // Returns how far user i's worth is below plane s at a point, or how a step changes that. It copies what it
  // needs of the point, which stores in between could change for all that the compiler knows.
  INLINE auto slack_of_planes(const Point& p, int i) const {
    return [this, tau = p.tau, kept = p.x.kept[i], worth = p.x.worth[i]](int s) INLINE_LAMBDA {
      return plane[s] * tau + slope[s] * kept - worth;
    };
  }
  template <class Visit>
  INLINE void planes_of(int i, Visit visit) const {
    for (int s = i * parts_; s < (i + 1) * parts_; ++s) visit(s);
  }

  // Reciprocals of the products of the planes' prices and slacks, the sums of what the Newton system needs, and the pivots of
  // the worth u and of the energy kept m, but for what others add to the latter; returns the sum of the
  // products.
  Real open_planes() {
    Real products{};
    for (int i = 0; i < n(); ++i) {
      const auto slack = slack_of_planes(at, i);
      Real prices{}, sloped{}, weights{}, weighted{};
      planes_of(i, [&](int s) INLINE_LAMBDA {
        const Real y = plane_price[s], product = y * slack(s), inverse = 1.0 / product, weight = y * y * inverse;
        plane_inverse[s] = inverse;
        products += product;
        prices += y;
        sloped += slope[s] * y;
        weights += weight;
        weighted += slope[s] * weight;
      });
      const Real d_worth = at.s.worth[i] * per.x.worth[i];
      inv_u[i] = 1.0 / (d_worth + weights);
      const Real mean = slope_u[i] = inv_u[i] * weighted;
      Real spread{}, apart_price{}, apart_inverse{}, apart_plane{}, inverses{}, price_plane{}, inverse_plane{}, planes{},
          squares{};
      planes_of(i, [&](int s) INLINE_LAMBDA {
        const Real y = plane_price[s], inverse = y * plane_inverse[s], weight = y * inverse, apart = slope[s] - mean;
        spread += weight * apart * apart;
        apart_price += y * apart;
        price_plane += y * plane[s];
        inverses += inverse;
        apart_inverse += inverse * apart;
        inverse_plane += inverse * plane[s];
        const Real raised = weight * plane[s];
        planes += raised;
        apart_plane += raised * apart;
        squares += raised * plane[s];
      });
      alone_m[i] = at.s.kept[i] * per.x.kept[i] + spread + d_worth * mean * mean;
      sloped_worth[i] = sloped;
      set(by_price, i, prices, apart_price, price_plane);
      set(by_inverse, i, inverses, apart_inverse, inverse_plane);
      set(by_plane, i, planes, apart_plane, squares);
    }
    return products;
  }
  INLINE void set(Sums& sums, int i, Real sum, Real apart, Real plane) {
    sums.sum[i] = sum;
    sums.apart[i] = apart;
    sums.plane[i] = plane;
  }

  // What the planes add to the right-hand side: their prices' weights times it.
  INLINE void offer_constants() {
    for (int i = 0; i < n() && parts_; ++i)
      set(offered, i, -by_plane.sum[i], -by_plane.apart[i], -by_plane.plane[i]);
  }
  INLINE void offer_predictor() {
    for (int i = 0; i < n() && parts_; ++i)
      set(offered, i, -by_price.sum[i], -by_price.apart[i], -by_price.plane[i]);
  }
  INLINE void offer_direction(Real target, Real keep) {
    for (int i = 0; i < n() && parts_; ++i)
      set(offered, i, target * by_inverse.sum[i] - by_price.sum[i] - keep * by_bend.sum[i],
          target * by_inverse.apart[i] - by_price.apart[i] - keep * by_bend.apart[i],
          target * by_inverse.plane[i] - by_price.plane[i] - keep * by_bend.plane[i]);
  }

  // Complete the predictor: the step to the boundary, and sums of the second-order products.
  INLINE void predict_planes(Real& ratio) {
    Real longest = ratio, bent{};
    for (int i = 0; i < n(); ++i) {
      const auto change = slack_of_planes(predictor, i);
      const Real mean = slope_u[i];
      Real sum{}, apart{}, raised{};
      planes_of(i, [&](int s) INLINE_LAMBDA {
        const Real y = plane_price[s], inverse = y * plane_inverse[s], dz = change(s), part = dz * inverse;
        const Real product = -y * dz * (1.0 + part), term = product * inverse;
        longest = maximum(longest, maximum(1.0 + part, -part));
        bent += product;
        sum += term;
        apart += term * (slope[s] - mean);
        raised += term * plane[s];
      });
      set(by_bend, i, sum, apart, raised);
    }
    ratio = longest;
    bent_worth = bent;
  }
  // Complete the direction: the steps of the prices, the step to the boundary and the products of its changes.
  INLINE void direct_planes(Real target, Real keep, Real& ratio, Real& bent) {
    Real longest = ratio, sum = bent;
    for (int i = 0; i < n(); ++i) {
      const auto slack = slack_of_planes(at, i), change = slack_of_planes(direction, i), predicted = slack_of_planes(predictor, i);
      planes_of(i, [&](int s) INLINE_LAMBDA {
        const Real y = plane_price[s], inverse = y * plane_inverse[s], dz = change(s), part = dz * inverse;
        const Real early = predicted(s), product = -y * early * (1.0 + early * inverse);
        const Real dy = (target - keep * product) * inverse - y * (1.0 + part);
        plane_change[s] = dy;
        longest = maximum(longest, maximum(-dy * (slack(s) * plane_inverse[s]), -part));
        sum += dy * dz;
      });
    }
    ratio = longest;
    bent = sum;
  }
  // Where the planes of the moved point are near the central path.
  INLINE Mask check_planes(Real step, Real least) {
    Mask good = moved.tau > 0.0;
    for (int i = 0; i < n(); ++i) {
      const auto slack = slack_of_planes(moved, i);
      planes_of(i, [&](int s) INLINE_LAMBDA {
        const Real y = plane_price[s] + step * plane_change[s], z = slack(s);
        good &= (z > 0.0) & (y * z >= least);
      });
    }
    return good;
  }

  // ---- the Newton system, eliminated user by user; see newton_system.py

  void factorise() {
    const int n = this->n(), k = this->k(), m = this->m();
    const Primal &x = at.x, &s = at.s;
    const Dual &y = at.y, &z = at.z;
    for (int i = 0; i < n; ++i) {
      const Real lt = here.by_time[i], le = here.by_energy[i], q = circuit[i], fe = local_energy[i];
      const Real inverse_t = per.x.t_active[i];
      const Real power = x.energy[i] * inverse_t;
      // Minus the Hessian of the priced active work: of rank one, zero along the ray of constant power.
      const Real curvature = y.work[i] * le * here.bent[i] * inverse_t;
      const Real d_active = s.t_active[i] * inverse_t, d_energy = s.energy[i] * per.x.energy[i],
                 d_local = s.l_local[i] * per.x.l_local[i];
      w_time[i] = y.time[i] * per.z.time[i];
      w_local[i] = y.local[i] * per.z.local[i];
      w_budget[i] = y.budget[i] * per.z.budget[i];
      w_capacity[i] = y.capacity[i] * per.z.capacity[i];
      if (elastic_) {
        per_shortfall[i] = x.shortfall[i] * per.s.shortfall[i];
        w_work[i] = 1.0 / (z.work[i] * per.y.work[i] + per_shortfall[i]);
      } else {
        w_work[i] = y.work[i] * per.z.work[i];
      }
      // Weights of the energies e, c, t and v once the worth u and the energy kept m are eliminated.
      const Real wt = w_time[i], ww = w_work[i];
      Real we = w_budget[i] + w_capacity[i], wb = w_budget[i], w_own = w_budget[i];
      if (parts_) {
        const Real alone = alone_m[i];
        inv_m[i] = 1.0 / (alone + we);
        w_energy[i] = we;
        w_own = wb * (alone + w_capacity[i]) * inv_m[i];
        we *= alone * inv_m[i];
        wb *= alone * inv_m[i];
      }

      const Real ee = d_energy + curvature + ww * le * le + we;
      const Real ec0 = ww * le + we * fe;
      const Real et0 = ww * lt * le + we * q - curvature * power;
      const Real cc = d_local + ww + w_local[i] + we * fe * fe;
      Real ct0 = ww * lt + we * q * fe;
      const Real tt = d_active + curvature * power * power + wt + ww * lt * lt + we * q * q;
      const Real ev0 = -wb;
      Real cv0 = -wb * fe, tv0 = -wb * q;

      inv_e[i] = 1.0 / ee;
      ec[i] = ec0 * inv_e[i];
      et[i] = et0 * inv_e[i];
      ev[i] = ev0 * inv_e[i];
      inv_c[i] = 1.0 / maximum(cc - ec[i] * ec0, d_local);
      ct0 -= ec[i] * et0;
      cv0 -= ec[i] * ev0;
      ct[i] = ct0 * inv_c[i];
      cv[i] = cv0 * inv_c[i];
      inv_t[i] = 1.0 / maximum(tt - et[i] * et0 - ct[i] * ct0, d_active);
      tv0 -= et[i] * ev0 + ct[i] * cv0;
      tv[i] = tv0 * inv_t[i];
      pivot_v[i] = maximum(w_own - ev[i] * ev0 - cv[i] * cv0 - tv[i] * tv0, 2.220446049250313e-16 * w_own);
      const Real inv_v = 1.0 / pivot_v[i];

      for (int a = i * k; a < (i + 1) * k; ++a) {
        d_passive[a] = s.t_passive[a] * per.x.t_passive[a];
        const Real r = passive_rate[a];
        const Real eb0 = ww * r * le, cb0 = ww * r - ec[i] * eb0;
        const Real tb0 = wt + ww * lt * r - et[i] * eb0 - ct[i] * cb0;
        eb[a] = eb0 * inv_e[i];
        cb[a] = cb0 * inv_c[i];
        tb[a] = tb0 * inv_t[i];
        vb[a] = -(ev[i] * eb0 + cv[i] * cb0 + tv[i] * tb0) * inv_v;
        // The user's own block after eliminating e, c, t and v; the harvest terms are added below.
        for (int b = i * k; b <= a; ++b) {
          const Real own = wt + ww * r * passive_rate[b] - eb0 * eb[b] - cb0 * cb[b] - tb0 * tb[b] -
                           pivot_v[i] * vb[a] * vb[b];
          factor[a * m + b] = a == b ? d_passive[a] + maximum(own, Real{}) : own;
        }
      }
    }
    // The coupled matrix: the weighted harvest, with the terms of the elimination, plus each user's own
    // block.
    for (int a = 0; a < n * m; ++a) rows[a] = harvest[a];
    for (int i = 0; i < n; ++i)
      for (int a = i * k; a < (i + 1) * k; ++a) {
        rows[a * n + i] += vb[a];
        for (int b = 0; b < i * k; ++b) factor[a * m + b] = Real{};
      }
    for (int a = 0; a < m; ++a) {
      for (int j = 0; j < n; ++j) weighted[j] = pivot_v[j] * rows[a * n + j];
      several(0, a + 1, [&](auto count, int b) INLINE_LAMBDA {
        Real sum[count];
        for (int r = 0; r < count; ++r) sum[r] = factor[a * m + b + r];
        for (int j = 0; j < n; ++j)
          for (int r = 0; r < count; ++r) sum[r] += weighted[j] * rows[(b + r) * n + j];
        for (int r = 0; r < count; ++r) factor[a * m + b + r] = sum[r];
      });
    }
    // Cholesky, column by column; no pivot is below its own s/x in exact arithmetic.
    for (int b = 0; b < m; ++b) {
      inv_pivot[b] = 1.0 / square_root(maximum(factor[b * m + b], d_passive[b]));
      several(b + 1, m, [&](auto count, int a) INLINE_LAMBDA {
        Real sum[count];
        for (int r = 0; r < count; ++r) sum[r] = factor[(a + r) * m + b];
        for (int c = 0; c < b; ++c)
          for (int r = 0; r < count; ++r) sum[r] -= factor[(a + r) * m + c] * factor[b * m + c];
        for (int r = 0; r < count; ++r) {
          sum[r] *= inv_pivot[b];
          factor[(a + r) * m + b] = sum[r];
          factor[(a + r) * m + a + r] -= sum[r] * sum[r];
        }
      });
    }
  }

  // Call visit(count, first) for the rows from `begin` to `end`, several at a time, which hides the time that
  // a product takes.
  template <class Visit>
  INLINE static void several(int begin, int end, Visit visit) {
    constexpr int COUNT = 4;
    if constexpr (USERS * BEAMS == 0 || USERS * BEAMS >= COUNT)
      for (; begin + COUNT <= end; begin += COUNT) visit(std::integral_constant<int, COUNT>(), begin);
    for (; begin < end; ++begin) visit(std::integral_constant<int, 1>(), begin);
  }

  // Solve with the factor and its transpose, in place.
  INLINE void substitute(Real* x) const {
    const int m = this->m();
    several(0, m, [&](auto count, int a) INLINE_LAMBDA {
      Real sum[count];
      for (int r = 0; r < count; ++r) sum[r] = x[a + r];
      for (int c = 0; c < a; ++c)
        for (int r = 0; r < count; ++r) sum[r] -= factor[(a + r) * m + c] * x[c];
      for (int r = 0; r < count; ++r) {
        for (int c = 0; c < r; ++c) sum[r] -= factor[(a + r) * m + a + c] * sum[c];
        x[a + r] = sum[r] *= inv_pivot[a + r];
      }
    });
    several(0, m, [&](auto count, int behind) INLINE_LAMBDA {
      const int a = m - count - behind;
      Real sum[count];
      for (int r = 0; r < count; ++r) sum[r] = x[a + r];
      for (int c = m - 1; c >= a + count; --c)
        for (int r = 0; r < count; ++r) sum[r] -= factor[c * m + a + r] * x[c];
      for (int r = count - 1; r >= 0; --r) {
        for (int c = count - 1; c > r; --c) sum[r] -= factor[(a + c) * m + a + r] * sum[c];
        x[a + r] = sum[r] *= inv_pivot[a + r];
      }
    });
  }

  // Solve for the right-hand side (f, g).
  void solve(const Primal& f, const Dual& g, Primal& dx, Dual& dy) {
    const int n = this->n(), k = this->k(), m = this->m();
    for (int i = 0; i < n; ++i) {
      const Real g_work = elastic_ ? g.work[i] - per_shortfall[i] * f.shortfall[i] : g.work[i];
      const Real time = w_time[i] * g.time[i], work = w_work[i] * g_work, local = w_local[i] * g.local[i];
      Real budget = w_budget[i] * g.budget[i], energy = budget + w_capacity[i] * g.capacity[i];
      if (parts_) {
        part_u[i] = f.worth[i] - offered.sum[i];
        const Real m = part_m[i] = f.kept[i] + slope_u[i] * f.worth[i] + offered.apart[i] - energy;
        energy += w_energy[i] * inv_m[i] * m;
        budget += w_budget[i] * inv_m[i] * m;
      }
      const Real e = f.energy[i] + here.by_energy[i] * work - energy;
      const Real c = f.l_local[i] + work - local - local_energy[i] * energy - ec[i] * e;
      const Real t = f.t_active[i] - time + here.by_time[i] * work - circuit[i] * energy - et[i] * e - ct[i] * c;
      dx.energy[i] = e;
      dx.l_local[i] = c;
      dx.t_active[i] = t;
      part_v[i] = budget - ev[i] * e - cv[i] * c - tv[i] * t;
      for (int a = i * k; a < (i + 1) * k; ++a)
        dx.t_passive[a] = f.t_passive[a] - time + passive_rate[a] * work - eb[a] * e - cb[a] * c - tb[a] * t;
    }
    for (int a = 0; a < m; ++a) dx.t_passive[a] += energy_worth(part_v, a);
    substitute(dx.t_passive);
    harvest_from(dx.t_passive);
    for (int i = 0; i < n; ++i) {
      const Real dv = gained[i];
      Real t = dx.t_active[i] * inv_t[i] - tv[i] * dv, c = dx.l_local[i] * inv_c[i] - cv[i] * dv;
      Real e = dx.energy[i] * inv_e[i] - ev[i] * dv;
      Real carried{};
      for (int a = i * k; a < (i + 1) * k; ++a) {
        const Real db = dx.t_passive[a];
        t -= tb[a] * db;
        c -= cb[a] * db;
        e -= eb[a] * db;
        carried += passive_rate[a] * db;
      }
      c -= ct[i] * t;
      e -= ec[i] * c + et[i] * t;
      dx.t_active[i] = t;
      dx.l_local[i] = c;
      dx.energy[i] = e;
      Real gone = spent(dx, i);
      if (parts_) {
        const Real dm = inv_m[i] * (part_m[i] - w_energy[i] * gone + w_budget[i] * dv);
        const Real above = inv_u[i] * part_u[i];
        // The priced constants of the planes, of which `value_of` knows nothing.
        prices_worth[i] = offered.plane[i] - by_plane.apart[i] * dm + by_plane.sum[i] * above;
        dx.kept[i] = dm;
        dx.worth[i] = above + slope_u[i] * dm;
        gone += dm;
      }
      const Real g_work = elastic_ ? g.work[i] - per_shortfall[i] * f.shortfall[i] : g.work[i];
      dy.time[i] = w_time[i] * (g.time[i] + t + beamed(dx, i));
      dy.work[i] = w_work[i] * (g_work - (here.by_time[i] * t + carried + here.by_energy[i] * e + c));
      dy.local[i] = w_local[i] * (g.local[i] + c);
      dy.budget[i] = w_budget[i] * (g.budget[i] - dv + gone);
      dy.capacity[i] = w_capacity[i] * (g.capacity[i] + gone);
      if (elastic_) dx.shortfall[i] = per_shortfall[i] * (f.shortfall[i] + dy.work[i]);
    }
  }

  // Call visit(count, member) for each array of variables, and for each of prices but those of planes.
  template <class Visit>
  INLINE void pairs(Visit visit) {
    visit(n(), &Primal::t_active);
    visit(m(), &Primal::t_passive);
    visit(n(), &Primal::energy);
    visit(n(), &Primal::l_local);
    if (elastic_) visit(n(), &Primal::shortfall);
    if (parts_) visit(n(), &Primal::kept);
    if (parts_) visit(n(), &Primal::worth);
  }
  template <class Visit>
  INLINE void prices(Visit visit) {
    visit(n(), &Dual::time);
    visit(n(), &Dual::work);
    visit(n(), &Dual::local);
    visit(n(), &Dual::budget);
    visit(n(), &Dual::capacity);
  }

  // Reciprocals of the iterate, with one division per pair, since divisions take the longest; returns the sum
  // of the products.
  Real invert() {
    Real sum = at.tau * at.kappa;
    const auto divide = [&](const Real* a, const Real* b, Real* per_a, Real* per_b, int end) INLINE_LAMBDA {
      for (int i = 0; i < end; ++i) {
        const Real product = a[i] * b[i], inverse = 1.0 / product;
        sum += product;
        per_a[i] = inverse * b[i];
        per_b[i] = inverse * a[i];
      }
    };
    pairs([&](int end, auto v) INLINE_LAMBDA { divide(at.x.*v, at.s.*v, per.x.*v, per.s.*v, end); });
    prices([&](int end, auto v) INLINE_LAMBDA { divide(at.y.*v, at.z.*v, per.y.*v, per.z.*v, end); });
    per.tau = 1.0 / at.tau;
    per.kappa = 1.0 / at.kappa;
    return sum;
  }

  // What a direction does to a step: the longest one, up to 1, that keeps every entry non-negative, and the
  // sum of the products along it, sum[0] + step (sum[1] + step sum[2]).
  struct Along { Real boundary, sum[3]; };

  // Newton direction that removes `reduction` of the residuals and brings each product to `target`, corrected
  // by the second-order products of `from` if `keep` is 1. `sum` is that of the products now.
  Along newton(Point& to, Real reduction, Real gap, Real target, const Point* from, Real keep, Real sum) {
    const Real tau = at.tau, kappa = at.kappa;
    Real changes{};
    // The direction's s and z temporarily hold the wanted changes of the products.
    const auto want = [&](const Real* a, const Real* b, const Real* per_a, const Real* da, const Real* db,
                          const Real* residual, Real* change, Real* right, int end) INLINE_LAMBDA {
      for (int i = 0; i < end; ++i) {
        Real wanted = target - a[i] * b[i];
        if (from) wanted -= keep * da[i] * db[i];
        changes += wanted;
        change[i] = wanted;
        right[i] = wanted * per_a[i] + reduction * residual[i];
      }
    };
    const Point& earlier = from ? *from : at;  // unused without `from`
    pairs([&](int end, auto v) INLINE_LAMBDA {
      want(at.x.*v, at.s.*v, per.x.*v, earlier.x.*v, earlier.s.*v, rd.*v, to.s.*v, f.*v, end);
    });
    prices([&](int end, auto v) INLINE_LAMBDA {
      want(at.y.*v, at.z.*v, per.y.*v, earlier.y.*v, earlier.z.*v, rp.*v, to.z.*v, g.*v, end);
    });
    Real change = target - tau * kappa;
    if (from) {
      change -= keep * from->tau * from->kappa;
      for (int i = 0; i < n(); ++i) {
        f.t_active[i] -= bend_t[i];
        f.energy[i] -= bend_e[i];
        g.work[i] -= bend_w[i];
      }
    }
    if (from) {
      offer_direction(target, keep);
    } else {
      offer_predictor();
    }
    solve(f, g, to.x, to.y);
    const Real inverse_tau = per.tau;
    const Real numerator = cost_of(to.x) + value_of(to.y) + total(prices_worth) + reduction * gap + change * inverse_tau;
    const Real dtau = numerator / (kappa * inverse_tau - tau_slope);
    to.tau = dtau;
    to.kappa = (change - kappa * dtau) * inverse_tau;
    Real ratio = maximum(-to.tau * per.tau, -to.kappa * per.kappa), bent = to.tau * to.kappa;
    const auto complete = [&](const Real* b, const Real* per_a, const Real* per_b, const Real* column, Real* da,
                              Real* db, int end) INLINE_LAMBDA {
      for (int i = 0; i < end; ++i) {
        const Real first = da[i] + column[i] * dtau, second = (db[i] - b[i] * first) * per_a[i];
        da[i] = first;
        db[i] = second;
        ratio = maximum(ratio, maximum(-first * per_a[i], -second * per_b[i]));
        bent += first * second;
      }
    };
    pairs([&](int end, auto v) INLINE_LAMBDA {
      complete(at.s.*v, per.x.*v, per.s.*v, tau_x.*v, to.x.*v, to.s.*v, end);
    });
    prices([&](int end, auto v) INLINE_LAMBDA {
      complete(at.z.*v, per.y.*v, per.z.*v, tau_y.*v, to.y.*v, to.z.*v, end);
    });
    if (parts_ && from) {
      changes += stores() * target - products_worth - keep * bent_worth;
      direct_planes(target, keep, ratio, bent);
    } else if (parts_) {
      predict_planes(ratio);
    }
    return {minimum(1.0 / maximum(ratio, splat(1e-300)), splat(1.0)), {sum, changes + change, bent}};
  }

  // Move the variables and prices that the curved slacks depend on, and tau; then receive there.
  INLINE void move(const Point& d, Real step) {
    const auto moved_to = [&](auto v, int end) INLINE_LAMBDA {
      for (int i = 0; i < end; ++i) (moved.x.*v)[i] = (at.x.*v)[i] + step * (d.x.*v)[i];
    };
    moved_to(&Primal::t_active, n());
    moved_to(&Primal::t_passive, m());
    moved_to(&Primal::energy, n());
    moved_to(&Primal::l_local, n());
    if (elastic_) moved_to(&Primal::shortfall, n());
    const auto priced = [&](auto v) INLINE_LAMBDA {
      for (int i = 0; i < n(); ++i) (moved.y.*v)[i] = (at.y.*v)[i] + step * (d.y.*v)[i];
    };
    priced(&Dual::time);
    priced(&Dual::work);
    priced(&Dual::budget);
    priced(&Dual::capacity);
    moved.tau = at.tau + step * d.tau;
    receive(moved.x, there);
  }

  // Exact values of user i's curved slacks (those that depend on the active work) if `left` of the residuals
  // remain.
  struct Slacks { Real t_active, energy, work; };
  INLINE Slacks exact_slacks(const Point& p, int i, Real left) const {
    const Real price = p.y.budget[i] + p.y.capacity[i], work = p.y.work[i], tau = p.tau;
    return {cost_active[i] * tau - there.by_time[i] * work + p.y.time[i] + circuit[i] * price + left * rd.t_active[i],
            price - there.by_energy[i] * work + left * rd.energy[i],
            work_done(p.x, there, i) - workload[i] * tau + left * rp.work[i]};
  }

  // These slacks if they were linear.
  INLINE Slacks straight(const Point& d, int i, Real step) const {
    return {at.s.t_active[i] + step * d.s.t_active[i], at.s.energy[i] + step * d.s.energy[i],
            at.z.work[i] + step * d.z.work[i]};
  }

  // Second-order change of these slacks along the predictor.
  void bends(Real step, Real limit, Real keep) {
    move(predictor, step);
    const Real left = 1.0 - step, scale = 1.0 / (step * step);
    for (int i = 0; i < n(); ++i) {
      const Slacks exact = exact_slacks(moved, i, left);
      const Real t = limit * per.x.t_active[i], e = limit * per.x.energy[i], w = limit * per.y.work[i];
      const Slacks linear = straight(predictor, i, step);
      bend_t[i] = keep * clip((exact.t_active - linear.t_active) * scale, -t, t);
      bend_e[i] = keep * clip((exact.energy - linear.energy) * scale, -e, e);
      bend_w[i] = keep * clip((exact.work - linear.work) * scale, -w, w);
    }
  }

  INLINE Real settle(Real exact, Real linear, Real reach) const {
    const Real low = minimum(linear / span_, exact + reach);
    const Real high = maximum(linear * span_, exact - reach);
    return clip(exact, low, high);
  }

  // The curved slacks after a step: exact if that is near enough to the central path.
  INLINE Slacks settled(int i, Real left, Real slack, const Slacks& linear) const {
    const Slacks exact = exact_slacks(moved, i, left);
    return {settle(exact.t_active, linear.t_active, slack / moved.x.t_active[i]),
            settle(exact.energy, linear.energy, slack / moved.x.energy[i]),
            settle(exact.work, linear.work, slack / moved.y.work[i])};
  }

  // Move only the variables that the curved slacks depend on, settle these, and return where they stay near
  // the central path. `least` becomes the least product that is near enough.
  Mask try_step(Real reduction, Real step, const Real (&sum)[3], Real& least) {
    move(direction, step);
    const Real left = 1.0 - step * reduction;
    Real total = sum[0] + step * (sum[1] + step * sum[2]);
    const Real slack = slack_ * maximum(total / count(), Real{});
    Real lowest = splat(1e300);
    for (int i = 0; i < n(); ++i) {
      const Slacks linear = straight(direction, i, step), bent = settled(i, left, slack, linear);
      const Real t = moved.x.t_active[i], e = moved.x.energy[i], w = moved.y.work[i];
      total += t * (bent.t_active - linear.t_active) + e * (bent.energy - linear.energy) + w * (bent.work - linear.work);
      lowest = minimum(lowest, minimum(minimum(t * bent.t_active, e * bent.energy), w * bent.work));
      moved.s.t_active[i] = bent.t_active;
      moved.s.energy[i] = bent.energy;
      moved.z.work[i] = bent.work;
    }
    least = centrality_ * total / count();
    return (lowest > 0.0) & (lowest >= least);
  }

  // Complete the move of try_step(), and return where the whole new point is near the central path.
  Mask complete_step(Real step, Real least) {
    const Real *const t = moved.s.t_active, *const e = moved.s.energy, *const w = moved.z.work;
    moved.kappa = at.kappa + step * direction.kappa;
    Mask good = moved.tau * moved.kappa >= least;
    const auto advance = [&](const Real* a, const Real* da, Real* to, int end) INLINE_LAMBDA {
      for (int i = 0; i < end; ++i) to[i] = a[i] + step * da[i];
    };
    const auto check = [&](const Real* a, const Real* b, int end) INLINE_LAMBDA {
      for (int i = 0; i < end; ++i) good &= (b[i] > 0.0) & (a[i] * b[i] >= least);
    };
    if (parts_) {
      advance(at.x.kept, direction.x.kept, moved.x.kept, n());
      advance(at.x.worth, direction.x.worth, moved.x.worth, n());
      good &= check_planes(step, least);
    }
    advance(at.y.local, direction.y.local, moved.y.local, n());
    pairs([&](int end, auto v) INLINE_LAMBDA {
      if (moved.s.*v == t || moved.s.*v == e) return;
      advance(at.s.*v, direction.s.*v, moved.s.*v, end);
      check(moved.x.*v, moved.s.*v, end);
    });
    prices([&](int end, auto v) INLINE_LAMBDA {
      if (moved.z.*v == w) return;
      advance(at.z.*v, direction.z.*v, moved.z.*v, end);
      check(moved.y.*v, moved.z.*v, end);
    });
    return good;
  }

  // The larger of violation and certified gap at the moved point in units of their tolerances (solved if <=
  // 1), and the margin by which its prices disprove feasibility. Needs receive() at the point. No plane is
  // violated at a usable point: its slacks are positive, and never stored.
  void certify(Real& accuracy, Real& margin) {
    const Real tau = moved.tau;
    Real violation{}, dual{}, free{}, value{};
    harvest_from(moved.x.t_passive);
    for (int i = 0; i < n(); ++i) {
      const Real gone = this->gone(moved.x, i);
      violation = maximum(violation, moved.x.t_active[i] + beamed(moved.x, i) - tau);
      violation = maximum(violation, workload[i] * tau - work_done(moved.x, there, i));
      violation = maximum(violation, moved.x.l_local[i] - local_limit[i] * tau);
      violation = maximum(violation, gone - gained[i] - battery[i] * tau);
      violation = maximum(violation, gone - capacity[i] * tau);

      // The dual function at the prices, times tau: with and without the costs.
      const Real budget = moved.y.budget[i], price = budget + moved.y.capacity[i];
      Real work = moved.y.work[i];
      if (elastic_) work = minimum(work, cost_shortfall[i] * tau);
      const Real c = work * active_rate[i];
      const Real signal = snr[i] * maximum(c / price - 1.0 / snr[i], Real{});
      const Real worth = c * log1p_given_inverse(signal, 1.0 / (1.0 + signal)) -
                         price * (signal / snr[i] + circuit[i]);
      Real passive = splat(-1e300);
      for (int a = i * k(); a < (i + 1) * k(); ++a) {
        passive = maximum(passive, work * passive_rate[a] + energy_worth(moved.y.budget, a));
      }
      const Real local = work - price * local_energy[i];
      const Real constant = work * workload[i] - budget * battery[i] - moved.y.capacity[i] * capacity[i];
      if (parts_) {
        const Real unit = unit_worth[i] * tau;
        Real kept{};
        planes_of(i, [&](int s) INLINE_LAMBDA { kept += maximum(unit * slope[s] - price, Real{}); });
        dual -= kept * part_size[i];
      }
      dual += constant - maximum(local + gain_local[i] * tau, Real{}) * local_limit[i] -
              maximum(maximum(worth - cost_active[i] * tau, passive - cost_passive[i] * tau), Real{});
      free += constant - maximum(local, Real{}) * local_limit[i] - maximum(maximum(worth, passive), Real{});
      value += work * workload[i];
    }
    const Real inverse_tau = 1.0 / tau;
    const Real cost = cost_of(moved.x) * inverse_tau + total(unit_worth), kept = value_kept(moved, inverse_tau);
    const Real gap = magnitude(cost - dual * inverse_tau) / ((magnitude(cost + kept + offloading()) + LEAST_COST) * gap_limit);
    accuracy = maximum(violation * inverse_tau / (RESIDUAL_PER_GAP * gap_limit), gap);
    accuracy = choose(gap >= 0.0, accuracy, splat(1.0 / 0.0));  // infinite if the gap is NaN
    margin = choose(value > 0.0, free / choose(value > 0.0, value, splat(1.0)), splat(-1.0));
  }

  // One predictor-corrector step (Mehrotra), with a second-order term for the curved constraint.
  void iterate() {
    receive(at.x, here);
    Real products = invert();
    if (parts_) products += products_worth = open_planes();
    const Real gap = residuals(), mean = products / count();
    factorise();
    for (int i = 0; i < n(); ++i) {
      f.t_active[i] = -cost_active[i];
      f.energy[i] = Real{};
      f.l_local[i] = gain_local[i];
      f.shortfall[i] = -cost_shortfall[i];
      for (int a = i * k(); a < (i + 1) * k(); ++a) f.t_passive[a] = -cost_passive[i];
      g.time[i] = splat(-1.0);
      g.work[i] = workload[i];
      g.local[i] = -local_limit[i];
      g.budget[i] = -battery[i];
      g.capacity[i] = -capacity[i];
    }
    for (int i = 0; i < n() && parts_; ++i) {
      f.kept[i] = Real{};
      f.worth[i] = unit_worth[i];
    }
    offer_constants();
    solve(f, g, tau_x, tau_y);
    tau_slope = cost_of(tau_x) + value_of(tau_y) + total(prices_worth);

    const Real reach = newton(predictor, splat(1.0), gap, Real{}, nullptr, Real{}, products).boundary;
    // After a short step, recentre and drop the second-order terms, which would be too large.
    const Mask recentre = step_ < SHORT_STEP;
    const Real keep = choose(recentre, Real{}, splat(1.0));
    const Real missed = 1.0 - reach;
    const Real centring = maximum(0.5 * missed * missed * missed, choose(recentre, splat(0.5), centring_));
    const Real reduction = 1.0 - centring;
    bends(BEND_REACH * reach, BEND_LIMIT * mean, keep);
    const Along along = newton(direction, reduction, gap, centring * mean, &predictor, keep, products);

    const Real longest = boundary_ * along.boundary;
    Real step = longest, least;
    Mask good;
    while (true) {
      Mask near = try_step(reduction, step, along.sum, least);
      Mask shorten = ~near & (step > LEAST_STEP) & active_;
      if (!any(shorten)) {
        good = near & complete_step(step, least);
        shorten = ~good & (step > LEAST_STEP) & active_;
        if (!any(shorten)) break;
      }
      // Halve the step once it is short, since the other lanes wait.
      step = choose(shorten, choose(step > 0.3 * longest, splat(STEP_BACK), splat(0.5)) * step, step);
    }
    Real accuracy, margin;
    certify(accuracy, margin);
    const Mask usable = good & (accuracy < 1e300);
    finish(usable, accuracy, margin, step);
  }

  INLINE void copy_where(Mask mask, Point& to, const Point& from) {
    const auto copy = [&](Real* target, const Real* source, int end) INLINE_LAMBDA {
      for (int i = 0; i < end; ++i) target[i] = choose(mask, source[i], target[i]);
    };
    pairs([&](int end, auto v) INLINE_LAMBDA {
      copy(to.x.*v, from.x.*v, end);
      copy(to.s.*v, from.s.*v, end);
    });
    prices([&](int end, auto v) INLINE_LAMBDA {
      copy(to.y.*v, from.y.*v, end);
      copy(to.z.*v, from.z.*v, end);
    });
    copy(&to.tau, &from.tau, 1);
    copy(&to.kappa, &from.kappa, 1);
  }

  // The same with the planes' prices.
  INLINE void copy_where(Mask mask, Point& to, const Point& from, Real* to_price, const Real* from_price) {
    copy_where(mask, to, from);
    for (int s = 0; s < stores(); ++s) to_price[s] = choose(mask, from_price[s], to_price[s]);
  }

  // Beam a of a lane is new: its time and reduced cost start with the product tau kappa.
  void renew(int a, int lane) {
    const double product = warm.tau[lane] * warm.kappa[lane];
    warm.x.t_passive[a][lane] = warm.s.t_passive[a][lane] = std::sqrt(product);
  }

  void finish(Mask usable, Real accuracy, Real margin, Real step) {
    copy_where(usable, at, moved);
    for (int s = 0; s < stores(); ++s) plane_price[s] = choose(usable, plane_price[s] + step * plane_change[s], plane_price[s]);
    if (similar_) copy_where(usable & (product() / count() >= WARM * at.tau * at.tau), warm, at, warm_price, plane_price);
    step_ = step;
    accuracy_ = choose(usable, accuracy, splat(1.0 / 0.0));
    margin_ = margin;
    for (int lane = 0; lane < LANES; ++lane) {
      ++iterations_[lane];
      done_[lane] = usable[lane] && (accuracy[lane] <= 1.0 || (!elastic_ && margin[lane] > PROOF));
      if (done_[lane] || (usable[lane] && iterations_[lane] < begun_[lane] + MAX_ITERATIONS)) continue;
      if (attempt_[lane] < static_cast<int>(std::size(ATTEMPTS)) - 1) {
        ++attempt_[lane];
        start(lane);
      } else {
        done_[lane] = true;
      }
    }
  }

  const int users_, beams_, parts_;  // parts of a battery, 0 without battery values
  const bool elastic_;
  void* memory_ = nullptr;
  std::size_t cursor_ = 0;

  // The frames' data, as in standard_form.py.
  PerUser active_rate, snr, workload, local_limit, battery, capacity, circuit, local_energy;
  PerUser cost_active, cost_passive, gain_local, cost_shortfall;
  PerBeam passive_rate;
  PerBeamAndUser harvest;
  PerUser part_size, unit_worth;
  PerPart plane, slope;  // the worth, in units, is at most plane + slope kept
  // The planes' prices, the step from them, the reciprocals of their products with the slacks, and the `warm` ones.
  PerPart plane_price, plane_change, plane_inverse, warm_price;
  // The iterate, the steps from it, and a trial point.
  Point at, predictor, direction, moved;
  Point warm;  // each lane's last point far enough from its solution for a similar problem to start there
  Point per;  // reciprocals of the iterate
  Active here, there;
  // Residuals, right-hand side, the column of tau and the second-order terms.
  Primal rd, f, tau_x;
  Dual rp, g, tau_y;
  PerUser bend_t, bend_e, bend_w;
  Real tau_slope;
  // The factorised system.
  PerUser w_time, w_work, w_local, w_budget, w_capacity, per_shortfall, inv_m, w_energy, part_u, part_m;
  // Of the planes: pivots and sums, see open_planes().
  PerUser inv_u, slope_u, alone_m, sloped_worth, prices_worth;
  Sums by_price, by_inverse, by_plane, by_bend, offered;
  Real products_worth, bent_worth;
  PerUser ec, et, ev, ct, cv, tv, inv_e, inv_c, inv_t, pivot_v, part_v, weighted, gained;
  PerBeam eb, cb, tb, vb, d_passive, inv_pivot;
  PerBeamAndUser rows;
  PerPairOfBeams factor;
  // The lanes.
  Real gap_limit = splat(GAP);  // relative gap of a solved problem
  Real step_, span_, slack_, boundary_, centrality_, centring_;
  Mask active_;
  int attempt_[LANES] = {}, iterations_[LANES] = {}, begun_[LANES] = {};  // begun: iterations before the attempt
  bool done_[LANES] = {};
  bool similar_ = false;  // whether consecutive problems of a lane are similar
  bool resume_[LANES] = {};  // whether the next one starts from `warm`
  Real accuracy_, margin_;  // of the last step, see certify()
};
