// Quicksort: recursion and data-dependent branches.
static unsigned v[1 << 18];
static void sort(int lo, int hi) {
  while (lo < hi) {
    unsigned p = v[(lo + hi) / 2];
    int i = lo, j = hi;
    while (i <= j) {
      while (v[i] < p) i++;
      while (v[j] > p) j--;
      if (i <= j) {
        unsigned t = v[i];
        v[i++] = v[j];
        v[j--] = t;
      }
    }
    if (j - lo < hi - i) {
      sort(lo, j);
      lo = i;
    } else {
      sort(i, hi);
      hi = j;
    }
  }
}
unsigned run(unsigned n) {
  if (n > sizeof v / sizeof *v) n = sizeof v / sizeof *v;
  unsigned x = 12345;
  for (unsigned i = 0; i < n; i++) v[i] = x = x * 1664525u + 1013904223u;
  sort(0, (int)n - 1);
  unsigned sum = 0;
  for (unsigned i = 1; i < n; i++) sum += v[i - 1] <= v[i];
  return sum + v[n / 2];
}
