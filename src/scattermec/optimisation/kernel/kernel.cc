// The interior-point solver as an XLA custom call for the CPU; for the problem and the method see
// `standard_form.py` and `interior_point.py`. Its solvers are compiled for several instruction sets, of
// which the best is chosen at run time.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>

#include "problems.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

// The instruction sets of the solvers, narrowest first; the widest of this processor; the one in use.
static const char* const INSTRUCTION_SETS[] = {"baseline", "avx2", "avx512"};
static int widest_set() {
#ifdef HAS_WIDE_REGISTERS
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) return 2;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 1;
#endif
  return 0;
}
static int instruction_set = widest_set();

template <class Problems, class Results>
static void solve(const Problems& in, const Results& out, const Sizes& sizes) {
#ifdef HAS_WIDE_REGISTERS
  if (instruction_set == 2) return avx512::solve(in, out, sizes);
  if (instruction_set == 1) return avx2::solve(in, out, sizes);
#endif
  baseline::solve(in, out, sizes);
}

// Split the frames among the threads that XLA has for this computation. This thread takes parts too, and
// waits only for parts that another thread has begun, so that it cannot deadlock.
struct Parts {
  std::atomic<long> next{0};
  std::mutex mutex;
  std::condition_variable finished;
  long left;
};

template <class Work>
static void in_parallel(ffi::ThreadPool& pool, long count, long least, const Work& work) {
  const long parts = std::max(1L, std::min(static_cast<long>(pool.num_threads()), count / least));
  if (parts == 1) return work(0, count);
  const auto shared = std::make_shared<Parts>();
  shared->left = parts;
  // `work` is used only while a part is held, hence never after this function has returned.
  const auto take_parts = [shared, parts, count, &work] {
    for (long part; (part = shared->next++) < parts;) {
      work(count * part / parts, count * (part + 1) / parts);
      const std::lock_guard<std::mutex> lock(shared->mutex);
      if (--shared->left == 0) shared->finished.notify_one();
    }
  };
  for (long other = 1; other < parts; ++other) {
    auto copy = take_parts;
    pool.Schedule(std::move(copy));
  }
  take_parts();
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->finished.wait(lock, [&] { return shared->left == 0; });
}

constexpr long FRAMES_PER_THREAD = 64;  // fewer are not worth another thread

// The arrays of a call, by position.
struct Arrays {
  ffi::RemainingArgs args;
  ffi::RemainingRets results;

  template <class T>
  const T* input(int i) const {
    return static_cast<const T*>(args.get<ffi::AnyBuffer>(i)->untyped_data());
  }
  template <class T>
  T* output(int i) const {
    return static_cast<T*>((*results.get<ffi::AnyBuffer>(i))->untyped_data());
  }
};

template <class Problems, class Results>
static void solve_in_parallel(ffi::ThreadPool& pool, const Problems& in, const Results& out, const Sizes& sizes) {
  in_parallel(pool, sizes.frames, FRAMES_PER_THREAD, [&](long begin, long end) {
    Sizes part = sizes;
    part.frames = end - begin;
    solve(in.from(begin, sizes), out.from(begin, sizes), part);
  });
}

// Solve the problems of a call; the first array, (Q, N), determines the precision.
template <template <class> class Problems, template <class> class Results>
static ffi::Error call(ffi::ThreadPool pool, ffi::RemainingArgs args, ffi::RemainingRets results, std::int64_t users,
                       std::int64_t beams, std::int64_t antennas, std::int64_t parts, std::int64_t shortfalls) {
  if (args.size() != Problems<double>::COUNT || results.size() != Results<double>::COUNT)
    return ffi::Error::InvalidArgument("wrong number of arrays");
  const auto first = *args.get<ffi::AnyBuffer>(0);
  const Sizes sizes{static_cast<long>(first.element_count() / users), static_cast<int>(users), static_cast<int>(beams),
                    static_cast<int>(antennas), static_cast<int>(parts), static_cast<int>(shortfalls)};
  const Arrays arrays{args, results};
  switch (first.element_type()) {
    case ffi::F64: solve_in_parallel(pool, Problems<double>::read(arrays), Results<double>::read(arrays), sizes); break;
    case ffi::F32: solve_in_parallel(pool, Problems<float>::read(arrays), Results<float>::read(arrays), sizes); break;
    default: return ffi::Error::InvalidArgument("the data must be float32 or float64");
  }
  return ffi::Error::Success();
}

#define DEFINE_HANDLER(name, problems, results)                                                               \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(name, (call<problems, results>),                                              \
                                ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().RemainingRets()       \
                                    .Attr<std::int64_t>("users").Attr<std::int64_t>("beams")                  \
                                    .Attr<std::int64_t>("antennas").Attr<std::int64_t>("parts")               \
                                    .Attr<std::int64_t>("shortfalls"))
DEFINE_HANDLER(scattermec_allocate, Problems, Results);
DEFINE_HANDLER(scattermec_search_beams, BeamProblems, BeamResults);

// The module: handlers() gives a dictionary of capsules for jax.ffi.register_ffi_target.
static PyObject* handlers(PyObject*, PyObject*) {
  PyObject* found = PyDict_New();
  if (!found) return nullptr;
  const struct { const char* name; XLA_FFI_Handler* handler; } all[] = {{"allocate", scattermec_allocate},
                                                                      {"search_beams", scattermec_search_beams}};
  for (const auto& entry : all) {
    PyObject* capsule = PyCapsule_New(reinterpret_cast<void*>(entry.handler), nullptr, nullptr);
    const bool failed = !capsule || PyDict_SetItemString(found, entry.name, capsule) != 0;
    Py_XDECREF(capsule);
    if (failed) {
      Py_DECREF(found);
      return nullptr;
    }
  }
  return found;
}

// use_instructions(name=""): use that set, if the processor has it; returns the name of the one in use. All
// sets give the same results except for rounding.
static PyObject* use_instructions(PyObject*, PyObject* args) {
  const char* wanted = "";
  if (!PyArg_ParseTuple(args, "|s", &wanted)) return nullptr;
  if (*wanted) {
    int found = -1;
    for (int set = 0; set <= widest_set(); ++set)
      if (std::strcmp(wanted, INSTRUCTION_SETS[set]) == 0) found = set;
    if (found < 0) {
      PyErr_Format(PyExc_ValueError, "this processor has no set of instructions named %s", wanted);
      return nullptr;
    }
    instruction_set = found;
  }
  return PyUnicode_FromString(INSTRUCTION_SETS[instruction_set]);
}

// built_from(): the digest in shared.h, of the tables that it was generated from.
static PyObject* built_from(PyObject*, PyObject*) { return PyUnicode_FromString(DIGEST); }

static PyMethodDef methods[] = {{"built_from", built_from, METH_NOARGS, "Digest of the constants and arguments."},
                                {"handlers", handlers, METH_NOARGS, "XLA custom calls by name, as capsules."},
                                {"use_instructions", use_instructions, METH_VARARGS, "Choose a set of instructions, and name it."},
                                {nullptr, nullptr, 0, nullptr}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", "Compiled solvers; see compiled.py.", -1, methods,
                             nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit__kernel() { return PyModule_Create(&module); }
