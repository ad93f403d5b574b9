// A state machine of tail calls.
#if __has_attribute(musttail) && defined(__wasm_tail_call__)
#define TAIL __attribute__((musttail))
#else
#define TAIL
#endif
static unsigned odd(unsigned n, unsigned x);
static __attribute__((noinline)) unsigned even(unsigned n, unsigned x) {
  if (n == 0) return x;
  TAIL return odd(n - 1, x * 5 + 1);
}
static __attribute__((noinline)) unsigned odd(unsigned n, unsigned x) {
  if (n == 0) return ~x;
  TAIL return even(n - 1, x ^ x >> 3);
}
unsigned run(unsigned n) { return even(n, 1); }
