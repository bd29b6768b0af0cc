// Which of the cores this processor can run: an extension without any, so that asking is safe everywhere.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

namespace {

/// The names of cores that the processor and its operating system can run, the best first.
PyObject* supported(PyObject*, PyObject*) {
  PyObject* names = PyList_New(0);
  const auto add = [&](const char* name) {
    PyObject* text = PyUnicode_FromString(name);
    if (text != nullptr) PyList_Append(names, text);
    Py_XDECREF(text);
  };
  if (names == nullptr) return nullptr;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const auto has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const auto has_v4 = has_v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (has_v4) add("x86-64-v4");
  if (has_v3) add("x86-64-v3");
  add("x86-64");
#else
  add("generic");
#endif
  return names;
}

PyMethodDef methods[] = {{"supported", supported, METH_NOARGS, "Names of instruction sets, the best first."},
                         {nullptr, nullptr, 0, nullptr}};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_cpu", "What this processor can run.", -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__cpu() { return PyModule_Create(&definition); }
