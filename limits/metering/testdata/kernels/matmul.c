// Three nested loops over arrays.
static double a[64][64], b[64][64], c[64][64];
unsigned run(unsigned n) {
  for (int i = 0; i < 64; i++)
    for (int j = 0; j < 64; j++) a[i][j] = i + j, b[i][j] = i - j;
  for (unsigned r = 0; r < n; r++)
    for (int i = 0; i < 64; i++)
      for (int j = 0; j < 64; j++) {
        double s = 0;
        for (int k = 0; k < 64; k++) s += a[i][k] * b[k][j];
        c[i][j] = s;
      }
  return (unsigned)(long long)c[13][17];
}
