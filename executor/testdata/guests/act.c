// A guest that does what its arguments say, one word after another, and says on
// stdout what came of it. It ends with code 1 and errno's text on stderr as soon
// as something fails, unless the word is preceded by "try": then it prints
// "errno N" and goes on.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "rt.h"

static char **words;
static int left;
static int trying;

static char *next(void) {
  if (left == 0) {
    fprintf(stderr, "a word is missing\n");
    exit(2);
  }
  left--;
  return *words++;
}

static long number(void) { return strtol(next(), NULL, 10); }

static void failed(const char *what) {
  if (trying) {
    printf("errno %d\n", errno);
    return;
  }
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  fflush(stdout);
  exit(1);
}

static void cat(int fd) {
  static char buf[65536];
  for (ssize_t n; (n = read(fd, buf, sizeof buf)) > 0;) write(1, buf, n);
}

static void put(const char *path, long bytes) {
  static char block[4096];
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) {
    failed(path);
    return;
  }
  memset(block, 'x', sizeof block);
  while (bytes > 0) {
    ssize_t n = write(fd, block, bytes < 4096 ? bytes : 4096);
    if (n < 0) {
      failed(path);
      break;
    }
    bytes -= n;
  }
  close(fd);
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }
static int no_dots(const struct dirent *d) { return strcmp(d->d_name, ".") && strcmp(d->d_name, ".."); }

static void list(const char *path) {
  struct dirent **names;
  int n = scandir(path, &names, no_dots, by_name);
  if (n < 0) failed(path);
  for (int i = 0; i < n; i++) printf("%s\n", names[i]->d_name);
}

static void flood(int fd, long bytes) {
  static char block[4096];
  memset(block, 'x', sizeof block);
  while (bytes > 0) {
    ssize_t n = write(fd, block, bytes < 4096 ? bytes : 4096);
    if (n < 0) {
      failed("flood");
      return;
    }
    bytes -= n;
  }
}

static volatile long sink;
__attribute__((noinline)) static long recurse(long depth) {
  volatile char frame[64];
  frame[depth & 63] = 1;
  return depth == 0 ? 0 : recurse(depth - 1) + frame[depth & 63];
}

extern char **environ;

static void act(const char *w) {
  char *path;
  if (!strcmp(w, "env")) {
    for (char **e = environ; *e; e++) printf("%s\n", *e);
  } else if (!strcmp(w, "len")) { // the length of a variable, not its value
    char *v = getenv(next());
    printf("%d\n", v ? (int)strlen(v) : -1);
  } else if (!strcmp(w, "say")) {
    printf("%s\n", next());
  } else if (!strcmp(w, "stdin")) {
    fflush(stdout);
    cat(0);
  } else if (!strcmp(w, "cat")) {
    int fd = open(path = next(), O_RDONLY);
    if (fd < 0) {
      failed(path);
      return;
    }
    fflush(stdout);
    cat(fd);
    close(fd);
  } else if (!strcmp(w, "ls")) {
    list(next());
  } else if (!strcmp(w, "write")) {
    path = next();
    char *text = next();
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) failed(path);
    if (fd >= 0) close(fd);
  } else if (!strcmp(w, "fill")) {
    path = next();
    put(path, number());
  } else if (!strcmp(w, "rm")) {
    if (unlink(path = next()) < 0) failed(path);
  } else if (!strcmp(w, "mkdir")) {
    if (mkdir(path = next(), 0755) < 0) failed(path);
  } else if (!strcmp(w, "files")) { // DIR COUNT: makes empty files, prints how many
    char name[256];
    path = next();
    long n = number(), i;
    for (i = 0; i < n; i++) {
      snprintf(name, sizeof name, "%s/f%06ld", path, i);
      int fd = open(name, O_WRONLY | O_CREAT, 0644);
      if (fd < 0) break;
      close(fd);
    }
    printf("%ld files\n", i);
  } else if (!strcmp(w, "open")) { // PATH COUNT: holds it open, prints how often
    path = next();
    long n = number(), i;
    for (i = 0; i < n && open(path, O_RDONLY) >= 0; i++) {
    }
    printf("%ld open\n", i);
  } else if (!strcmp(w, "stdout")) {
    fflush(stdout);
    flood(1, number());
  } else if (!strcmp(w, "stderr")) {
    flood(2, number());
  } else if (!strcmp(w, "grow")) { // PAGES: one memory.grow, prints what it gives
    printf("%d\n", (int)__builtin_wasm_memory_grow(0, number()));
  } else if (!strcmp(w, "recurse")) {
    sink = recurse(number());
    printf("back\n");
  } else if (!strcmp(w, "burn")) {
    for (long n = number(); n > 0; n--) sink += n;
    printf("burned\n");
  } else if (!strcmp(w, "spin")) {
    for (;;) sink++;
  } else if (!strcmp(w, "sleep")) {
    struct timespec t = {number(), 0};
    nanosleep(&t, NULL);
    printf("awake\n");
  } else if (!strcmp(w, "await")) { // PATH: until it exists
    struct timespec t = {0, 1000000};
    struct stat st;
    for (path = next(); stat(path, &st) < 0;) nanosleep(&t, NULL);
  } else if (!strcmp(w, "clock")) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    printf("%lld.%09ld\n", (long long)t.tv_sec, t.tv_nsec);
    clock_gettime(CLOCK_MONOTONIC, &t);
    printf("%lld.%09ld\n", (long long)t.tv_sec, t.tv_nsec);
  } else if (!strcmp(w, "random")) {
    unsigned char b[16];
    getentropy(b, sizeof b);
    for (int i = 0; i < 16; i++) printf("%02x", b[i]);
    printf("\n");
  } else if (!strcmp(w, "trap")) {
    fflush(stdout);
    __builtin_trap();
  } else if (!strcmp(w, "exit")) {
    fflush(stdout);
    exit(number());
  } else {
    fprintf(stderr, "no such word: %s\n", w);
    exit(2);
  }
}

int main(int argc, char **argv) {
  words = argv + 1;
  left = argc - 1;
  while (left > 0) {
    char *w = next();
    trying = !strcmp(w, "try");
    act(trying ? next() : w);
    fflush(stdout);
  }
  return 0;
}
