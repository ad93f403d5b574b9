// Floating point in a loop that calls nothing and touches no memory.
unsigned run(unsigned n) {
  unsigned inside = 0;
  for (unsigned y = 0; y < n; y++)
    for (unsigned x = 0; x < n; x++) {
      double cr = 3.0 * x / n - 2.0, ci = 2.0 * y / n - 1.0, zr = 0, zi = 0;
      int k = 0;
      while (k < 100 && zr * zr + zi * zi < 4.0) {
        double t = zr * zr - zi * zi + cr;
        zi = 2 * zr * zi + ci;
        zr = t;
        k++;
      }
      inside += k == 100;
    }
  return inside;
}
