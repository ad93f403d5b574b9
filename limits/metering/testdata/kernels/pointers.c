// Calls through function pointers.
static unsigned f0(unsigned x) { return x + 1; }
static unsigned f1(unsigned x) { return x * 3; }
static unsigned f2(unsigned x) { return x ^ x >> 7; }
static unsigned f3(unsigned x) { return x & 1 ? x - 5 : x / 3; }
static unsigned (*volatile fs[4])(unsigned) = {f0, f1, f2, f3};
unsigned run(unsigned n) {
  unsigned x = 1;
  for (unsigned i = 0; i < n; i++) x = fs[x + i & 3](x);
  return x;
}
