// One loop over integers without memory.
unsigned run(unsigned n) {
  unsigned x = 2463534242u, sum = 0;
  for (unsigned i = 0; i < n; i++) {
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    if (x & 1) sum += x; else sum ^= i;
  }
  return sum;
}
