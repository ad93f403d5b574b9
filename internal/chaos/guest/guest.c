// The tool that the chaos suite's jobs run. Its arguments are
//
//   NUMBER BUSY STDOUT    transform /in/data into /result, keyed by NUMBER,
//                         after BUSY turns of a loop, and print STDOUT bytes
//   spin                  never end
//
// Every byte of the result depends on the input, on NUMBER and on its place,
// so that a result of another job, of another input or a piece of one cannot
// pass for the right one. expected in internal/chaos/jobs.go is the same in Go.
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t state;
static unsigned char next(void) {
  state = state * 1664525u + 1013904223u;
  return state >> 24;
}

static void fail(const char *why) {
  write(2, why, strlen(why));
  _Exit(1);
}

static void put(int fd, const unsigned char *p, size_t n) {
  while (n > 0) {
    ssize_t k = write(fd, p, n);
    if (k <= 0) fail("write");
    p += k;
    n -= k;
  }
}

static uint32_t number(const char *s) {
  uint32_t n = 0;
  for (; *s >= '0' && *s <= '9'; s++) n = n * 10 + (*s - '0');
  if (*s) fail("not a number");
  return n;
}

static volatile uint32_t sink;

int main(int argc, char **argv) {
  static unsigned char buf[4096];
  if (argc == 2 && !strcmp(argv[1], "spin"))
    for (;;) sink++;
  if (argc != 4) fail("usage: NUMBER BUSY STDOUT");
  uint32_t key = number(argv[1]);
  for (uint32_t n = number(argv[2]); n > 0; n--) sink += n;

  int in = open("/in/data", O_RDONLY);
  if (in < 0) fail("open /in/data");
  int out = open("/result", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (out < 0) fail("open /result");
  state = key;
  for (ssize_t n; (n = read(in, buf, sizeof buf)) != 0;) {
    if (n < 0) fail("read /in/data");
    for (ssize_t i = 0; i < n; i++) buf[i] ^= next();
    put(out, buf, n);
  }
  close(out);

  state = key;
  for (uint32_t left = number(argv[3]); left > 0;) {
    uint32_t n = left < sizeof buf ? left : sizeof buf;
    for (uint32_t i = 0; i < n; i++) buf[i] = 'a' + next() % 26;
    put(1, buf, n);
    left -= n;
  }
  return 0;
}
